"""A leaderboard: every model beside every floor, with error bars, and which one may ship.

Models are compared on the validation part, where the choice is made; the test part is scored once, for the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidewright.errors import FitError
from tidewright.metrics.accuracy import METRICS, Scored, find_metric, loss_by_cutoff, sum_by_group
from tidewright.metrics.bootstrap import Interval, block_bootstrap_ratio, choose_block
from tidewright.metrics.comparison import compare_across_series, diebold_mariano, holm
from tidewright.models.spec import CLASS_FLOORS, FLOORS
from tidewright.training.evaluate import Evaluation

LEVEL = 0.05
LOSSES = tuple(  # what can rank models of numbers
    name for name, metric in METRICS.items() if metric.direction == "lower" and metric.of == "numbers"
)
CLASS_LOSSES = ("log_loss", "brier")  # and of classes


@dataclass(frozen=True, slots=True)
class Comparison:
    """A test of whether a model's loss is lower than the best floor's: its one-sided p-value, as it is and adjusted for
    the number of models (Holm 1979) and of settings tried, and what it was taken over.

    `basis` is "cutoffs" (Diebold and Mariano 1995 over time) or, where there are too few cutoffs, "series" (a t test of
    the mean difference of each series, made only where these hardly move together). A NaN p-value has a `reason`.
    """

    p_value: float
    basis: Literal["cutoffs", "series", "none"]
    n: int
    reason: str = ""
    adjusted: float = float("nan")


@dataclass(frozen=True, slots=True)
class Row:
    """One model of a leaderboard: `interval` is of the test score, `skill` 1 - validation score / the best floor's."""

    model: str
    floor: bool
    validation: Mapping[str, float]
    test: Mapping[str, float]
    interval: Interval | None
    comparison: Comparison
    skill: float
    seconds: float
    cpu_seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Rows from the best validation score to the worst, and the verdict: what ships, and why.

    `beat_floor` is true when the best model's validation score is better than the best floor's and the difference is
    significant at 5 % after Holm's correction for the number of models.
    """

    metric: str
    rows: tuple[Row, ...]
    best_floor: str
    winner: str
    beat_floor: bool
    reason: str
    failed: Mapping[str, str] = field(default_factory=dict)

    def row(self, model: str) -> Row:
        """The row of a model."""
        return next(row for row in self.rows if row.model == model)


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model that takes part: its scores on both parts (a fold of a walk has no test), and what it cost.

    `tried` is how many settings of it were tried on validation, this one the best: its p-value is multiplied by that.
    """

    validation: Evaluation
    test: Evaluation | None
    floor: bool
    seconds: float
    cpu_seconds: float
    note: str = ""
    tried: int = 1


def compare(
    entrants: Sequence[Entrant],
    *,
    metric: str,
    horizon: int,
    strides: tuple[int, int],
    seed: int = 0,
    failed: Mapping[str, str] | None = None,
) -> Leaderboard:
    """The leaderboard of some models and floors. `strides` are the distances between validation and test cutoffs.

    Where the metric is undefined (MASE of series that never move), rows are in order of MAE, and the reason says so.
    """
    used, why = usable_metric(metric, [part for e in entrants for part in (e.validation, e.test) if part is not None])
    floors = [e for e in entrants if e.floor]
    if not floors:
        raise FitError("no floor could be fitted, so that no model can be judged. Bring longer series.")
    ranked = sorted(entrants, key=lambda e: _value(e, used))
    best_floor = min(floors, key=lambda e: _value(e, used))
    models = [e for e in ranked if not e.floor]
    tests = {
        e.validation.model: compare_two(
            e.validation, best_floor.validation, metric=used, horizon=horizon, stride=strides[0]
        )
        for e in models
    }
    raised = [e.tried * tests[e.validation.model].p_value for e in models]
    adjusted = holm(np.minimum(raised, 1.0))  # a NaN stays one
    for entrant, p_value in zip(models, adjusted, strict=True):
        tests[entrant.validation.model] = replace(tests[entrant.validation.model], adjusted=float(p_value))
    base = _value(best_floor, used)
    rows = tuple(
        Row(
            model=e.validation.model,
            floor=e.floor,
            validation=e.validation.scores,
            test={} if e.test is None else e.test.scores,
            interval=_interval(e, used, horizon, strides[1], seed),
            comparison=tests.get(e.validation.model, Comparison(float("nan"), "none", 0, "a floor")),
            skill=1.0 - _value(e, used) / base if base > 0 else 0.0,
            seconds=e.seconds,
            cpu_seconds=e.cpu_seconds,
            note=e.note,
        )
        for e in ranked
    )
    winner, beat, reason = (
        _verdict(models, best_floor, used, adjusted, tests) if models else _default(best_floor, failed)
    )
    return Leaderboard(used, rows, best_floor.validation.model, winner, beat, why + reason, dict(failed or {}))


def usable_metric(metric: str, evaluations: Sequence[Evaluation]) -> tuple[str, str]:
    """The metric, or mae and the reason where it is undefined for one of the evaluations."""
    find_metric(metric)
    if all(np.isfinite(e.scores.get(metric, np.nan)) for e in evaluations):
        return metric, ""
    return "mae", f"{metric} is undefined on a scored part, so models were compared by mae. "


def rank_value(evaluation: Evaluation, metric: str) -> float:
    """What models are ranked by: smaller is better."""
    return find_metric(metric).badness(evaluation.scores[metric], scored=evaluation.scored)


def bootstrap_score(
    numerator: npt.NDArray[np.float64],
    denominator: npt.NDArray[np.float64],
    *,
    metric: str,
    horizon: int,
    stride: int,
    seed: int = 0,
) -> Interval | None:
    """The interval of a score from its two sums at each of C cutoffs [C], `stride` steps apart, by a block bootstrap;
    None where there are fewer than 3."""
    count = len(numerator)
    if count < 3:
        return None
    block = choose_block(count, lags=-(-horizon // stride) - 1)
    interval = block_bootstrap_ratio(numerator, denominator, block=block, seed=seed)
    if find_metric(metric).root:  # the ends of a monotone map are the map of the ends
        return replace(interval, low=float(np.sqrt(interval.low)), high=float(np.sqrt(interval.high)))
    return interval


def mean_losses(scored: Scored, metric: str, group: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The mean loss of each group of windows; of a root, which is no mean of losses, the square."""
    if not find_metric(metric).root:
        return loss_by_cutoff(scored, metric, cutoff=group)
    sums = sum_by_group(scored, metric, group=group)
    losses = np.full(sums.numerator.shape, np.nan)
    np.divide(sums.numerator, sums.denominator, out=losses, where=sums.denominator > 0)
    return losses


def _value(entrant: Entrant, metric: str) -> float:
    return rank_value(entrant.validation, metric)


def compare_two(ours: Evaluation, theirs: Evaluation, *, metric: str, horizon: int, stride: int) -> Comparison:
    """The test of whether the loss of one is lower than the other's on the same windows, `stride` steps apart."""
    cutoffs = ours.windows.cutoffs
    over_time = diebold_mariano(
        mean_losses(ours.scored, metric, cutoffs),
        mean_losses(theirs.scored, metric, cutoffs),
        horizon=horizon,
        stride=stride,
    )
    if np.isfinite(over_time.p_value):
        return Comparison(over_time.p_value, "cutoffs", over_time.n, over_time.reason)
    across = compare_across_series(_by_series(ours, theirs, metric))
    if np.isfinite(across.p_value):
        return Comparison(across.p_value, "series", across.n, across.reason or over_time.reason)
    return Comparison(float("nan"), "none", over_time.n, f"{over_time.reason}, and {across.reason}")


def _by_series(ours: Evaluation, theirs: Evaluation, metric: str) -> npt.NDArray[np.float64]:
    """Our loss minus theirs at each cutoff and series [C, S]; NaN where there is no window."""
    each = np.arange(len(ours.windows))
    found, rows = np.unique(ours.windows.cutoffs, return_inverse=True)
    table = np.full((len(found), len(ours.windows.offsets) - 1), np.nan)
    table[rows, ours.windows.series] = mean_losses(ours.scored, metric, each) - mean_losses(theirs.scored, metric, each)
    return table


def _interval(entrant: Entrant, metric: str, horizon: int, stride: int, seed: int) -> Interval | None:
    if entrant.test is None:
        return None
    sums = sum_by_group(entrant.test.scored, metric, group=entrant.test.windows.cutoffs)
    return bootstrap_score(sums.numerator, sums.denominator, metric=metric, horizon=horizon, stride=stride, seed=seed)


def _default(floor: Entrant, failed: Mapping[str, str] | None) -> tuple[str, bool, str]:
    """The best floor, where no model takes part, and why none does."""
    name = floor.validation.model
    left_out = {model: why for model, why in (failed or {}).items() if model not in (*FLOORS, *CLASS_FLOORS)}
    if not left_out:
        return name, False, f"no model was asked for; {name} is the best floor."
    told = "; ".join(f"{model}: {why.removesuffix('.')}" for model, why in left_out.items())
    return name, False, f"no model that was asked for could take part ({told}); {name} is the best floor."


def _verdict(
    models: Sequence[Entrant],
    floor: Entrant,
    metric: str,
    adjusted: npt.NDArray[np.float64],
    tests: Mapping[str, Comparison],
) -> tuple[str, bool, str]:
    name = floor.validation.model
    base = _value(floor, metric)
    for entrant, p_value in zip(models, adjusted, strict=True):
        if _value(entrant, metric) < base and p_value < LEVEL:
            model = entrant.validation.model
            gain = 1.0 - _value(entrant, metric) / base
            basis = tests[model].basis
            return (
                model,
                True,
                (
                    f"{model} beat the best floor, {name}, on validation by {gain:.1%} in {metric.upper()} "
                    f"(p {p_value:.2g} over {tests[model].n} {basis}, Holm-adjusted)."
                ),
            )
    best = models[0].validation.model
    if _value(models[0], metric) >= base:
        return (
            name,
            False,
            f"no model beat its floor: {best}, the best, is no better than {name} on validation.",
        )
    test = tests[best]
    why = f"p {adjusted[0]:.2g}, Holm-adjusted" if np.isfinite(adjusted[0]) else f"no test could be made: {test.reason}"
    gain = 1.0 - _value(models[0], metric) / base
    return (
        name,
        False,
        f"no model beat its floor with significance: {best} is {gain:.1%} better than {name} on validation ({why}).",
    )
