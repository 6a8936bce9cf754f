"""Weights that know no limits, moved to the nearest that keep them. A assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.optimise.cones import Block, Objective
from tidewright.portfolio.optimise.few_names import solve_few
from tidewright.portfolio.optimise.problem import Problem, lay_out
from tidewright.portfolio.optimise.read import Held, read_problem
from tidewright.portfolio.optimise.rows import write_limits
from tidewright.portfolio.optimise.solve import SLIGHT, Goal, Solved, reach, tidy
from tidewright.portfolio.weights import Weights


def move_within(
    weights: Weights,
    returns: ArrayLike | None,
    /,
    *,
    limits: Limits,
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    previous: Held | None = None,
) -> Weights:
    """The weights themselves where they keep the limits, else those nearest to them, by the squares of the changes.

    A note says which limits were broken and how much of the money moved. Limits that can't be kept together are an
    AllocationError that names them.

    >>> both = Weights(assets=("A", "B", "C"), values=np.array([0.6, 0.3, 0.1]), method="by hand")
    >>> risk = Covariance(values=np.eye(3), assets=both.assets, method="by hand")
    >>> move_within(both, None, limits=Limits.parse("A <= 0.4"), covariance=risk).values.round(6)
    array([0.4, 0.4, 0.2])
    """
    problem = read_problem(
        returns, assets=weights.assets, times=times, covariance=covariance, limits=limits, previous=previous
    )
    if limits.turnover is not None and problem.previous is None:
        write_limits(problem, lay_out(problem))  # says what is missing
    found = limits.excess(
        weights.values, assets=problem.assets, previous=problem.previous, covariance=problem.covariance
    )
    broken = {words: value for words, value in found.items() if value > SLIGHT}
    if not broken:
        return replace(weights, notes=(*weights.notes, "the limits hold without a change"))
    solved = solve_few(problem, partial(nearest, aim=weights.values))
    total = float(solved.weights.sum())
    told = ", ".join(f"{words!r} by {value:.3g}" for words, value in broken.items())
    moved = float(np.abs(solved.weights - weights.values).sum()) / 2.0
    return Weights(
        assets=weights.assets,
        values=solved.weights,
        method=weights.method,
        notes=(
            *weights.notes,
            f"moved to the nearest weights within the limits, {moved:.1%} of the money; broken was {told}",
            *solved.notes,
        ),
        net=1.0 if abs(total - 1.0) <= 1e-9 else total,
    )


def nearest(problem: Problem, *, extra: Sequence[Block] = (), aim: FloatArray) -> Solved:
    """The least sum of squared distances from `aim` [A]."""
    columns = lay_out(problem)
    linear = np.zeros(columns.total)
    linear[: columns.assets] = -aim
    goal = Goal(Objective(linear, np.eye(columns.assets)))
    blocks = [*write_limits(problem, columns), *extra]
    answer = reach(problem, columns, blocks=blocks, goal=goal)
    weights, excess, notes = tidy(problem, blocks=blocks, answer=answer)
    value = float(((weights - aim) ** 2).sum())
    return Solved(weights, value, answer.status, answer.gap, answer.iterations, excess, notes)
