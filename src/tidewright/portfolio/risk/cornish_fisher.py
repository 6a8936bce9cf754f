"""Value at risk by the Cornish-Fisher expansion: the normal's quantile bent by skewness and kurtosis.

T bars, A assets, K portfolios. With z = Phi^-1(1 - c), skewness S and excess kurtosis E the quantile is
z + (z^2 - 1) S / 6 + (z^3 - 3 z) E / 24 - (2 z^3 - 5 z) S^2 / 36 standard deviations around the mean. It is a quantile
only where it grows with z everywhere; elsewhere a higher confidence could mean a lower loss, and it is refused.
Sources: Cornish and Fisher 1937; Maillard 2012, A User's Guide to the Cornish Fisher Expansion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.normal import normal_scores
from tidewright.portfolio.risk.record import Tails, name_column

Moments = Literal["plain", "matched"]
_STEPS, _NEAR = 80, 1e-5


@dataclass(frozen=True, slots=True)
class CornishFisher:
    """The tail by the sample's mean, deviation (ddof 1), skewness and excess kurtosis (divisor T).

    Moments "plain" puts skewness and kurtosis into the formula as they are, which is the usual form; its own skewness
    and kurtosis are then others, the more so the fatter the tails. "matched" puts in the values that make them the
    sample's, and reaches much fatter tails. Over h bars skewness shrinks by the root of h, excess kurtosis by h.
    """

    confidence: float
    horizon: int = 1
    moments: Moments = "plain"

    def measure(self, outcomes: FloatArray, *, loadings: FloatArray | None = None, names: Sequence[str] = ()) -> Tails:
        """The tails of each asset, or of portfolios."""
        columns = outcomes if loadings is None else outcomes @ loadings
        skew, excess = _shape(columns, horizon=self.horizon)
        refuse_outside(skew, excess, moments=self.moments, names=names)
        score, beyond = bent_scores(skew, excess, confidence=self.confidence, moments=self.moments)
        spread = math.sqrt(self.horizon) * columns.std(axis=0, ddof=1)
        drift = -self.horizon * columns.mean(axis=0)
        return Tails(drift + score * spread, drift + beyond * spread)

    def split(self, outcomes: FloatArray, *, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The derivatives, by way of those of the portfolio's moments.

        Source: Boudt, Peterson and Croux 2008, Estimation and Decomposition of Downside Risk.
        """
        mean = outcomes.mean(axis=0)
        centred = outcomes - mean
        earned = centred @ weights
        scale = math.sqrt(float(np.mean(earned**2)))
        scores = earned / scale
        powers = np.stack([scores, scores**2, scores**3], axis=1)
        first, second, third = (centred.T @ powers / len(scores) / scale).T
        skew, kurtosis = float(np.mean(scores**3)), float(np.mean(scores**4))
        d_skew = 3.0 * (second - skew * first) / math.sqrt(self.horizon)
        d_excess = 4.0 * (third - kurtosis * first) / self.horizon
        levels, slopes = self._levels(*_shape(earned[:, None], horizon=self.horizon))
        spread = math.sqrt(self.horizon) * float(earned.std(ddof=1))
        parts = levels[:, None] * first + slopes[:, :1] * d_skew + slopes[:, 1:] * d_excess
        drift = -self.horizon * mean
        return drift + spread * parts[0], drift + spread * parts[1]

    def _levels(self, skew: FloatArray, excess: FloatArray) -> tuple[FloatArray, FloatArray]:
        """VaR and ES in deviations [2], and their derivatives by skewness and excess kurtosis [2, 2]."""
        skews = skew + _NEAR * np.array([0.0, 1.0, -1.0, 0.0, 0.0])
        excesses = excess + _NEAR * np.array([0.0, 0.0, 0.0, 1.0, -1.0])
        found = np.array(bent_scores(skews, excesses, confidence=self.confidence, moments=self.moments))
        return found[:, 0], (found[:, 1::2] - found[:, 2::2]) / (2.0 * _NEAR)


def bent_scores(
    skew: FloatArray, excess: FloatArray, *, confidence: float, moments: Moments = "plain"
) -> tuple[FloatArray, FloatArray]:
    """Value at risk and expected shortfall [K] in standard deviations, by skewness and excess kurtosis [K].

    The shortfall is the mean of the bent quantile over the tail, in closed form.

    >>> flat = bent_scores(np.zeros(1), np.zeros(1), confidence=0.95)
    >>> flat[0].round(6).tolist(), flat[1].round(6).tolist()
    ([1.644854], [2.062713])
    """
    size = np.ones_like(skew)
    if moments == "matched":
        skew, excess = match_parameters(skew, excess)
        size = np.sqrt(_own_moments(skew, excess)[0])
    score, beyond = normal_scores(confidence)
    z = -score
    at = z + (z**2 - 1.0) * skew / 6.0 + (z**3 - 3.0 * z) * excess / 24.0 - (2.0 * z**3 - 5.0 * z) * skew**2 / 36.0
    tail = 1.0 + z * skew / 6.0 + (z**2 - 1.0) * excess / 24.0 - (2.0 * z**2 - 1.0) * skew**2 / 36.0
    return -at / size, beyond * tail / size


def match_parameters(skew: FloatArray, excess: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The two parameters of the expansion whose own skewness and excess kurtosis are these [K]; NaN where none are.

    By Newton's steps from the normal.

    >>> bent, sharp = match_parameters(np.array([-0.5]), np.array([3.0]))
    >>> _, own_skew, own_excess = _own_moments(bent, sharp)
    >>> own_skew.round(9).tolist(), own_excess.round(9).tolist()
    ([-0.5], [3.0])
    """
    bent, sharp = np.zeros_like(skew), np.zeros_like(excess)
    for _ in range(_STEPS):
        _, own_skew, own_excess = _own_moments(bent, sharp)
        off = np.array([own_skew - skew, own_excess - excess])
        if np.abs(off).max() < 1e-12:
            break
        by_bent = (np.array(_own_moments(bent + _NEAR, sharp)) - _own_moments(bent - _NEAR, sharp))[1:] / (2 * _NEAR)
        by_sharp = (np.array(_own_moments(bent, sharp + _NEAR)) - _own_moments(bent, sharp - _NEAR))[1:] / (2 * _NEAR)
        area = by_bent[0] * by_sharp[1] - by_bent[1] * by_sharp[0]
        area = np.where(np.abs(area) > 1e-12, area, 1e-12)
        bent = bent - np.clip((off[0] * by_sharp[1] - off[1] * by_sharp[0]) / area, -0.2, 0.2)
        sharp = np.maximum(sharp - np.clip((by_bent[0] * off[1] - by_bent[1] * off[0]) / area, -0.5, 0.5), -3.0)
    _, own_skew, own_excess = _own_moments(bent, sharp)
    met = (np.abs(own_skew - skew) < 1e-8) & (np.abs(own_excess - excess) < 1e-8)
    return np.where(met, bent, np.nan), np.where(met, sharp, np.nan)


def is_quantile(bent: FloatArray, sharp: FloatArray) -> NDArray[np.bool_]:
    """Where the expansion grows with z everywhere: its derivative, a parabola in z, never goes below zero.

    >>> is_quantile(np.array([0.0, 0.0, 1.0, 0.0]), np.array([0.0, 7.9, 1.0, 8.1])).tolist()
    [True, True, False, False]
    """
    square = sharp / 8.0 - bent**2 / 6.0
    level = 1.0 - sharp / 8.0 + 5.0 * bent**2 / 36.0
    return np.asarray((square >= 0.0) & (level > 0.0) & ((bent / 3.0) ** 2 <= 4.0 * square * level))


def refuse_outside(skew: FloatArray, excess: FloatArray, *, moments: Moments, names: Sequence[str] = ()) -> None:
    """An error for a skewness and kurtosis that the expansion can't take, which names the first."""
    used = match_parameters(skew, excess) if moments == "matched" else (skew, excess)
    outside = np.flatnonzero(~is_quantile(*used))
    if outside.size:
        first = int(outside[0])
        other = "moments='matched', " if moments == "plain" else ""
        raise AllocationError(
            f"{name_column(names, first)} has skewness {skew[first]:.3g} and excess kurtosis {excess[first]:.3g} over "
            f"the horizon ({outside.size} such of {skew.size}): there the Cornish-Fisher quantile does not grow with "
            f"the confidence. Take {other}method='t' or method='historical'."
        )


def _shape(columns: FloatArray, *, horizon: int) -> tuple[FloatArray, FloatArray]:
    """Skewness and excess kurtosis [K] of the sum of `horizon` independent bars."""
    centred = columns - columns.mean(axis=0)
    variance = np.mean(centred**2, axis=0)
    skew = np.mean(centred**3, axis=0) / variance**1.5
    return skew / math.sqrt(horizon), (np.mean(centred**4, axis=0) / variance**2 - 3.0) / horizon


def _own_moments(bent: FloatArray, sharp: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Variance, skewness and excess kurtosis of the expansion: a cubic of a normal, so seven nodes are exact."""
    nodes, shares = _nodes()
    z, s, e = nodes[:, None], bent[None], sharp[None]
    values = z + (z**2 - 1.0) * s / 6.0 + (z**3 - 3.0 * z) * e / 24.0 - (2.0 * z**3 - 5.0 * z) * s**2 / 36.0
    second, third, fourth = (shares @ values**power for power in (2, 3, 4))
    return second, third / second**1.5, fourth / second**2 - 3.0


@cache
def _nodes() -> tuple[FloatArray, FloatArray]:
    nodes, shares = np.polynomial.hermite_e.hermegauss(7)
    return nodes, shares / shares.sum()
