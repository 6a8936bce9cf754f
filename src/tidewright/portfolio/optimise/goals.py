"""What can be asked of a portfolio, each as one convex program. A assets.

Sources: Markowitz 1952; max Sharpe homogenised as in Cornuejols and Tutuncu 2007, section 5.2, with every limit and
cost of the problem (a cost of power 3/2 by its perspective).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.cones import Block, Objective, solve_cones
from tidewright.portfolio.optimise.problem import Columns, Problem, lay_out
from tidewright.portfolio.optimise.rows import bound_risk, write_earnings, write_limits, write_variance
from tidewright.portfolio.optimise.solve import Goal, Solved, reach, tidy

_NO_RISK = 1e-6  # of the assets' mean deviation: what a solver makes of none at all


class Method(Protocol):
    """Solves a problem; `extra` are blocks beside its limits, numbered from `len(problem.convex)` on or not at all."""

    def __call__(self, problem: Problem, /, *, extra: Sequence[Block] = ()) -> Solved: ...


def min_variance(problem: Problem, *, extra: Sequence[Block] = ()) -> Solved:
    """The least variance. Costs and expected returns have no part in it."""
    columns = lay_out(problem)
    objective = vary_least(problem, columns)
    return _conclude(problem, columns, Goal(objective), extra=extra, value=lambda w: problem.risk(w) ** 2)


def max_sharpe(problem: Problem, *, extra: Sequence[Block] = ()) -> Solved:
    """The highest ratio of the expected return over cash's, after costs, to its standard deviation."""
    columns = lay_out(problem)
    gradient, constant = write_earnings(problem, columns)
    unit = float(np.abs(gradient[: columns.assets]).max()) or 1.0
    blocks = [*write_limits(problem, columns), *extra]
    highest = earn_most(problem, columns, blocks=blocks)
    if highest <= 0.0:
        raise AllocationError(
            f"no portfolio within the limits is expected to earn more than the risk-free rate of {problem.risk_free:g} "
            f"a period: the best earns {highest:.3g} over it{', after costs' if problem.costly else ''}. There is no "
            "highest Sharpe ratio; ask for min_variance, or for other expected returns or limits."
        )
    # gradient @ y + constant * scale >= unit; the constant one is not scaled
    parts = {0: gradient[None, :] / unit, columns.total: np.array([[constant / unit]])}
    rows = (
        Block("positive", parts, np.array([-1.0]), fixed=True),
        Block("positive", {columns.total: np.ones((1, 1))}, np.zeros(1), fixed=True),
    )
    goal = Goal(vary_least(problem, columns), blocks=rows, scaled=True)
    found = _conclude(problem, columns, goal, extra=extra, value=partial(_earn_per_risk, problem))
    if problem.costly or (problem.limits.net[0] == problem.limits.net[1] != 0.0):
        return found
    return _grow(problem, columns, found, blocks=blocks)


def _earn_per_risk(problem: Problem, weights: FloatArray) -> float:
    """The Sharpe ratio; where a gain comes without risk there is no highest one."""
    risk = problem.risk(weights)
    if risk <= _NO_RISK * float(np.sqrt(np.diag(problem.covariance).mean())):
        raise AllocationError(
            f"a portfolio within the limits has no risk in this covariance, and is expected to earn "
            f"{problem.earn(weights):.3g} a period over cash: there is no highest Sharpe ratio. Bring more rows of "
            "returns than assets, or a covariance that is positive definite, such as covariance='ledoit_wolf'."
        )
    return problem.earn(weights) / risk


def max_utility(problem: Problem, *, extra: Sequence[Block] = (), risk_aversion: float) -> Solved:
    """The highest expected return after costs less half of the risk aversion times the variance."""
    if not (np.isfinite(risk_aversion) and risk_aversion > 0.0):
        raise AllocationError(f"risk_aversion is {risk_aversion!r}; it is a number above 0, such as 2.5.")
    columns = lay_out(problem)
    matrix, at, unit = write_variance(problem, columns)
    gradient, _ = write_earnings(problem, columns)
    goal = Goal(Objective(-gradient / (risk_aversion * unit), matrix, at))
    return _conclude(
        problem, columns, goal, extra=extra, value=lambda w: problem.earn(w) - risk_aversion / 2 * problem.risk(w) ** 2
    )


def reach_return(problem: Problem, *, extra: Sequence[Block] = (), target: float) -> Solved:
    """The least variance with an expected return a period, after costs and cash's own, of at least the target."""
    columns = lay_out(problem)
    goal = Goal(
        vary_least(problem, columns),
        blocks=(bound_return(problem, columns, target=target),),
        targets=(tell_return(target),),
    )
    return _conclude(problem, columns, goal, extra=extra, value=lambda w: problem.risk(w) ** 2)


def reach_risk(problem: Problem, *, extra: Sequence[Block] = (), target: float) -> Solved:
    """The highest expected return after costs with a standard deviation a period of at most the target."""
    if not (np.isfinite(target) and target > 0.0):
        raise AllocationError(f"the target risk is {target!r}; it is a standard deviation a period, above 0.")
    columns = lay_out(problem, spread=True)
    gradient, _ = write_earnings(problem, columns)
    unit = float(np.abs(gradient).max()) or 1.0
    free = np.zeros(columns.assets)
    goal = Goal(
        Objective(-gradient / unit),
        blocks=(bound_risk(problem, columns, radius=target, benchmark=free, limit=len(problem.convex)),),
        targets=(f"risk <= {target:g} (the target)",),
    )
    return _conclude(problem, columns, goal, extra=extra, value=problem.earn)


def vary_least(problem: Problem, columns: Columns) -> Objective:
    """Half of the variance, in units of the assets' mean variance."""
    matrix, at, _ = write_variance(problem, columns)
    return Objective(np.zeros(columns.total), matrix, at)


def tell_return(target: float) -> str:
    """A target return, as a conflict names it."""
    return f"expected return >= {target:g} (the target)"


def bound_return(problem: Problem, columns: Columns, *, target: float) -> Block:
    """Expected return >= target, in units of the largest expected return."""
    if not np.isfinite(target):
        raise AllocationError(f"the target return is {target!r}; it is a finite fraction a period.")
    gradient, constant = write_earnings(problem, columns)
    unit = float(np.abs(gradient[: columns.assets]).max()) or 1.0
    aim = constant + problem.risk_free - target
    return Block("positive", {0: gradient[None, :] / unit}, np.array([aim / unit]), len(problem.convex))


def _conclude(problem: Problem, columns: Columns, goal: Goal, *, extra: Sequence[Block], value: ValueOf) -> Solved:
    blocks = [*write_limits(problem, columns), *extra]
    answer = reach(problem, columns, blocks=blocks, goal=goal)
    weights, excess, notes = tidy(problem, blocks=[*blocks, *goal.blocks], answer=answer)
    return Solved(weights, value(weights), answer.status, answer.gap, answer.iterations, excess, notes)


def _grow(problem: Problem, columns: Columns, found: Solved, *, blocks: Sequence[Block]) -> Solved:
    """The largest multiple of the weights within the limits: where cash may be held every multiple has one ratio."""
    size, last = columns.assets, columns.total
    same = Block("zero", {0: np.eye(size), last: -found.weights[:, None]}, np.zeros(size))
    goal = Goal(Objective(np.append(np.zeros(last), -1.0)), blocks=(same,))
    answer = reach(problem, columns, blocks=blocks, goal=goal)
    weights, excess, notes = tidy(problem, blocks=[*blocks, same], answer=answer)
    note = "cash may be held, and every share of it has the same ratio: these weights are the largest"
    return replace(found, weights=weights, excess=excess, notes=tuple(dict.fromkeys((*found.notes, *notes, note))))


class ValueOf(Protocol):
    """The figure that a method makes as low or as high as can be, of weights [A]."""

    def __call__(self, weights: FloatArray, /) -> float: ...


def earn_most(problem: Problem, columns: Columns, *, blocks: Sequence[Block]) -> float:
    """The highest expected return over cash's, after costs, within the limits; inf where nothing bounds it."""
    gradient, constant = write_earnings(problem, columns)
    unit = float(np.abs(gradient[: columns.assets]).max()) or 1.0
    goal = Goal(Objective(-gradient / unit))
    answer = solve_cones(blocks, objective=goal.objective)
    if answer.unbounded:
        return np.inf
    if answer.infeasible:
        reach(problem, columns, blocks=blocks, goal=goal)  # says which limits conflict
    return float(gradient @ answer.x) + constant
