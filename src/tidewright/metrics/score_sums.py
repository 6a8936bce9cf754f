"""`ScoreSums`: the scores of many trials as sums over time, so that they can be had of any part of it.

C positions in time (cutoffs, or the bars of a backtest), in order; N trials; K sums that a score is made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.catalog import explain_unknown
from tidewright.errors import DataError, UnknownNameError
from tidewright.metrics.definitions import Metric

Floats = NDArray[np.float64]
Finish = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """What each position adds to each trial's score, `parts` [K, C, N].

    `finish` makes of sums [K, ...] the scores [...], TO BE MADE SMALL whatever the metric's direction; NaN where there
    is none.
    """

    parts: Floats
    finish: Finish

    def __post_init__(self) -> None:
        if self.parts.ndim != 3 or not np.isfinite(self.parts).all():
            raise DataError(
                f"the sums of scores are finite numbers [sums, positions, trials], got shape {self.parts.shape}. "
                "Leave out trials that lack a position."
            )

    @property
    def positions(self) -> int:
        """C."""
        return int(self.parts.shape[1])

    @property
    def trials(self) -> int:
        """N."""
        return int(self.parts.shape[2])

    def scores(self) -> Floats:
        """The score of each trial over all positions [N]."""
        return self.finish(self.parts.sum(axis=1))

    def over(self, weights: NDArray[np.bool_]) -> Floats:
        """The sums [K, M, N] over M subsets of the positions [M, C]."""
        return np.asarray(np.matmul(weights.astype(np.float64), self.parts))


def sums_of_losses(losses: ArrayLike) -> ScoreSums:
    """Trials whose score is the mean of their losses [C, N].

    >>> sums_of_losses([[1.0, 2.0], [3.0, 1.0]]).scores()
    array([2. , 1.5])
    """
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 2:
        raise DataError(f"losses are [positions, trials], got shape {values.shape}.")
    return ScoreSums(np.stack([values, np.ones_like(values)]), _divide)


def sums_of_metric(numerators: ArrayLike, denominators: ArrayLike, *, metric: Metric, aim: float = 0.0) -> ScoreSums:
    """Trials scored by an accuracy metric, from its two sums at each cutoff [C, N] (`sum_by_group` gives them).

    `aim` is what a metric of direction "nearest" should be: the coverage that the levels promise, or no bias.
    """
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)

    def finish(sums: Floats) -> Floats:
        value = metric.finish(sums[0], denominator=sums[1])
        if metric.direction == "nearest":
            return np.abs(value - aim)
        return -value if metric.direction == "higher" else value

    return ScoreSums(np.stack([above, below]), finish)


def sums_of_returns(returns: ArrayLike, *, metric: str = "sharpe", periods_per_year: float = 1.0) -> ScoreSums:
    """Trials scored by a figure of `metrics.returns` of their net returns [C, N], one a period; higher is better, so
    `scores` are its negative (volatility excepted).

    Only figures that don't depend on the order of returns: a drawdown is no sum. Raises `UnknownNameError`.

    >>> sums = sums_of_returns([[0.01, 0.0], [0.03, 0.01], [-0.01, 0.0], [0.02, 0.01]], periods_per_year=12)
    >>> sums.scores().round(4)
    array([-2.5355, -3.    ])
    """
    values = np.asarray(returns, dtype=np.float64)
    if metric not in _SUMMED:
        raise UnknownNameError(explain_unknown("figure of returns that is a sum", metric, _SUMMED))
    parts, finish = _SUMMED[metric]
    return ScoreSums(np.stack(parts(values)), lambda sums: finish(sums, periods_per_year))


def is_summed(figure: str) -> bool:
    """Whether `sums_of_returns` takes that figure of returns."""
    return figure in _SUMMED


def _divide(sums: Floats) -> Floats:
    empty = np.full(sums.shape[1:], np.nan)
    return np.asarray(np.divide(sums[0], sums[1], out=empty, where=sums[1] > 0))


def _sharpe(sums: Floats, per_year: float) -> Floats:
    """Sums of r, r^2 and 1."""
    mean, spread = _moments(sums)
    return -_divide(np.stack([mean * math.sqrt(per_year), spread]))


def _volatility(sums: Floats, per_year: float) -> Floats:
    return _moments(sums)[1] * math.sqrt(per_year)


def _sortino(sums: Floats, per_year: float) -> Floats:
    """Sums of r, min(r, 0)^2 and 1."""
    mean, shortfall = _divide(sums[[0, 2]]), np.sqrt(_divide(sums[[1, 2]]))
    return -_divide(np.stack([mean * math.sqrt(per_year), shortfall]))


def _growth(sums: Floats, per_year: float) -> Floats:
    """Sums of log(1 + r) and 1."""
    return -np.expm1(_divide(sums) * per_year)


def _moments(sums: Floats) -> tuple[Floats, Floats]:
    """Means and standard deviations (ddof 1); a deviation of rounding alone is 0."""
    mean = _divide(sums[[0, 2]])
    square = np.maximum(sums[1] - sums[2] * mean**2, 0.0)
    square = np.where(square > 1e-12 * np.abs(sums[1]), square, 0.0)
    return mean, np.sqrt(_divide(np.stack([square, sums[2] - 1.0])))


def _raw(values: Floats) -> Sequence[Floats]:
    return values, values**2, np.ones_like(values)


def _log(values: Floats) -> Sequence[Floats]:
    return np.log1p(values), np.ones_like(values)


_SUMMED: Mapping[str, tuple[Callable[[Floats], Sequence[Floats]], Callable[[Floats, float], Floats]]] = {
    "sharpe": (_raw, _sharpe),
    "sortino": (lambda r: (r, np.minimum(r, 0.0) ** 2, np.ones_like(r)), _sortino),
    "volatility": (_raw, _volatility),
    "cagr": (_log, _growth),
    "total_return": (_log, lambda sums, _: -np.expm1(sums[0])),
    "hit_rate": (lambda r: ((r > 0.0).astype(np.float64), np.ones_like(r)), lambda sums, _: -_divide(sums)),
}
