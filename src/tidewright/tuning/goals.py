"""What a study may be asked to make as good as can be: any metric of forecasts, or any figure of what they earn.

C positions in time: the cutoffs of validation, or the bars over which forecasts were traded. K sums a score is made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.metrics.accuracy import METRICS, sum_by_group
from tidewright.metrics.returns import OBJECTIVES, Sample
from tidewright.metrics.score_sums import ScoreSums, is_summed, sums_of_metric, sums_of_returns
from tidewright.training.evaluate import Evaluation, join_evaluations
from tidewright.training.trade import Earned, Trading, trade_forecasts

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Said = Evaluation | Earned
Number = TypeVar("Number", float, Doubles)


@dataclass(frozen=True, slots=True)
class Goal:
    """A metric that a study can be asked for: `of` says whether it is of forecasts or of net strategy returns, which
    way is better, and its unit. Inside a study all is made small; `show` turns it back."""

    name: str
    of: Literal["forecasts", "returns"]
    direction: Literal["lower", "higher", "nearest"]
    unit: str

    def show(self, value: Number) -> Number:
        """What is made small, as the metric's own value (of direction "nearest": its distance from where it should
        be)."""
        return -value if self.direction == "higher" else value

    @property
    def ratios(self) -> bool:
        """Whether one value can be a share of another: an error can, a Sharpe ratio can't."""
        return self.direction != "higher"


@dataclass(frozen=True, eq=False, slots=True)
class Judged:
    """What a trial came to: `value` is to be made small, `scores` are all metrics by name, `parts` [K, C] what each of
    the `positions` [C] adds to the value."""

    value: float
    scores: Mapping[str, float]
    positions: Ints
    parts: Doubles


def find_goal(name: str) -> Goal:
    """The goal of that name; an unknown one is an error that says which is near.

    >>> find_goal("sharpe").direction, find_goal("sharpe").show(-1.5), find_goal("mase").of
    ('higher', 1.5, 'forecasts')
    """
    if name in METRICS:
        return Goal(name, "forecasts", METRICS[name].direction, METRICS[name].unit)
    if name in OBJECTIVES:
        better: Literal["lower", "higher"] = "higher" if OBJECTIVES[name].direction == "higher" else "lower"
        return Goal(name, "returns", better, OBJECTIVES[name].unit)
    raise UnknownNameError(explain_unknown("metric", name, [*METRICS, *OBJECTIVES]))


def judge(said: Said, *, goal: Goal, panel: Panel, trading: Trading) -> Judged:
    """A model's forecasts of validation, or what its positions earned there, by a goal. For one of returns forecasts
    are traded (`trade_forecasts`). Raises `ConfigError` for positions by a metric of forecasts."""
    if isinstance(said, Earned):
        return judge_returns(said, goal=goal, panel=panel, scores={})
    if goal.of == "returns":
        earned = trade_forecasts(said, panel=panel, trading=trading)
        return judge_returns(earned, goal=goal, panel=panel, scores=said.scores)
    metric, scored = METRICS[goal.name], said.scored
    value = metric.badness(said.scores.get(goal.name, math.nan), scored=scored)
    positions, parts = per_cutoff(said, goal=goal)
    return Judged(float(value), said.scores, positions, parts)


def hear_positions(fitted: Any, *, goal: Goal, panel: Panel, split: Split, trading: Trading) -> Earned:
    """What learned positions (`fit_positions`) earn, decided at every step of validation. Raises `ConfigError` for a
    metric of forecasts."""
    from tidewright.training.positions import earn_fitted
    from tidewright.training.trade import SETTLED

    if goal.of != "returns":
        raise ConfigError(
            f"learned positions forecast nothing, so they have no {goal.name}. Ask for one of {', '.join(OBJECTIVES)}."
        )
    account = earn_fitted(fitted, panel=panel, cutoffs=split.validation, costs=trading.costs)
    first = split.validation.first + SETTLED
    positions = np.arange(first, first + len(account.returns), dtype=np.int64)
    return Earned(account.returns, positions, account.turnover)


def join_said(said: Sequence[Said]) -> Said:
    """What one candidate said on walk-forward folds, the oldest first, as one; the returns in the order of time."""
    if isinstance(said[0], Evaluation):
        return join_evaluations([one for one in said if isinstance(one, Evaluation)])
    earned = [one for one in said if isinstance(one, Earned)]
    return Earned(*(np.concatenate([getattr(one, name) for one in earned]) for name in Earned.__slots__))


def average(judged: Sequence[Judged]) -> Judged:
    """The mean of what one candidate came to from several seeds: its value, its scores, and the parts at each position
    (of returns: all seeds held in equal shares)."""
    if len(judged) == 1:
        return judged[0]
    names = [name for name in judged[0].scores if all(name in one.scores for one in judged)]
    return Judged(
        float(np.mean([one.value for one in judged])),
        {name: float(np.mean([one.scores[name] for one in judged])) for name in names},
        judged[0].positions,
        np.mean([one.parts for one in judged], axis=0),
    )


def judge_returns(earned: Earned, *, goal: Goal, panel: Panel, scores: Mapping[str, float]) -> Judged:
    """Net returns by a goal, annualised by the panel's calendar; every figure of returns joins the scores."""
    per_year = panel.frequency.periods_per_year
    sample = Sample.read(earned.returns, periods_per_year=per_year)
    figures = {name: float(one.compute(sample)) for name, one in OBJECTIVES.items()}
    figures["turnover"] = float(earned.turnover.sum()) / 2.0 * per_year / len(earned.returns)
    value = figures[goal.name]
    worse = -value if goal.direction == "higher" else value
    return Judged(float(worse), {**scores, **figures}, earned.positions, earned.returns[None])


def per_cutoff(evaluation: Evaluation, *, goal: Goal) -> tuple[Ints, Doubles]:
    """The cutoffs [C] of an evaluation and the two sums [2, C] of a metric of forecasts at each."""
    sums = sum_by_group(evaluation.scored, goal.name, group=evaluation.windows.cutoffs)
    return np.asarray(sums.groups, dtype=np.int64), np.stack([sums.numerator, sums.denominator])


def sum_parts(parts: Doubles, *, goal: Goal, coverage: float = 0.0, per_year: float = 1.0) -> ScoreSums | None:
    """The parts of several trials [K, C, N] as sums that any part of the time has a score from; None for a figure that
    depends on the order of returns. `coverage` is what the quantiles promise."""
    if goal.of == "forecasts":
        aim = coverage if goal.name == "coverage" else 0.0
        return sums_of_metric(parts[0], parts[1], metric=METRICS[goal.name], aim=aim)
    return sums_of_returns(parts[0], metric=goal.name, periods_per_year=per_year) if is_summed(goal.name) else None
