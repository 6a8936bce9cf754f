"""Value at risk by peaks over a threshold: the largest losses follow a generalised Pareto distribution.

n outcomes, K columns, E exceedances. A share of the largest losses goes over the threshold u; their excess y >= 0 has
P(y > x) = (1 + shape x / scale)^(-1 / shape).
Sources: Pickands 1975; McNeil and Frey 2000, Estimation of Tail-Related Risk Measures for Heteroscedastic Financial
Time Series, equations 14 and 16 (here on returns as they are, or on residuals of a volatility model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.historical import line_weights
from tidewright.portfolio.risk.record import Tails, name_column

LEAST_PEAKS = 30  # exceedances: with fewer the shape is hardly known to one decimal
_LOW = -0.5  # shapes below have no regular likelihood (Smith 1985)
_GRID, _CUTS = 48, 45


@dataclass(frozen=True, slots=True)
class ExtremeValue:
    """The tail of a generalised Pareto fitted by maximum likelihood to the worst `threshold` share of the losses.

    VaR = u + scale / shape (((1 - c) / share)^-shape - 1), ES = (VaR + scale - shape u) / (1 - shape). Only for
    confidences beyond the threshold. `overlap` is how many outcomes share a bar: so many fewer are independent.
    """

    confidence: float
    threshold: float = 0.1
    overlap: int = 1

    def measure(self, outcomes: FloatArray, *, loadings: FloatArray | None = None, names: Sequence[str] = ()) -> Tails:
        """The tails of each asset, or of portfolios."""
        columns = outcomes if loadings is None else outcomes @ loadings
        peaks = self._count(len(columns))
        losses = -np.partition(columns, peaks, axis=0)[: peaks + 1]
        level = losses[peaks]
        shape, scale = fit_pareto(losses[:peaks] - level, names=names)
        rarity = (1.0 - self.confidence) * len(columns) / peaks
        var = level + scale * _growth(shape, rarity)
        told = (
            f"generalised Pareto on {peaks} of {len(columns)} losses ({self.threshold:.0%}); shapes: median "
            f"{np.median(shape):.2f}, from {shape.min():.2f} to {shape.max():.2f}",
        )
        return Tails(var, (var + scale - shape * level) / (1.0 - shape), told if loadings is None else ())

    def split(self, outcomes: FloatArray, *, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What each asset returns where the portfolio loses its VaR, and its ES: a line through the exceedances.

        Quantiles beyond the sample have no outcomes of their own to average.
        """
        earned = outcomes @ weights
        worst = np.argsort(earned, kind="stable")[: self._count(len(earned))]
        whole = self.measure(outcomes, loadings=weights[:, None])
        parts = [-(line_weights(earned[worst], at=-float(one[0])) @ outcomes[worst]) for one in (whole.var, whole.es)]
        return parts[0], parts[1]

    def _count(self, outcomes: int) -> int:
        if 1.0 - self.confidence >= self.threshold - 1e-9:
            raise AllocationError(
                f"confidence {self.confidence:g} is not beyond a threshold share of {self.threshold:g}: a Pareto tail "
                f"says nothing there. Ask for more than {1.0 - self.threshold:g}, or take method='historical'."
            )
        peaks = int(outcomes * self.threshold)
        if peaks // self.overlap < LEAST_PEAKS:
            raise AllocationError(
                f"{outcomes} outcomes{' that overlap' * (self.overlap > 1)} have {peaks // self.overlap} independent "
                f"exceedances at a threshold share of {self.threshold:g}; at least {LEAST_PEAKS} are needed. Bring "
                f"{int(LEAST_PEAKS * self.overlap / self.threshold)} bars, or raise the threshold share."
            )
        return peaks


def fit_pareto(excess: FloatArray, *, names: Sequence[str] = ()) -> tuple[FloatArray, FloatArray]:
    """Shape and scale [K] of greatest likelihood for excesses [E, K] >= 0, shapes from -0.5.

    By the likelihood along the ratio of shape and scale alone, for all columns at once.
    Source: Grimshaw 1993, Computing Maximum Likelihood Estimates for the Generalized Pareto Distribution.
    """
    mean = excess.mean(axis=0)
    if (mean <= 0.0).any():
        raise AllocationError(
            f"the largest losses of {name_column(names, int(np.argmin(mean)))} are all the same, so that they have no "
            "tail. Mend stale prices, or take method='historical'."
        )
    scaled = excess / mean
    ratio = _best_ratio(scaled)
    shape = _shape_at(scaled, ratio)
    near = np.abs(ratio) < 1e-7
    scale = np.where(near, 1.0, shape / np.where(near, 1.0, ratio))
    if (shape >= 1.0).any():
        raise AllocationError(
            f"the largest losses of {name_column(names, int(np.argmax(shape)))} have a Pareto shape of "
            f"{shape.max():.2f}: from 1 on the expected shortfall is infinite. Look at the largest losses, or take "
            "method='historical'."
        )
    return np.where(near, 0.0, shape), scale * mean


def _best_ratio(scaled: FloatArray) -> FloatArray:
    """Shape over scale [K] of greatest likelihood: the best of a grid, then golden sections around it."""
    least = -(1.0 - 1e-6) / scaled.max(axis=0)
    steps = np.linspace(0.0, 1.0, _GRID)[:, None]
    grid = np.concatenate([least * (1.0 - steps[:-1]), 50.0 * steps**3 * np.ones_like(least)])
    best = np.array([_likelihood(scaled, ratio) for ratio in grid]).argmax(axis=0)
    column, last = np.arange(least.size), len(grid) - 1
    low, high = grid[np.maximum(best - 1, 0), column], grid[np.minimum(best + 1, last), column]
    golden = (5.0**0.5 - 1.0) / 2.0
    for _ in range(_CUTS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        down = _likelihood(scaled, left) > _likelihood(scaled, right)
        low, high = np.where(down, low, left), np.where(down, right, high)
    return np.asarray((low + high) / 2.0)


def _likelihood(scaled: FloatArray, ratio: FloatArray) -> FloatArray:
    """The mean log-likelihood [K], the shape at its best for the ratio; the exponential's at ratio 0."""
    shape = _shape_at(scaled, ratio)
    near = np.abs(ratio) < 1e-7
    scale = np.where(near, 1.0, shape / np.where(near, 1.0, ratio))
    found = -np.log(scale) - np.where(near, 0.0, shape) - 1.0
    return np.where(shape < _LOW, -np.inf, found)


def _shape_at(scaled: FloatArray, ratio: FloatArray) -> FloatArray:
    return np.asarray(np.log1p(ratio * scaled).mean(axis=0))


def _growth(shape: FloatArray, rarity: float) -> FloatArray:
    """(rarity^-shape - 1) / shape, and its limit at 0."""
    flat = np.abs(shape) < 1e-9
    curved = np.expm1(-shape * np.log(rarity)) / np.where(flat, 1.0, shape)
    return np.asarray(np.where(flat, -np.log(rarity), curved))
