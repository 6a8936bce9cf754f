"""Value at risk of returns that are normal: T bars, A assets, K portfolios. Over h bars the mean grows by h and the
deviation by its root.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.record import Tails


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """The tail of a normal with the sample's mean and deviation (ddof 1), or with a covariance [A, A] of its own.

    VaR = -h mean + z sqrt(h) deviation, ES the same with phi(z) / (1 - c) for z, where z = Phi^-1(c).
    Source: McNeil, Frey and Embrechts 2015, Quantitative Risk Management, examples 2.11 and 2.14.

    >>> tails = Normal(confidence=0.95).measure(np.array([[-1.0], [1.0]]) / 2**0.5)  # mean 0, deviation 1
    >>> tails.var.round(6).tolist(), tails.es.round(6).tolist()
    ([1.644854], [2.062713])
    """

    confidence: float
    horizon: int = 1
    covariance: FloatArray | None = None

    def measure(self, outcomes: FloatArray, *, loadings: FloatArray | None = None, names: Sequence[str] = ()) -> Tails:
        """The tails of each asset, or of portfolios."""
        mean = outcomes.mean(axis=0)
        if self.covariance is not None:
            return self._scale(*_moments_of(mean, self.covariance, loadings=loadings))
        if loadings is None:
            return self._scale(mean, outcomes.std(axis=0, ddof=1))
        return self._scale(mean @ loadings, (outcomes @ loadings).std(axis=0, ddof=1))

    def split(self, outcomes: FloatArray, *, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The derivatives: -h mean + z sqrt(h) (covariance weights) / deviation."""
        mean = outcomes.mean(axis=0)
        if self.covariance is None:
            centred = outcomes - mean
            along = centred.T @ (centred @ weights) / (len(outcomes) - 1)
        else:
            along = self.covariance @ weights
        spread = math.sqrt(max(float(along @ weights), 0.0))
        slope = along / spread if spread > 0.0 else np.zeros_like(along)
        tails = self._scale(mean, slope)
        return tails.var, tails.es

    def _scale(self, mean: FloatArray, deviation: FloatArray) -> Tails:
        score, beyond = normal_scores(self.confidence)
        drift, spread = -self.horizon * mean, math.sqrt(self.horizon) * deviation
        return Tails(drift + score * spread, drift + beyond * spread)


def normal_scores(confidence: float) -> tuple[float, float]:
    """Value at risk and expected shortfall of a standard normal.

    >>> [round(score, 6) for score in normal_scores(0.99)]
    [2.326348, 2.665214]
    """
    from scipy.special import ndtri

    score = float(ndtri(confidence))
    return score, math.exp(-0.5 * score * score) / math.sqrt(2.0 * math.pi) / (1.0 - confidence)


def _moments_of(
    mean: FloatArray, covariance: FloatArray, *, loadings: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    if loadings is None:
        return mean, np.sqrt(np.diagonal(covariance))
    variance = ((covariance @ loadings) * loadings).sum(axis=0)
    return mean @ loadings, np.sqrt(np.maximum(variance, 0.0))
