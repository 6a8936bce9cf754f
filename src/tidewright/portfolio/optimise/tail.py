"""The least expected shortfall over scenarios, as a linear program. T scenarios, A assets, S of them in the program.

Source: Rockafellar and Uryasev 2000, Optimization of Conditional Value-at-Risk: the least of
alpha + sum(max(loss - alpha, 0)) / ((1 - confidence) T). Only scenarios in the tail are worth a row: the program
begins with those that are worst for some portfolios, and those that its answer puts beyond alpha are added until there
are none. A program of fewer rows has no higher optimum, so the last answer is that of all scenarios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.cones import Answer, Block, Objective
from tidewright.portfolio.optimise.goals import bound_return, tell_return
from tidewright.portfolio.optimise.problem import Columns, Problem, lay_out
from tidewright.portfolio.optimise.rows import write_costs, write_limits
from tidewright.portfolio.optimise.solve import Goal, Solved, reach, tidy

_BEYOND = 1e-9  # of the unit: a loss this little over alpha is not in the tail
_START = 3  # times the scenarios of the tail, to begin with


def min_cvar(problem: Problem, *, extra: Sequence[Block] = (), confidence: float = 0.95) -> Solved:
    """The least expected shortfall (a loss, positive) of one period, with costs, over equally likely scenarios."""
    return _find_least(problem, extra=extra, confidence=confidence, target=None)


def mean_cvar(problem: Problem, *, extra: Sequence[Block] = (), target: float, confidence: float = 0.95) -> Solved:
    """The same with an expected return a period, after costs and cash's own, of at least the target."""
    return _find_least(problem, extra=extra, confidence=confidence, target=target)


def _find_least(problem: Problem, *, extra: Sequence[Block], confidence: float, target: float | None) -> Solved:
    rows = problem.scenarios.shape[0]
    if not 0.0 < confidence < 1.0:
        raise AllocationError(f"confidence is {confidence!r}; it is a share above 0 and below 1, such as 0.95.")
    if not rows:
        raise AllocationError("expected shortfall is of scenarios, and there are no returns. Bring returns [T, A].")
    columns = lay_out(problem)
    blocks = [*write_limits(problem, columns), *extra]
    bounds = () if target is None else (bound_return(problem, columns, target=target),)
    words = () if target is None else (tell_return(target),)
    unit = float(problem.scenarios.std()) or 1.0
    losses = -problem.scenarios / unit
    chosen = _worst(losses.mean(axis=1), confidence=confidence)
    while True:
        goal = _write_tail(problem, columns, losses=losses[chosen], share=(1.0 - confidence) * rows, unit=unit)
        goal = replace(goal, blocks=(*bounds, *goal.blocks), targets=words)
        answer = reach(problem, columns, blocks=blocks, goal=goal)
        lost = losses @ answer.x[: columns.assets]
        beyond = np.flatnonzero(lost > answer.x[columns.total] + _BEYOND)
        if np.isin(beyond, chosen).all():
            break
        chosen = np.union1d(np.union1d(chosen, beyond), _worst(lost, confidence=confidence))
    return _conclude(problem, blocks=[*blocks, *goal.blocks], answer=answer, confidence=confidence)


def mean_tail(losses: FloatArray, *, confidence: float) -> float:
    """The mean of the worst 1 - confidence of losses [T], with a part of one where the share is no whole number.

    >>> mean_tail(np.array([1.0, 4.0, 3.0, 2.0]), confidence=0.625)  # (4 + 0.5 * 3) / 1.5
    3.6666666666666665
    """
    share = (1.0 - confidence) * losses.size
    ordered = np.sort(losses)[::-1]
    weights = np.clip(share - np.arange(losses.size), 0.0, 1.0)
    return float(ordered @ weights / share)


def _worst(losses: FloatArray, *, confidence: float) -> NDArray[np.intp]:
    count = min(losses.size, ceil(_START * (1.0 - confidence) * losses.size) + 20)
    return np.sort(np.argpartition(-losses, count - 1)[:count])


def _write_tail(problem: Problem, columns: Columns, *, losses: FloatArray, share: float, unit: float) -> Goal:
    """alpha stands after the problem's columns, then one column a scenario for what it loses beyond alpha."""
    count, first = len(losses), columns.total + 1
    one, none = np.eye(count), np.zeros(count)
    costs, _ = write_costs(problem, columns)
    blocks = (
        Block("positive", {first: one}, none),
        Block("positive", {first: one, columns.total: np.ones((count, 1)), 0: -losses}, none),
    )
    return Goal(Objective(np.concatenate([costs / unit, [1.0], np.full(count, 1.0 / share)])), blocks=blocks)


def _conclude(problem: Problem, *, blocks: Sequence[Block], answer: Answer, confidence: float) -> Solved:
    weights, excess, notes = tidy(problem, blocks=blocks, answer=answer)
    value = mean_tail(-problem.scenarios @ weights, confidence=confidence) + problem.cost(weights)
    return Solved(weights, value, answer.status, answer.gap, answer.iterations, excess, notes)
