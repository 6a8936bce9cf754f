"""A walk-forward: nothing from later, refits and searches when they are due, each decision made again."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.market import to_returns
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.errors import ConfigError, DataError, FitError, ShortSeriesError
from tidewright.models.spec import FLOORS
from tidewright.portfolio.forecasts.read import read_predictions
from tidewright.portfolio.universe import Universe
from tidewright.workflows.decide import predict
from tidewright.workflows.walk_forward import WalkForward, walk_forward
from tidewright.workflows.walk_record import repeat_decision
from tidewright.workflows.walk_settings import WalkSettings

STOCKS, DAYS = ("A", "B", "C", "D", "E"), 330
FEW = {"lightgbm": {"rounds": 20, "min_leaf": 10, "learning_rate": 0.2}}
WALK = {"horizon": 1, "validation": 60, "lookback": 30, "refit_every": 50, "decide_every": 7, "view_lookback": 3}


@cache
def make_prices(*, changed_from: int = DAYS) -> Panel:
    """Returns of a logistic map: trees see what follows, and no line does. Later rows may be others."""
    rng = np.random.default_rng(3)
    state, returns = rng.uniform(-0.9, 0.9, len(STOCKS)), np.empty((DAYS, len(STOCKS)))
    for day in range(DAYS):
        state = 1.0 - 1.95 * state**2
        returns[day] = 0.01 * state + 0.001 * rng.standard_normal(len(STOCKS))
    returns[changed_from:] *= -0.5
    prices = 100.0 * np.cumprod(1.0 + returns, axis=0)
    days = [date(2023, 1, 1) + timedelta(days=n) for n in range(DAYS)]
    parts = [pl.DataFrame({"stock": name, "day": days, "price": prices[:, n]}) for n, name in enumerate(STOCKS)]
    return Panel.from_table(pl.concat(parts), series="stock", time="day", target="price")


def make_walk(prices: Panel | None = None, folder: Path | None = None, **options: Any) -> WalkForward:
    return walk_forward(prices or make_prices(), folder=folder, **{**WALK, "models": FEW, **options})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> WalkForward:
    return make_walk(folder=tmp_path_factory.mktemp("walks"))


def test_a_model_that_beats_its_floor_moves_weights_towards_what_it_says(recorded: WalkForward) -> None:
    assert [one.winner for one in recorded.refits] == ["lightgbm"] * 5
    assert [one.name for one in recorded.strategies] == ["equal weight", "hrp", "hrp + forecast"]
    moved = recorded.targets["hrp + forecast"] / recorded.targets["hrp"]
    said = recorded.predictions["lightgbm"]
    for row, score in zip(moved, said.expected() / said.spread(), strict=True):
        assert (np.diff(row[np.argsort(score)]) >= -1e-12).all()  # equal where both are at their bound
        assert row.max() > row.min()
    skill = recorded.skill("lightgbm")
    assert skill.beats_floor
    assert skill.mean > 0.5 > skill.floor_mean


def test_later_rows_leave_what_was_decided_before_them_bit_for_bit(recorded: WalkForward) -> None:
    position = 215  # of the returns' grid: the decision of this bar knows it
    other = make_walk(make_prices(changed_from=position + 1))
    before = recorded.times <= make_prices().frequency.times(np.array([position])).astype("datetime64[us]")[0]
    assert 10 < before.sum() < len(before)
    for name, weights in recorded.targets.items():
        np.testing.assert_array_equal(other.targets[name][before], weights[before])
        assert name == "equal weight" or (other.targets[name][~before] != weights[~before]).any()
    for name, one in recorded.predictions.items():
        np.testing.assert_array_equal(other.predictions[name].quantiles[before], one.quantiles[before])


def test_what_was_predicted_is_read_again_from_the_record(recorded: WalkForward) -> None:
    assert recorded.folder is not None
    table = pl.read_parquet(recorded.folder / "predictions.parquet")
    assert set(table["model"]) == {*FLOORS, "lightgbm"}
    kept, said = read_predictions(table, model="lightgbm"), recorded.predictions["lightgbm"]
    np.testing.assert_array_equal(kept.quantiles, said.quantiles)
    np.testing.assert_array_equal(kept.times, said.times)
    assert (said.times[:, 0] > said.cutoffs).all()


def test_a_model_says_the_same_of_the_last_bar_of_a_table_as_of_the_same_bar_of_a_longer_one(
    recorded: WalkForward,
) -> None:
    fitted, panel = recorded.refits[0].fitted["lightgbm"], to_returns(make_prices())
    assert fitted.view.calendar  # which the last bar of a table lacks for the steps after it
    last = Cutoffs(200, 200)
    alone = predict(fitted, panel.until(200), cutoffs=last)
    np.testing.assert_array_equal(alone.quantiles, predict(fitted, panel, cutoffs=last).quantiles)


@pytest.mark.parametrize("place", [0, 17, -1])
def test_every_decision_can_be_made_again_from_the_record(recorded: WalkForward, place: int) -> None:
    assert recorded.folder is not None
    again = repeat_decision(recorded.folder, make_prices(), time=str(recorded.times[place]))
    assert again.difference == 0.0
    np.testing.assert_array_equal(again.again["hrp + forecast"].values, recorded.targets["hrp + forecast"][place])
    kept = pl.read_parquet(recorded.folder / "equity.parquet").filter(pl.col("strategy") == "hrp")
    np.testing.assert_array_equal(kept["equity"], recorded.strategies[1].ledger.equity)


def test_a_record_refuses_other_data_and_other_times(recorded: WalkForward, tmp_path: Path) -> None:
    assert recorded.folder is not None
    with pytest.raises(DataError, match="not that of the record"):
        repeat_decision(recorded.folder, make_prices(changed_from=200))
    with pytest.raises(ConfigError, match=r"nothing was decided at 2023-02-01 .* the nearest are 20"):
        repeat_decision(recorded.folder, make_prices(), time="2023-02-01")
    with pytest.raises(ConfigError, match="holds no whole record"):
        repeat_decision(tmp_path, make_prices())


def test_a_search_is_made_when_it_is_due_and_its_trials_are_counted(tmp_path: Path) -> None:
    short = {"refit_every": 100, "trials": 2, "models": {"lightgbm": {**FEW["lightgbm"], "rounds": 5}}}
    walk = make_walk(folder=tmp_path, retune_every=200, first="2023-05-01", decide_every=40, trials_before=7, **short)
    assert [one.searched for one in walk.refits] == [True, False, True]
    assert walk.trials == 6 + 1 + 2 * 2 + 7  # floors, the model, two searches, what came before
    assert all(one.deflated.trials == walk.trials for one in walk.strategies if one.deflated is not None)
    assert walk.folder is not None
    assert repeat_decision(walk.folder, make_prices()).difference == 0.0  # without searching again


def test_a_search_that_fails_leaves_its_model_out_until_the_next_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise FitError("every trial failed")

    monkeypatch.setattr("tidewright.tuning.tune.tune", fail)
    walk = make_walk(refit_every=100, retune_every=200, first="2023-05-01", decide_every=40)
    assert ["lightgbm" in one.fitted for one in walk.refits] == [False, False, False]
    assert sum("its search: every trial failed" in note for note in walk.notes) == 2  # searched twice
    np.testing.assert_array_equal(walk.targets["hrp"], walk.targets["hrp + forecast"])


def test_what_validates_and_what_trains_end_before_the_refit() -> None:
    walk = make_walk(train_bars=70, horizon=3, purge=5, embargo=2, models={}, first="2023-07-01")
    for one in walk.refits:
        assert one.split.validation.last + 3 <= one.position
        assert one.split.validation.first - one.split.train.last >= 5 + 2
        assert len(one.split.train) == 70
        assert one.winner is None
    np.testing.assert_array_equal(walk.targets["hrp"], walk.targets["hrp + forecast"])


def test_costs_money_and_rules_are_heard() -> None:
    plain = make_walk(models={}, refit_every=400)
    dear = make_walk(models={}, refit_every=400, fee_bps=50.0, half_spread_bps=30.0, initial_cash=500.0)
    assert dear.strategies[1].ledger.equity[0] == 500.0
    assert dear.strategies[1].summary["cost_drag"] > 10 * plain.strategies[1].summary["cost_drag"]
    other = make_walk(models={}, refit_every=400, rule="inverse_variance", lookback=50, seed=4, metric="rmse")
    assert list(other.targets) == ["equal weight", "inverse_variance", "inverse_variance + forecast"]
    assert other.refits[0].board.metric == "rmse"
    assert other.weights("inverse_variance").values.sum() == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="no strategy is called 'hrp'"):
        other.weights("hrp")


def test_limits_hold_and_names_come_when_they_are_members(tmp_path: Path) -> None:
    spells = {"who": list(STOCKS), "from": [*["2023-01-01"] * 4, "2023-07-01"], "to": ["2023-08-01", *[None] * 4]}
    universe = Universe.from_table(pl.DataFrame(spells), asset="who", start="from", end="to")
    told = {
        "rule": "min_variance",
        "limits": ("tech <= 0.35", "each <= 0.5", "turnover <= 0.4"),
        "groups": dict.fromkeys("BC", "tech"),
    }
    given = {"models": {}, "refit_every": 400, "covariance": "sample", **told}
    walk = make_walk(folder=tmp_path, universe=universe, **given)
    weights, days = walk.targets["min_variance"], walk.times.astype("datetime64[D]")
    assert (weights[:, [1, 2]].sum(axis=1) <= 0.35 + 1e-6).all()
    assert weights.max() <= 0.5 + 1e-6
    assert (weights[days >= np.datetime64("2023-08-01"), 0] == 0.0).all()
    assert (weights[days < np.datetime64("2023-07-01"), 4] == 0.0).all()
    assert weights[:, [0, 4]].any(axis=0).all()
    assert walk.strategies[1].ledger.turnover[2:].max() <= 0.9 / 2 + 1e-6  # one-way; the entry has no limit
    assert walk.folder is not None
    again = repeat_decision(walk.folder, make_prices(), universe=universe, time=str(walk.times[-1]))
    assert again.difference == 0.0
    with pytest.raises(DataError, match="the universe given is not that"):
        repeat_decision(walk.folder, make_prices())


def test_an_asset_that_comes_late_has_weight_once_its_lookback_is_whole() -> None:
    table = make_prices().table.filter((pl.col("stock") != "E") | (pl.col("day") >= date(2023, 7, 1)))
    walk = make_walk(Panel.from_table(table, series="stock", time="day", target="price"), models={}, refit_every=400)
    has = walk.targets["hrp"][:, 4] > 0.0
    assert not has[walk.times < np.datetime64("2023-07-31")].any()
    assert has[walk.times >= np.datetime64("2023-07-31")].all()
    assert any("'E' for one" in note for note in walk.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refit": 3}, "no option is called 'refit'. Did you mean"),
        ({"models": {"lightgmb": {}}}, "Did you mean 'lightgbm'"),
        ({"models": {"naive": {}}}, "naive is a floor"),
        ({"rule": "hpr"}, "Did you mean 'hrp'"),
        ({"retune_every": 60}, "no multiple of refit_every 50"),
        ({"first": "soon"}, "no ISO time"),
        ({"first": "2031-01-01"}, "after the last bar"),
        ({"horizon": 0}, "horizon"),
        ({"settings": WalkSettings()}, "Give one or the other"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_walk(**options)


def test_too_little_before_the_first_decision_or_after_it_is_an_error() -> None:
    with pytest.raises(ShortSeriesError, match="Begin later"):
        make_walk(first="2023-01-20")
    with pytest.raises(ShortSeriesError, match="Begin earlier"):
        make_walk(first="2023-11-26")
    with pytest.raises(ConfigError, match="not those of the prices"):
        walk_forward(make_prices(), panel=to_returns(make_prices()).select(["A", "B"]), folder=None)
