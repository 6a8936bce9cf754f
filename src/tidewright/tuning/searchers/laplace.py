"""Draws of a Gaussian process's hyperparameters by Laplace's approximation, so that what isn't known of them is heeded.

With few trials several sets of lengths explain them about as well; the most probable one alone is too sure of where the
optimum isn't, and a search stays in the first valley that it finds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidewright.tuning.searchers.surrogate import Data, Doubles, fit_hyperparameters, hold, loss

DRAWN = 4  # sets of hyperparameters, the most probable one among them
STEP = 1e-3  # of a logarithm, for differences of the gradient
WIDEST = 2.0  # standard deviations of a logarithm, where the density hardly bends or, at a bound, bends up


def draw_hyperparameters(data: Data, seed: int) -> Sequence[Doubles]:
    """The most probable hyperparameters, then draws from the normal density that has its bend there."""
    middle = fit_hyperparameters(data)
    values, vectors = np.linalg.eigh(_bend(middle, data))
    widths = 1.0 / np.sqrt(np.maximum(values, WIDEST**-2.0))
    normals = np.random.default_rng([seed, len(data.values)]).standard_normal((DRAWN - 1, len(middle)))
    return [middle, *hold(middle + (normals * widths) @ vectors.T, data.options)]


def _bend(theta: Doubles, data: Data) -> Doubles:
    """The second derivatives of `loss` [G + 2, G + 2], by central differences."""
    steps = STEP * np.eye(len(theta))
    rows = np.array([loss(theta + step, data)[1] - loss(theta - step, data)[1] for step in steps]) / (2.0 * STEP)
    return np.asarray(0.5 * (rows + rows.T))
