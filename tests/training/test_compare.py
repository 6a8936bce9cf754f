"""The leaderboard and its verdict, on forecasts whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import FitError
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows
from tidewright.metrics.accuracy import Scored
from tidewright.training.compare import Entrant, Leaderboard, compare
from tidewright.training.evaluate import Evaluation

Floats = npt.NDArray[np.float64]
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


def hold(*entrants: tuple[str, float, bool], metric: str = "mase") -> Leaderboard:
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


def few(entrant: Entrant, *, cutoffs: int) -> Entrant:
    """The same model, judged at the first few cutoffs of the validation part only."""
    whole = entrant.validation
    index = np.flatnonzero(whole.windows.cutoffs < whole.windows.cutoffs.min() + cutoffs)
    scored = whole.scored
    ones = np.ones(len(index))
    part = Scored(
        scored.actual[index],
        scored.forecast[index],
        levels=scored.levels,
        scale=ones,
        scale_squared=ones,
        series=whole.windows.series[index],
    )
    return replace(
        entrant, validation=Evaluation(whole.model, whole.windows.subset(index), whole.forecast[index], part)
    )


def test_where_no_test_can_be_made_the_p_value_is_missing_and_the_reason_says_why() -> None:
    panel, split = make_world()
    floor = few(pretend("naive", 2.0, panel=panel, split=split, seed=0, floor=True), cutoffs=5)
    net = few(pretend("net", 0.1, panel=panel, split=split, seed=1), cutoffs=5)
    board = compare([floor, net], metric="mase", horizon=TASK.horizon, strides=(1, 1))
    comparison = board.row("net").comparison
    assert (board.beat_floor, comparison.basis) == (False, "none")
    assert np.isnan(comparison.p_value)
    assert np.isnan(comparison.adjusted)
    assert "no test could be made: 5 cutoffs are too few for 2 lags" in board.reason
    assert "4 series at 5 cutoffs are too few" in board.reason


@pytest.mark.parametrize("metric", ["mae", "rmse", "rmsse", "wape", "crps"])
def test_with_few_cutoffs_and_many_series_the_test_is_made_over_series(metric: str) -> None:
    panel = small_panel(series=12, rows=200, covariates=False)
    split = split_holdout(panel, TASK, validation=40, test=40, stride=1)
    floor = few(pretend("naive", 2.0, panel=panel, split=split, seed=0, floor=True), cutoffs=9)
    net = few(pretend("net", 1.0, panel=panel, split=split, seed=1), cutoffs=9)
    board = compare([floor, net], metric=metric, horizon=TASK.horizon, strides=(1, 1))
    comparison = board.row("net").comparison
    assert (board.winner, comparison.basis, comparison.n) == ("net", "series", 12)
    assert comparison.p_value < 0.001


def test_a_root_is_tested_by_its_square() -> None:
    panel, split = make_world()
    field = [
        pretend("naive", 1.0, panel=panel, split=split, seed=0, floor=True),
        pretend("net", 0.97, panel=panel, split=split, seed=7),
    ]
    p_values = {
        metric: compare(field, metric=metric, horizon=TASK.horizon, strides=(1, 1)).row("net").comparison.p_value
        for metric in ("mse", "rmse", "rmsse")
    }
    assert p_values["rmse"] == p_values["mse"]
    assert p_values["rmsse"] == pytest.approx(p_values["mse"], rel=1e-9)  # every scale is 1 here


def equals(count: int, *, rng: np.random.Generator, tried: int = 1) -> list[Entrant]:
    """A floor and some models that are exactly as good, each the best of `tried` on validation; one series."""
    actual = rng.normal(size=(60, 1))
    found = []
    for number in range(count + 1):
        floor = number == 0
        draws = [actual + rng.normal(size=(60, 1)) for _ in range(1 if floor else tried)]
        best = min(draws, key=lambda draw: float(np.abs(draw - actual).mean()))
        evaluation = stand_alone(f"model {number}", actual, best)
        found.append(Entrant(evaluation, evaluation, floor, seconds=0.0, cpu_seconds=0.0, tried=tried))
    return found


@cache
def sixty_windows() -> Windows:
    """The windows of one series at sixty cutoffs."""
    panel, _ = make_world()
    alone = panel.select([panel.series_ids[0]])
    return cut_windows(alone, View(2), horizon=1, cutoffs=Cutoffs(10, 69), labelled=False)


def stand_alone(name: str, actual: Floats, point: Floats) -> Evaluation:
    windows = sixty_windows()
    return Evaluation(name, windows, point[:, :, None], Scored(actual, point, series=windows.series))


@pytest.mark.parametrize(("models", "tried"), [(1, 1), (3, 1), (1, 10)])
def test_models_as_good_as_their_floor_are_called_better_in_at_most_one_world_of_twenty(
    models: int, tried: int
) -> None:
    rng, worlds = np.random.default_rng(models + tried), 300
    wins = sum(
        compare(equals(models, rng=rng, tried=tried), metric="mae", horizon=1, strides=(1, 1)).beat_floor
        for _ in range(worlds)
    )
    assert wins <= binom.ppf(0.99, worlds, 0.05)


def test_without_a_model_the_reason_says_why_none_took_part() -> None:
    panel, split = make_world()
    field = [pretend("naive", 2.0, panel=panel, split=split, seed=0, floor=True)]
    asked = {"metric": "mase", "horizon": TASK.horizon, "strides": (1, 1)}
    assert compare(field, **asked).reason == "no model was asked for; naive is the best floor."
    failed = {"extra_trees": "no series has 96 rows.", "drift": "it is a floor"}
    board = compare(field, failed=failed, **asked)
    assert (board.winner, board.beat_floor, board.failed) == ("naive", False, failed)
    assert board.reason == (
        "no model that was asked for could take part (extra_trees: no series has 96 rows); naive is the best floor."
    )
