"""Simulated outcomes of all assets together: draws of a multivariate normal or t. n draws, A assets, T bars."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray

_ROOM = 4_000_000  # numbers that are drawn at a time: what is drawn depends on it


def simulate_outcomes(
    mean: FloatArray,
    covariance: FloatArray,
    *,
    draws: int,
    horizon: int,
    seed: int,
    degrees: float | None = None,
) -> tuple[FloatArray, int]:
    """Compounded simple returns [n, A] of so many bars, and how many single returns were cut at -100 %.

    Independent bars of a normal with that mean [A] and covariance [A, A], or of a t with that covariance and degrees
    of freedom, whose assets share each bar's shock of variance.
    """
    factor = _root(covariance)
    outcomes, cut = np.empty((draws, mean.size)), 0
    rng = np.random.default_rng(seed)
    step = max(_ROOM // mean.size, 1)
    for first in range(0, draws, step):
        growth = np.ones((min(step, draws - first), mean.size))
        for _ in range(horizon):
            shocks = rng.standard_normal((len(growth), factor.shape[1])) @ factor.T
            if degrees is not None:
                shocks *= np.sqrt((degrees - 2.0) / rng.chisquare(degrees, (len(growth), 1)))
            bar = 1.0 + mean + shocks
            cut += int((bar < 0.0).sum())
            growth *= np.maximum(bar, 0.0)
        outcomes[first : first + len(growth)] = growth - 1.0
    return outcomes, cut


def choose_degrees(returns: FloatArray) -> float:
    """The degrees of freedom that all assets share, from 2.1 to 200, by composite likelihood.

    The greatest sum of the assets' likelihoods, each a t with its own sample mean and variance.
    Source: Varin, Reid and Firth 2011, An Overview of Composite Likelihood Methods.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    squares = ((returns - returns.mean(axis=0)) / returns.std(axis=0)) ** 2

    def loss(inverse: float) -> float:
        nu = 1.0 / inverse
        spread = np.log1p(squares / (nu - 2.0)).mean()
        level = gammaln((nu + 1.0) / 2.0) - gammaln(nu / 2.0) - 0.5 * math.log(nu - 2.0)
        return float((nu + 1.0) / 2.0 * spread - level)

    found = minimize_scalar(loss, bounds=(1 / 200, 1 / 2.1), method="bounded", options={"xatol": 1e-7})
    return float(1.0 / found.x)


def _root(covariance: FloatArray) -> NDArray[np.float64]:
    """A factor [A, A] whose product with itself is the covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-8 * max(values[-1], 0.0) or values[-1] <= 0.0:
        raise AllocationError(
            f"the covariance has the eigenvalue {values[0]:g}: some portfolio of the assets would have a variance "
            "below zero. Mend it with repair_covariance, or estimate it with tw.covariance."
        )
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
