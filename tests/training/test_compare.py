"""The leaderboard and its verdict, on forecasts whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import FitError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.metrics.accuracy import Scored
from tidewright.training.compare import Entrant, compare
from tidewright.training.evaluate import Evaluation

TASK = Task(horizon=3)


def make_world() -> tuple[Panel, Split]:
    panel = small_panel(rows=400, covariates=False)
    return panel, split_holdout(panel, TASK, validation=120, test=120, stride=1)


def pretend(name: str, error: float, *, panel: Panel, split: Split, seed: int, floor: bool = False) -> Entrant:
    """A model whose forecasts are the actual values and noise of a given size."""
    draw = np.random.default_rng(seed)
    parts = []
    assert split.test is not None
    for cutoffs in (split.validation, split.test):
        windows = cut_windows(panel, View(8), horizon=TASK.horizon, cutoffs=cutoffs, least=1)
        actual = windows.labels()
        point = np.nan_to_num(actual, nan=50.0) + error * draw.normal(size=actual.shape)
        forecast = point[:, :, None] + np.array([-1.0, 0.0, 1.0])
        ones = np.ones(len(windows))
        scored = Scored(actual, forecast, levels=TASK.quantiles, scale=ones, scale_squared=ones, series=windows.series)
        parts.append(Evaluation(name, windows, forecast, scored))
    return Entrant(parts[0], parts[1], floor, seconds=1.0, cpu_seconds=1.0)


def hold(*entrants: tuple[str, float, bool], metric: str = "mase") -> object:
    panel, split = make_world()
    field = [pretend(n, e, panel=panel, split=split, seed=i, floor=f) for i, (n, e, f) in enumerate(entrants)]
    return compare(field, metric=metric, horizon=TASK.horizon, strides=(1, 1))


def test_a_clearly_better_model_beats_its_floor_and_ships() -> None:
    board = hold(("naive", 2.0, True), ("seasonal", 3.0, True), ("net", 1.0, False))
    assert (board.winner, board.beat_floor, board.best_floor) == ("net", True, "naive")
    assert "net beat the best floor, naive, on validation by" in board.reason
    assert board.row("net").skill == pytest.approx(0.5, abs=0.05)


def test_a_model_as_good_as_its_floor_does_not_ship() -> None:
    board = hold(("naive", 1.0, True), ("net", 1.0, False))
    assert (board.winner, board.beat_floor) == ("naive", False)
    assert board.reason.startswith("no model beat its floor")


def test_a_worse_model_does_not_ship_and_the_reason_says_which_floor_was_better() -> None:
    board = hold(("naive", 1.0, True), ("net", 2.0, False))
    assert board.winner == "naive"
    assert "net, the best, is no better than naive" in board.reason


def test_rows_stand_in_the_order_of_their_validation_score() -> None:
    board = hold(("naive", 2.0, True), ("net", 1.0, False), ("worse", 3.0, False))
    assert [row.model for row in board.rows] == ["net", "naive", "worse"]


def test_the_interval_of_the_test_score_holds_it() -> None:
    board = hold(("naive", 2.0, True), ("net", 1.0, False), metric="rmse")
    for row in board.rows:
        assert row.interval is not None
        assert row.interval.low < row.test["rmse"] < row.interval.high


def test_an_undefined_metric_is_replaced_by_mae_and_the_reason_says_so() -> None:
    panel, split = make_world()
    entrant = pretend("naive", 1.0, panel=panel, split=split, seed=0, floor=True)
    scored = Scored(entrant.validation.scored.actual, entrant.validation.forecast, levels=TASK.quantiles)
    entrant = Entrant(
        Evaluation("naive", entrant.validation.windows, entrant.validation.forecast, scored),
        entrant.test,
        True,
        0.0,
        0.0,
    )
    board = compare([entrant], metric="mase", horizon=3, strides=(1, 1))
    assert board.metric == "mae"
    assert "mase is undefined" in board.reason


def test_without_a_floor_nothing_can_be_judged() -> None:
    with pytest.raises(FitError, match="no floor could be fitted"):
        hold(("net", 1.0, False))


def test_a_model_that_is_the_best_of_many_trials_needs_a_smaller_p_value() -> None:
    panel, split = make_world()
    floor = pretend("naive", 1.0, panel=panel, split=split, seed=0, floor=True)
    once = pretend("net", 0.97, panel=panel, split=split, seed=7)
    alone = compare([floor, once], metric="mase", horizon=TASK.horizon, strides=(1, 1)).row("net").comparison
    tuned = Entrant(once.validation, once.test, False, 1.0, 1.0, tried=20)
    among = compare([floor, tuned], metric="mase", horizon=TASK.horizon, strides=(1, 1)).row("net").comparison
    assert among.p_value == alone.p_value
    assert among.adjusted == pytest.approx(min(1.0, 20 * alone.adjusted))
