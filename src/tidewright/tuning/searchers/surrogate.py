"""A Gaussian process over the columns of points (Rasmussen and Williams, 2006): Matern 5/2, a length for every option.

N points, C columns, G options. Hyperparameters are logarithms [G + 2]: the lengths, the variance of the signal and that
of the noise. Values are standardised first, so all priors are on that scale. The prior of lengths is that of Hvarfner,
Hellsten and Nardi (2024), whose middle grows with the root of the number of options, but its middle is lower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
LENGTH_SPREAD, SIGNAL_SPREAD = math.sqrt(3.0), 1.0
NOISE_MIDDLE, NOISE_SPREAD = math.log(1e-4), 2.0
BOUNDS = ((math.log(0.02), math.log(60.0)), (math.log(0.05), math.log(30.0)), (math.log(1e-7), math.log(0.5)))


@dataclass(frozen=True, eq=False)
class Data:
    """Points [N, C], their values [N] standardised, and the option of each column [C]."""

    columns: Doubles
    values: Doubles
    groups: npt.NDArray[np.int64]

    @cached_property
    def apart(self) -> Doubles:
        """Squared distances option by option [G, N, N]."""
        return squares(self.columns, self.columns, self.groups)

    @property
    def options(self) -> int:
        """G."""
        return int(self.groups.max()) + 1


def length_middle(options: int) -> float:
    """The middle of the prior of a logarithmic length."""
    return math.sqrt(2.0) + 0.5 * math.log(options) - 1.5


def squares(left: Doubles, right: Doubles, groups: npt.NDArray[np.int64]) -> Doubles:
    """Squared distances option by option [G, N, M]."""
    found = np.zeros((int(groups.max()) + 1, len(left), len(right)))
    for column, group in enumerate(groups):
        found[group] += (left[:, None, column] - right[None, :, column]) ** 2
    return found


def matern(squared: Doubles) -> tuple[Doubles, Doubles]:
    """Matern 5/2 of squared distances, and its derivative by them."""
    root = np.sqrt(5.0 * squared)
    faded = np.exp(-root)
    return (1.0 + root + 5.0 / 3.0 * squared) * faded, -5.0 / 6.0 * (1.0 + root) * faded


def fit_hyperparameters(data: Data) -> Doubles:
    """The most probable hyperparameters, by L-BFGS from two starts."""
    from scipy.optimize import minimize

    bounds = np.array(bounds_of(data.options)).T
    middle = length_middle(data.options)
    best: Any = None
    for length in (middle, math.log(0.3)):
        start = np.array([length] * data.options + [0.0, math.log(1e-3)])
        found = minimize(
            lambda theta: loss(theta, data), start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}
        )
        if best is None or found.fun < best.fun:
            best = found
    return np.asarray(best.x)


def bounds_of(options: int) -> tuple[Doubles, Doubles]:
    """The least and the largest hyperparameters, [G + 2] each."""
    low, high = np.array([BOUNDS[0]] * options + [BOUNDS[1], BOUNDS[2]]).T
    return low, high


def hold(theta: Doubles, options: int) -> Doubles:
    """Hyperparameters [..., G + 2] inside the bounds."""
    return np.clip(theta, *bounds_of(options))


def loss(theta: Doubles, data: Data) -> tuple[float, Doubles]:
    """Minus the logarithm of likelihood times prior, but for a constant, and its gradient."""
    from scipy.linalg import LinAlgError, cho_solve, cholesky

    inverse = np.exp(-2.0 * theta[:-2])
    signal, noise = math.exp(theta[-2]), math.exp(theta[-1])
    shape, slope = matern(np.tensordot(inverse, data.apart, axes=1))
    count = len(data.values)
    try:
        root = cholesky(signal * shape + (noise + 1e-9) * np.eye(count), lower=True, check_finite=False)
    except LinAlgError:
        return 1e10, np.zeros_like(theta)
    solved = cho_solve((root, True), data.values, check_finite=False)
    excess = cho_solve((root, True), np.eye(count), check_finite=False) - np.outer(solved, solved)
    value = 0.5 * data.values @ solved + np.log(np.diag(root)).sum()
    weighed = excess * slope
    by_length = -signal * inverse * np.einsum("gij,ij->g", data.apart, weighed)
    by_signal = 0.5 * signal * np.sum(excess * shape)
    by_noise = 0.5 * noise * np.trace(excess)
    prior, prior_slope = _prior(theta, data.options)
    return float(value + prior), np.array([*by_length, by_signal, by_noise]) + prior_slope


def _prior(theta: Doubles, options: int) -> tuple[float, Doubles]:
    middles = np.array([length_middle(options)] * options + [0.0, NOISE_MIDDLE])
    spreads = np.array([LENGTH_SPREAD] * options + [SIGNAL_SPREAD, NOISE_SPREAD])
    away = (theta - middles) / spreads
    return float(0.5 * away @ away), away / spreads


class Posterior:
    """What the data say of other points, given hyperparameters."""

    def __init__(self, theta: Doubles, data: Data) -> None:
        from scipy.linalg import cho_solve, cholesky

        self.data, self.theta = data, theta
        self.weights = np.exp(-2.0 * theta[:-2])
        self.signal, noise = math.exp(theta[-2]), math.exp(theta[-1])
        shape, _ = matern(np.tensordot(self.weights, data.apart, axes=1))
        self.root = cholesky(self.signal * shape + (noise + 1e-9) * np.eye(len(data.values)), lower=True)
        self.solved = cho_solve((self.root, True), data.values)

    def predict(self, columns: Doubles) -> tuple[Doubles, Doubles]:
        """Mean and standard deviation of the function at points [M, C]."""
        from scipy.linalg import solve_triangular

        scale = np.sqrt(self.weights[self.data.groups])
        shape, _ = matern(_distances(columns * scale, self.data.columns * scale))
        kernel = self.signal * shape
        half = solve_triangular(self.root, kernel.T, lower=True, check_finite=False)
        return kernel @ self.solved, np.sqrt(np.maximum(self.signal - np.sum(half**2, axis=0), 1e-12))

    def with_pending(self, columns: Doubles) -> Posterior:
        """The posterior once points that are still tried (M of them) have come out as expected."""
        expected, _ = self.predict(columns)
        joined = Data(
            np.vstack([self.data.columns, columns]), np.concatenate([self.data.values, expected]), self.data.groups
        )
        return Posterior(self.theta, joined)


class Slopes:
    """What several posteriors of the same points (P of them) say of one other point, all at once."""

    def __init__(self, posteriors: Sequence[Posterior]) -> None:
        from scipy.linalg import solve_triangular

        data = posteriors[0].data
        self._columns = data.columns
        self._weights = np.array([one.weights[data.groups] for one in posteriors])
        self._signal = np.array([one.signal for one in posteriors])
        self._solved = np.array([one.solved for one in posteriors])
        eye = np.eye(len(data.values))
        self._whiten = np.array([solve_triangular(one.root, eye, lower=True) for one in posteriors])

    def predict(self, column: Doubles) -> tuple[Doubles, Doubles, Doubles, Doubles]:
        """Mean and standard deviation [P] at a point [C], and the gradient of each [P, C]."""
        steps = column - self._columns
        shape, slope = matern(self._weights @ (steps**2).T)
        kernel, by_square = self._signal[:, None] * shape, 2.0 * self._signal[:, None] * slope
        half = np.einsum("pnm,pm->pn", self._whiten, kernel)
        back = np.einsum("pnm,pn->pm", self._whiten, half)
        deviation = np.sqrt(np.maximum(self._signal - np.sum(half**2, axis=1), 1e-12))
        by_mean = ((self._solved * by_square) @ steps) * self._weights
        by_deviation = -((back * by_square) @ steps) * self._weights / deviation[:, None]
        return np.sum(kernel * self._solved, axis=1), deviation, by_mean, by_deviation


def _distances(left: Doubles, right: Doubles) -> Doubles:
    squared = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1)[None] - 2.0 * left @ right.T
    return np.asarray(np.maximum(squared, 0.0))
