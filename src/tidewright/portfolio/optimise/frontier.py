"""The efficient frontier: the least risk for each expected return. K points, A assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tidewright.checks import check_whole
from tidewright.errors import AllocationError
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.optimise.cones import Block, Program
from tidewright.portfolio.optimise.goals import bound_return, earn_most, min_variance, vary_least
from tidewright.portfolio.optimise.problem import Problem, lay_out
from tidewright.portfolio.optimise.read import CostBasis, Held, check_expected, read_problem
from tidewright.portfolio.optimise.rows import write_limits
from tidewright.portfolio.optimise.solve import tidy
from tidewright.portfolio.optimise.views import Views
from tidewright.portfolio.show import show
from tidewright.portfolio.weights import Weights

if TYPE_CHECKING:
    import polars as pl


_SHORT = 1e-6  # of the span: the highest return is asked for less this, as nothing has room at the top itself


@dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """K portfolios from the least risk to the highest expected return, evenly spaced in return.

    `risk` [K] is the standard deviation and `returns` [K] the expected return a period, after costs and with cash's;
    `weights` [K, A]. All arrays are read-only.
    """

    assets: tuple[str, ...]
    risk: FloatArray
    returns: FloatArray
    weights: FloatArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("risk", "returns", "weights"):
            getattr(self, name).flags.writeable = False

    def __repr__(self) -> str:
        return show(self)

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row a point, with its risk, expected return and weights."""
        import polars as pl

        weights = {f"weight of {name}": self.weights[:, place] for place, name in enumerate(self.assets)}
        return pl.DataFrame({"risk": self.risk, "return": self.returns} | weights)

    def at(self, point: int) -> Weights:
        """The weights of one point, counted from the least risk."""
        values = self.weights[point]
        net = 1.0 if abs(values.sum() - 1.0) <= 1e-9 else float(values.sum())
        return Weights(assets=self.assets, values=values, method="frontier", notes=self.notes, net=net)


def frontier(
    returns: ArrayLike | None,
    /,
    *,
    assets: Sequence[str] | None = None,
    points: int = 20,
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
    expected: ArrayLike | None = None,
) -> Frontier:
    """The efficient frontier within the limits; arguments as in `optimise`. The program is compiled once.

    >>> line = frontier(None, assets=("A", "B"), points=3, expected=[0.01, 0.02],
    ...     covariance=Covariance(values=np.diag([0.04, 0.09]), assets=("A", "B"), method="by hand"))
    >>> line.returns.round(4).tolist(), line.risk.round(4).tolist()
    ([0.0131, 0.0165, 0.02], [0.1664, 0.208, 0.3])
    """
    check_whole("points", points, least=2)
    problem = read_problem(
        returns,
        assets=assets,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
        costs=costs,
        basis=basis,
        views=views,
        risk_free=risk_free,
        expected=expected,
    )
    if problem.limits.names is not None or problem.limits.min_position is not None:
        raise AllocationError("a frontier is of convex limits: leave out 'names' and 'min position', or take optimise.")
    check_expected(problem, method="a frontier")
    return _follow(problem, points=points)


def _follow(problem: Problem, *, points: int) -> Frontier:
    columns = lay_out(problem)
    limits = write_limits(problem, columns)
    first = min_variance(problem)
    low = problem.earn(first.weights) + problem.risk_free
    high = earn_most(problem, columns, blocks=limits) + problem.risk_free
    if not np.isfinite(high):
        raise AllocationError(
            "the limits leave the size of the weights open, so that the frontier has no end. Give 'leverage <= ...'."
        )
    targets = np.linspace(low, max(low, high - _SHORT * (high - low)), points)
    rows = [_add_target(limits, bound_return(problem, columns, target=float(target))) for target in targets]
    program = Program(rows[0], objective=vary_least(problem, columns))
    weights, notes = [first.weights], dict.fromkeys((*problem.notes, *first.notes))
    for blocks in rows[1:]:
        values, _, told = tidy(problem, blocks=blocks, answer=program.solve(blocks))
        weights.append(values)
        notes |= dict.fromkeys(told)
    return Frontier(
        assets=problem.assets,
        risk=np.array([problem.risk(one) for one in weights]),
        returns=np.array([problem.earn(one) + problem.risk_free for one in weights]),
        weights=np.stack(weights),
        notes=tuple(notes),
    )


def _add_target(limits: list[Block], target: Block) -> list[Block]:
    return [*limits, replace(target, limit=None)]
