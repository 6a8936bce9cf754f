"""What every method of the optimiser is given: moments, scenarios, limits and costs of A assets, checked once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.limits.rows import Limit


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A portfolio to be chosen. mean [A] and covariance [A, A] are a period, scenarios [T, A] simple returns.

    `previous` [A] are the weights before, `rate` what one unit traded costs, `impact` [A] the k of k |trade|^1.5, and
    `borrow` what one unit sold short costs: all a period, as fractions of equity. `risk_free` is what cash earns a
    period. `convex` are the limits as rows; `limits` the record, with what is not convex.
    """

    assets: tuple[str, ...]
    mean: FloatArray
    covariance: FloatArray
    scenarios: FloatArray
    risk_free: float
    limits: Limits
    convex: tuple[Limit, ...]
    previous: FloatArray | None = None
    rate: float = 0.0
    impact: FloatArray | None = None
    borrow: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def costly(self) -> bool:
        """Whether basis or shorting costs anything."""
        return self.rate > 0.0 or self.impact is not None or self.borrow > 0.0

    def cost(self, weights: FloatArray) -> float:
        """What going from `previous` to the weights and being short costs, a period."""
        paid = self.borrow * float(np.maximum(-weights, 0.0).sum())
        if self.previous is not None:
            trades = np.abs(weights - self.previous)
            paid += self.rate * float(trades.sum())
            paid += 0.0 if self.impact is None else float(self.impact @ trades**1.5)
        return paid

    def earn(self, weights: FloatArray) -> float:
        """The expected return a period over cash's, after costs."""
        return float((self.mean - self.risk_free) @ weights) - self.cost(weights)

    def risk(self, weights: FloatArray) -> float:
        """The standard deviation of the return a period."""
        return float(np.sqrt(max(0.0, float(weights @ self.covariance @ weights))))


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the variables of a program stand: weights first, then those that limits and costs need.

    bought >= max(w - previous, 0), short >= max(-w, 0), for impact moved >= |w - previous|^1.5, and where a risk is
    bounded spread = R w with R' R the covariance (in units of its mean variance), so that R is written once; A columns
    each. `total` is how many there are. None is not there.
    """

    assets: int
    bought: int | None
    short: int | None
    moved: int | None
    spread: int | None
    total: int


def lay_out(problem: Problem, *, spread: bool = False) -> Columns:
    """The columns that a problem needs; `spread` also where no limit asks for it."""
    size = len(problem.assets)
    kinds = {limit.kind for limit in problem.convex}
    shorts = not problem.limits.long_only
    trades = problem.previous is not None and ("turnover" in kinds or problem.rate > 0.0)
    owes = shorts and ("leverage" in kinds or problem.borrow > 0.0)
    starts: list[int | None] = []
    at = size
    for need in (trades, owes, problem.impact is not None, spread or "tracking_error" in kinds):
        starts.append(at if need else None)
        at += size * need
    bought, short, moved, spreads = starts
    return Columns(size, bought, short, moved, spreads, total=at)


def square_root(matrix: FloatArray) -> FloatArray:
    """A root R [A, A] of a covariance, R' R = covariance, also where it is singular."""
    try:
        return np.asarray(np.linalg.cholesky(matrix).T)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
        return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)
