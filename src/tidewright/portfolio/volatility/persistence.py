"""How much of a shock is left a bar later."""

from __future__ import annotations

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.catalog import VolatilitySpec
from tidewright.portfolio.volatility.recursion import Recursion
from tidewright.portfolio.volatility.shapes import mean_size, share_of_losses


def measure_persistence(spec: VolatilitySpec, recursion: Recursion) -> FloatArray:
    """The share [A] of what moves (variance, volatility or log variance) that its next expected value keeps.

    garch, gjr: sum alpha + sum gamma E[z^2; z < 0] + sum beta. tarch: E|z| (sum alpha + sum gamma / 2) + sum beta.
    egarch: sum beta. Source of the partial moments: the fitted distribution of z, so a half for symmetric ones.
    """
    kept: FloatArray = recursion.beta.sum(axis=0)
    if spec.power == 0:
        return kept
    alpha, gamma = recursion.alpha.sum(axis=0), recursion.gamma.sum(axis=0)
    if spec.power == 2:
        return np.asarray(alpha + gamma * loss_shares(spec, recursion) + kept, dtype=np.float64)
    sizes = np.array(
        [np.nan if np.isnan(shape).any() else mean_size(spec.distribution, shape) for shape in recursion.shape.T]
    )
    return np.asarray(sizes * (alpha + gamma / 2.0) + kept, dtype=np.float64)


def loss_shares(spec: VolatilitySpec, recursion: Recursion) -> FloatArray:
    """E[z^2; z < 0] of each asset [A]."""
    if spec.distribution != "skewt" or not len(recursion.gamma):
        return np.full(recursion.mu.shape, 0.5)
    return np.array(
        [np.nan if np.isnan(shape).any() else share_of_losses(spec.distribution, shape) for shape in recursion.shape.T]
    )
