"""Stress: real episodes with the falls that the market had, the worst windows, and shocks by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tidewright as tw
from tidewright.errors import AllocationError, ConfigError

Floats = NDArray[np.float64]
NAMES = ("AAPL", "XOM", "JPM")
DAYS = np.datetime64("2020-01-01") + np.arange(300)
WEIGHTS = np.array([0.5, 0.3, 0.2])


def draw(rows: int = 300, *, seed: int = 0) -> Floats:
    return np.asarray(np.random.default_rng(seed).normal(0, 0.01, (rows, 3)))


def play(*shocks: tw.Shock, **options: Any) -> Any:
    return tw.stress(WEIGHTS, assets=NAMES, shocks=shocks, **options)


def test_the_sp500_loses_in_each_episode_what_it_lost() -> None:
    from arch.data import sp500

    table = sp500.load()
    closes, times = table["Adj Close"].to_numpy(), table.index.to_numpy()
    found = tw.stress([1.0], assets=["SPX"], returns=closes[1:, None] / closes[:-1, None] - 1, times=times[1:])
    played = [one.name for one in found.scenarios if one.kind == "episode"]
    assert played == ["dot-com", "2008", "lehman", "euro 2011", "china 2015", "2018 q4"]
    for name in played:
        assert found[name].loss == pytest.approx(-tw.EPISODES[name].sp500, abs=0.0006)
        assert found[name].covered == 1.0
        # the index closes lowest at the end of each
        assert found[name].deepest == found[name].loss
    assert found["2008"].first == "2007-10-09"
    assert found["2008"].last == "2009-03-09"
    assert found.notes == ("the returns do not reach: 1987, asia 1997, russia 1998, covid, 2022",)
    assert found["worst 1 bars"].last == "2008-10-15"


def test_episodes_of_twenty_stocks_from_1990_on() -> None:
    from tidewright.data.market import load_market

    wide = load_market().pivot("stock", index="date", values="price").sort("date")
    assets, closes = wide.columns[1:], wide.drop("date").to_numpy()
    found = tw.stress(
        np.full(20, 0.05),
        assets=assets,
        returns=closes[1:] / closes[:-1] - 1,
        times=wide["date"].to_numpy()[1:],
        episodes=["covid", "asia 1997", "1987"],
    )
    assert [one.name for one in found.scenarios[:2]] == ["asia 1997", "covid"]
    assert found["covid"].by_asset[assets.index("CVX")] / 0.05 > 0.45
    assert found["covid"].by_asset.sum() == pytest.approx(found["covid"].loss)
    assert found["covid"].deepest >= found["covid"].loss
    assert "do not reach: 1987" in found.notes[0]


def test_an_episode_that_is_partly_there_says_how_much() -> None:
    returns = np.full((10, 3), -0.01) * [1.0, 2.0, 0.0]
    returns[3, 0] = np.nan
    own = tw.Episode("mine", date(2020, 1, 6), date(2020, 1, 26), "twenty days")
    found = play(returns=returns, times=DAYS[:10], episodes=[own])["mine"]
    # rows 6 to 9, of 20 days four; AAPL lacks none of these
    assert found.covered == pytest.approx(4 / 20)
    assert found.by_asset == pytest.approx([0.5 * (1 - 0.99**4), 0.3 * (1 - 0.98**4), 0.0])
    early = tw.Episode("early", date(2019, 12, 22), date(2020, 1, 6), "fifteen days")
    found = play(returns=returns, times=DAYS[:10], episodes=[early])["early"]
    # rows 0 to 5 reach over 6 of 15 days; AAPL, which is half of the holdings, has 5 of 6 returns
    assert found.covered == pytest.approx(6 / 15 * (0.5 * 5 / 6 + 0.5))
    assert found.by_asset[0] == pytest.approx(0.5 * (1 - 0.99**5))
    assert found.first == "before the first row"


def test_the_worst_window_is_the_worst_of_all_by_hand() -> None:
    returns = draw()
    found = play(returns=returns, worst=[1, 7])
    by_hand = [-((np.prod(1 + returns[k : k + 7], axis=0) - 1) @ WEIGHTS) for k in range(294)]
    assert found["worst 7 bars"].loss == pytest.approx(max(by_hand), rel=1e-12)
    assert found["worst 7 bars"].last == f"row {int(np.argmax(by_hand)) + 6}"
    assert found["worst 1 bars"].loss == pytest.approx(-(returns @ WEIGHTS).min(), rel=1e-12)
    assert found.notes == ("no episodes: the returns have no times",)


def test_holdings_drift_and_the_deepest_loss_is_on_the_way() -> None:
    returns = np.array([[-0.5, 0.0, 0.0], [1.0, 0.0, 0.0]])
    own = tw.Episode("there and back", date(2019, 12, 31), date(2020, 1, 2), "")
    found = play(returns=returns, times=DAYS[:2], episodes=[own], worst=[])["there and back"]
    assert found.loss == 0.0
    assert found.deepest == pytest.approx(0.25)


def test_shocks_reach_assets_by_name_by_group_and_by_beta() -> None:
    groups = {"AAPL": "Technology", "XOM": "Energy", "JPM": "Banks"}
    found = play(
        tw.Shock("fruit", {"AAPL": -0.4}),
        tw.Shock("oil", {"Energy": -0.3, "Banks": 0.1}, of="groups"),
        tw.Shock("market", {"market": -0.2, "oil": -0.5}, of="factors"),
        groups=groups,
        betas={"market": [1.2, 0.8, 1.0], "oil": [0.0, 0.5, 0.0]},
    )
    assert found["fruit"].by_asset == pytest.approx([0.2, 0, 0])
    assert found["oil"].by_asset == pytest.approx([0, 0.09, -0.02])
    assert found["oil"].loss == pytest.approx(0.07)
    assert found["market"].by_asset == pytest.approx([0.5 * 0.24, 0.3 * 0.41, 0.2 * 0.2])
    assert [one.kind for one in found.scenarios] == ["shock"] * 3


def test_betas_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    market = rng.normal(0.001, 0.01, 300)
    returns = market[:, None] * [1.5, 0.5, -0.2] + 0.002
    returns[5, 0] = np.nan
    shock = tw.Shock("market", {"market": -0.1}, of="factors")
    found = play(shock, returns=returns, factor_returns={"market": market}, worst=[])
    assert found["market"].by_asset == pytest.approx(WEIGHTS * np.array([0.15, 0.05, -0.02]))


def test_with_a_correlation_of_one_all_deviations_add_up() -> None:
    returns = draw()
    found = play(tw.Shock("all", of="correlation one", deviations=2.5, bars=4), returns=returns, worst=[])
    assert found["all"].loss == pytest.approx(2.5 * 2 * (WEIGHTS @ returns.std(axis=0, ddof=1)), rel=1e-12)
    normal = tw.value_at_risk(returns, assets=NAMES, method="normal", confidence=0.99, weights=WEIGHTS)
    assert normal.portfolio is not None
    assert found["all"].loss > normal.portfolio.var
    huge = play(tw.Shock("all", of="correlation one", deviations=500), returns=returns, worst=[])
    assert huge["all"].by_asset == pytest.approx(WEIGHTS)  # no more than everything


def test_positions_in_money_may_be_short_and_weights_hold_cash() -> None:
    shock = tw.Shock("fall", {"AAPL": -0.1, "XOM": -0.1})
    found = tw.stress(positions=[1000.0, -400.0, 0.0], assets=NAMES, shocks=[shock])
    assert found.unit == "money"
    assert found["fall"].by_asset.tolist() == [100.0, -40.0, 0.0]
    held = tw.Weights(("XOM", "AAPL"), [0.2, 0.3], "by hand", net=0.5)
    kept = tw.stress(held, shocks=[shock])
    assert (kept.assets, kept.unit) == (("XOM", "AAPL"), "fraction")
    assert kept["fall"].loss == pytest.approx(0.05)


def test_the_table_has_a_row_a_scenario_and_a_column_an_asset() -> None:
    found = play(tw.Shock("fall", {"AAPL": -0.1}), returns=draw(), times=DAYS, worst=[5])
    table = found.to_table()
    assert table["name"].to_list() == ["covid", "worst 5 bars", "fall"]
    assert table["kind"].to_list() == ["episode", "worst window", "shock"]
    parts = table.select([f"loss of {name}" for name in NAMES]).sum_horizontal()
    assert parts.to_numpy() == pytest.approx(table["loss"].to_numpy())
    assert table["covered"].to_list()[1:] == [None, None]
    with pytest.raises(ValueError, match="read-only"):
        found["fall"].by_asset[0] = 1.0


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown asset": ({"shocks": [tw.Shock("x", {"APPL": -0.1})]}, "no asset is called 'APPL'. Did you mean 'AAPL'"),
    "no group": ({"shocks": [tw.Shock("x", {"Energy": -0.1}, of="groups")]}, "'AAPL' has no group"),
    "no betas": ({"shocks": [tw.Shock("x", {"oil": -0.1}, of="factors")]}, "needs betas"),
    "no returns": ({"shocks": [tw.Shock("x", of="correlation one")]}, "needs the assets' deviations. Pass returns"),
    "unknown factor": (
        {"shocks": [tw.Shock("x", {"oil": -0.1}, of="factors")], "betas": {"gas": np.ones(3)}},
        "no factor is called 'oil'",
    ),
    "betas": ({"shocks": [], "betas": {"oil": [1.0]}, "returns": draw()}, "betas of 'oil' are no 3 finite numbers"),
    "copies": ({"returns": draw(), "factor_returns": {"a": draw()[:, 0], "b": draw()[:, 0]}}, "copies of one another"),
    "few": ({"returns": draw(5), "worst": [1], "factor_returns": {"a": draw(5)[:, 0]}}, "too few for betas"),
    "apart": ({"returns": draw(), "factor_returns": {"a": draw(9)[:, 0]}}, r"shape \(9,\), the assets 300 rows"),
    "prices": ({"returns": 100 * np.cumprod(1 + draw(), axis=0)}, "look like prices"),
    "percent": ({"returns": draw() * 100}, r"divide percent by 100"),
    "empty": ({"returns": draw()[:0]}, "no rows of returns"),
    "one return": (
        {"returns": draw()[:1], "worst": [1], "shocks": [tw.Shock("x", of="correlation one")]},
        "fewer than 2 returns",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_refused_in_words(case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(AllocationError, match=words):
        tw.stress(WEIGHTS, assets=NAMES, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "there is no scenario to play"),
        ({"positions": [1.0, 1.0, 1.0]}, "one of them"),
        ({"episodes": ["2008"]}, "Pass returns and their times"),
        ({"returns": draw(), "episodes": ["2008"]}, "Pass the times"),
        ({"returns": draw(), "times": DAYS, "episodes": ["2009"]}, "no episode is called '2009'. Did you mean '2008'"),
        ({"returns": draw(), "worst": [301]}, "from 1 to 300"),
        ({"shocks": [tw.Shock("x", {"XOM": -0.1})] * 2}, "two scenarios are called 'x'"),
        ({"betas": {"a": np.ones(3)}, "factor_returns": {"a": np.ones(3)}}, "pass one of them"),
        ({"factor_returns": {"a": np.ones(3)}}, "Pass returns beside factor_returns"),
    ],
)
def test_options_that_can_t_be_are_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tw.stress(WEIGHTS, assets=NAMES, **options)


def test_a_shock_that_can_t_be_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="needs moves"):
        tw.Shock("x")
    with pytest.raises(ConfigError, match="moves are a mapping of names"):
        tw.Shock("x", "XOM")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no moves: give deviations"):
        tw.Shock("x", {"XOM": -0.1}, of="correlation one")
    with pytest.raises(ConfigError, match="no kind of shock is called 'sector'"):
        tw.Shock("x", {"XOM": -0.1}, of="sector")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"the move of 'XOM' is a finite return of at least -1; got -30"):
        tw.Shock("x", {"XOM": -30})
    with pytest.raises(ConfigError, match="no scenario is called 'cow'"):
        play(tw.Shock("cows", {"XOM": -0.1}))["cow"]
    with pytest.raises(AllocationError, match="returns came without names"):
        tw.stress(WEIGHTS, shocks=[tw.Shock("x", {"XOM": -0.1})])
