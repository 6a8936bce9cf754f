"""Names that come with a table or a series: figures of one asset never go by the name of another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import tidewright as tw
from tidewright.errors import AllocationError
from tidewright.portfolio.labels import align, name_assets

NAMES = ("C", "A", "B")
DAYS = pd.date_range("2024-01-01", periods=300)
VALUES = np.random.default_rng(0).normal(0.0005, [0.01, 0.02, 0.03], (300, 3))
PANDAS = pd.DataFrame(VALUES, columns=list(NAMES), index=DAYS)
POLARS = pl.DataFrame(VALUES, schema=list(NAMES))
LIMITS = tw.Limits.parse("each <= 0.9")

CALLS: dict[str, Callable[..., Any]] = {
    "allocate": lambda table, **named: tw.allocate(table, **named).values,
    "covariance": lambda table, **named: tw.covariance(table, **named).values,
    "fit_volatility": lambda table, **named: tw.fit_volatility(table, model="ewma", **named).volatility,
    "frontier": lambda table, **named: tw.frontier(table, points=3, **named).weights,
    "min_variance": lambda table, **named: tw.allocate(table, method="min_variance", limits=LIMITS, **named).values,
    "optimise": lambda table, **named: tw.optimise(table, **named).weights.values,
    "rolling_var": lambda table, **named: tw.rolling_var(table, window=100, **named).var,
    "value_at_risk": lambda table, **named: tw.value_at_risk(table, weights={"A": 0.4, "C": 0.6}, **named).var,
    "walk_weights": lambda table, **named: (
        tw.walk_weights(table, times=DAYS.to_numpy(), decide_every=50, lookback=100, **named).values
    ),
}


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("table", [PANDAS, POLARS], ids=["pandas", "polars"])
def test_a_table_names_its_assets(name: str, table: Any) -> None:
    call = CALLS[name]
    plain = call(VALUES, assets=NAMES)
    np.testing.assert_array_equal(call(table), plain)
    np.testing.assert_array_equal(call(table, assets=list(NAMES)), plain)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_names_in_another_order_than_the_table_s_are_refused(name: str) -> None:
    with pytest.raises(AllocationError, match=r"has 'A' as column 1, and assets name it as column 0: .* Select the"):
        CALLS[name](PANDAS, assets=sorted(NAMES))
    with pytest.raises(AllocationError, match="'A' as column 1"):
        CALLS[name](POLARS, assets=("A", "B"))


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_array_without_names_asks_for_them(name: str) -> None:
    with pytest.raises(AllocationError, match=r"returns came without names. Pass assets=, .* polars table"):
        CALLS[name](VALUES)


def test_columns_called_otherwise_are_taken_in_their_order() -> None:
    renamed = PANDAS.add_prefix("close of ")
    assert name_assets(renamed, NAMES) == NAMES
    assert name_assets(pd.DataFrame(VALUES), NAMES) == NAMES
    with pytest.raises(AllocationError, match="returns came without names"):
        name_assets(pd.DataFrame(VALUES), None)


@pytest.mark.parametrize(
    ("assets", "words"),
    [
        ("CAB", r"assets is one text, 'CAB'; it is a list of names. Pass \['CAB'\]"),
        ((1, 2, 3), r"asset 0 is named 1, of type int; names are text. Pass \[str\(name\)"),
        (("C", None, "B"), "asset 1 is named None"),
    ],
)
@pytest.mark.parametrize("name", sorted(CALLS))
def test_names_are_a_list_of_text(name: str, assets: Any, words: str) -> None:
    with pytest.raises(AllocationError, match=words):
        CALLS[name](VALUES, assets=assets)


SORTED = pd.Series({"A": 0.2, "B": 0.3, "C": 0.5})  # not in the assets' order
HELD = {"previous": pd.Series({"A": 0.2, "C": 0.8}), "limits": tw.Limits.parse("turnover <= 0")}
BY_NAME: dict[str, Callable[[], Any]] = {
    "tw.Weights": lambda: tw.Weights(NAMES, SORTED, "by hand").values,  # type: ignore[arg-type]
    "value_at_risk": lambda: tw.value_at_risk(PANDAS, weights=SORTED).portfolio.weights,  # type: ignore[union-attr]
    "stress": lambda: (
        tw.stress(SORTED, assets=NAMES, shocks=[tw.Shock("all", dict.fromkeys(NAMES, -1.0))])["all"].by_asset
    ),
    "money": lambda: (
        tw.stress(positions=SORTED, assets=NAMES, shocks=[tw.Shock("all", dict.fromkeys(NAMES, -1.0))])["all"].by_asset
    ),
    "tilt": lambda: (
        tw.tilt_by_forecast(
            tw.Weights(NAMES, np.full(3, 1 / 3), "equal"),
            expected=SORTED,
            uncertainty=dict.fromkeys(NAMES, 1.0),
            skill=1.0,
        ).values
    ),
    "views": lambda: tw.Views.from_forecasts(SORTED, uncertainty=SORTED, assets=NAMES).values,
    "expected": lambda: tw.optimise(PANDAS, method="max_utility", risk_aversion=1e-6, expected=SORTED).weights.values,
}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_series_is_read_by_its_names_and_not_by_its_order(name: str) -> None:
    found = BY_NAME[name]()
    assert found[0] == max(found) > found[2] >= found[1], "C has most, then B, then A"


def test_what_is_held_is_read_by_name() -> None:
    for method in ("hrp", "min_variance"):
        kept = tw.allocate(PANDAS, method=method, **HELD)
        np.testing.assert_allclose(kept.values, [0.8, 0.2, 0.0], atol=1e-9)
    walked = tw.walk_weights(PANDAS, times=DAYS.to_numpy(), decide_every=500, lookback=100, options=HELD)
    np.testing.assert_allclose(walked.values[0], [0.8, 0.2, 0.0], atol=1e-9)


def test_names_of_no_asset_and_numbers_that_lack_are_told() -> None:
    with pytest.raises(AllocationError, match="weights name 'X', which is not among the assets"):
        align({"X": 1.0}, assets=NAMES, noun="weights")
    with pytest.raises(AllocationError, match=r"weights have nothing for 'C' \(2 such\)"):
        align({"A": 1.0}, assets=NAMES, noun="weights")
    with pytest.raises(AllocationError, match="'A' has more than one number"):
        align(pd.Series([1.0, 2.0], index=["A", "A"]), assets=NAMES, noun="weights")
    with pytest.raises(AllocationError, match="weights hold something that is no number"):
        align({"A": "much", "B": 1.0, "C": 1.0}, assets=NAMES, noun="weights")
    plain = [1.0, 2.0, 3.0]
    assert align(plain, assets=NAMES, noun="weights") is plain
    assert np.asarray(align(pd.Series(plain), assets=NAMES, noun="weights")).tolist() == plain


def test_an_uncertainty_below_zero_and_capitalisations_are_no_views() -> None:
    with pytest.raises(AllocationError, match=r"the uncertainty of 'A' is -0.1. Pass the standard deviation"):
        tw.Views.from_forecasts([0.1, 0.1, 0.1], uncertainty=[0.1, -0.1, 0.1], assets=NAMES)
    caps = tw.Views(NAMES, picks=[], values=[], variances=[], market={"A": 2e12, "C": 1e12})
    with pytest.raises(AllocationError, match=r"the market weights sum to 3e.12, not to one. Divide them"):
        tw.black_litterman(caps, covariance=tw.covariance(PANDAS))


def test_a_covariance_that_is_a_table_keeps_its_names() -> None:
    table = PANDAS.cov()
    assert tw.Covariance(values=table, assets=NAMES, method="by hand").assets == NAMES
    with pytest.raises(AllocationError, match=r"the table of covariances has 'A' as column 1, and .* column 0"):
        tw.Covariance(values=table, assets=tuple(sorted(NAMES)), method="by hand")


def test_groups_budgets_and_stress_read_series_and_tables() -> None:
    groups = pd.Series({"A": "x", "B": "y", "C": "y"})
    limits = tw.Limits.parse("x <= 0.1", groups=groups)  # type: ignore[arg-type]
    assert limits.groups == {"A": "x", "B": "y", "C": "y"}
    budgets = tw.allocate(PANDAS, method="risk_budget", budgets=SORTED)
    np.testing.assert_allclose(tw.risk_contributions(budgets, tw.covariance(PANDAS, method="sample")), [0.5, 0.2, 0.3])
    assert tw.stress([0.2, 0.3, 0.5], returns=PANDAS, times=DAYS.to_numpy(), worst=[5]).assets == NAMES


@pytest.mark.parametrize("method", ["max_sharpe", "max_utility", "target_return", "target_risk", "black_litterman"])
def test_percent_are_no_returns_where_means_meet_variances(method: str) -> None:
    options = {"max_utility": {"risk_aversion": 3.0}, "target_return": {"target": 0.01}, "target_risk": {"target": 2.0}}
    with pytest.raises(AllocationError, match=r"the return of '.' at row \d+ is -.* Divide percent by 100"):
        tw.allocate(PANDAS * 100, method=method, **options.get(method, {}))
    with pytest.raises(AllocationError, match="a frontier weighs means against variances"):
        tw.frontier(PANDAS * 100)


def test_holdings_in_percent_and_prices_as_returns_are_refused() -> None:
    with pytest.raises(AllocationError, match=r"previous weights add up to 100 times the money. .* divide percent"):
        tw.allocate(PANDAS, method="min_cvar", previous={"A": 50.0, "B": 50.0}, costs=tw.Costs(5, 5))
    with pytest.raises(AllocationError, match="these look like prices"):
        tw.realised_volatility(np.cumprod(1 + VALUES, axis=0) * 100, window=21)
    with pytest.raises(AllocationError, match="these look like prices"):
        tw.realised_volatility(np.where(VALUES < 0.05, 100.0, np.nan), window=21)


def test_skill_goes_by_the_names_of_the_returns_and_refuses_other_than_returns() -> None:
    days = DAYS.to_numpy()
    rows = [(name, days[t], days[t + 1], VALUES[t + 1, j]) for t in range(0, 200, 2) for j, name in enumerate(NAMES)]
    table = pd.DataFrame(rows, columns=["series", "cutoff", "time", "0.5"])
    said = tw.read_predictions(table, assets=sorted(NAMES))
    known = tw.measure_skill(said, PANDAS, times=days, beats_floor=True)
    assert known.mean == 1.0
    assert tw.walk_skill(said, POLARS, times=days, beats_floor=True)[-1] == 1.0
    with pytest.raises(AllocationError, match="'A' as column 1"):
        tw.measure_skill(said, PANDAS, times=days, assets=sorted(NAMES))
    prices = np.where(VALUES < 0.02, 100.0 + VALUES, np.nan)
    with pytest.raises(AllocationError, match="these look like prices"):
        tw.measure_skill(said, prices, times=days, assets=NAMES)
    with pytest.raises(AllocationError, match=r"loses more than everything. .* divide percent by 100 \(\d+ such"):
        tw.read_predictions(table.assign(**{"0.5": table["0.5"] * 100}))


def test_what_may_be_percent_and_an_empty_portfolio_are_noted() -> None:
    note = r"returns are below -1, such as -\d.* of '.': if these are percent, so is what stands here"
    for call in (tw.covariance, lambda table: tw.fit_volatility(table, model="ewma")):
        assert re.search(note, call(PANDAS * 100).notes[-1])
        assert not any("percent" in said for said in call(PANDAS).notes)
    idle = tw.optimise(PANDAS, limits=tw.Limits.parse("cash >= 0.1"))
    assert idle.weights.notes[-1] == "nothing is held: all of the money stays in cash, as the limits allow"
    assert "nothing is held" not in " ".join(tw.optimise(PANDAS).weights.notes)
