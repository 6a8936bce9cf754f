"""Noise taken out of the correlations by what random matrices look like. T bars, A assets.

Eigenvalues of correlations of pure noise lie below (1 + sqrt(A / T))^2 times its variance (Marchenko and Pastur 1967).
The variance is fitted so that the density of noise meets that of the eigenvalues found; those below the edge become
their mean. Source: Lopez de Prado 2019, Machine Learning for Asset Managers, chapter 2 (its bandwidth, 0.01).
"""

from __future__ import annotations

import numpy as np

from tidewright.checks import check_flag
from tidewright.portfolio.covariance.record import to_correlation
from tidewright.portfolio.inputs import FloatArray

_BANDWIDTH = 0.01
_POINTS = 1_000
_GRID = np.linspace(0.01, 1.0, 200)


def denoised(returns: FloatArray, *, detone: bool = False) -> tuple[FloatArray, tuple[str, ...]]:
    """The sample covariance with the eigenvalues of its correlations that noise explains set to their mean.

    With `detone` the first factor, the market, is taken out as well: what is left tells groups of assets apart, but has
    a portfolio without risk, so it is for clustering and not for an optimiser.
    """
    check_flag("detone", detone)
    covariance = np.atleast_2d(np.cov(returns, rowvar=False))
    deviation = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(to_correlation(covariance))
    ratio = len(returns) / len(values)
    variance = _fit_noise(values, ratio=ratio)
    edge = variance * (1.0 + ratio**-0.5) ** 2
    noise = int((values < edge).sum())
    if noise:
        values[:noise] = max(float(values[:noise].mean()), 0.0)
    notes: tuple[str, ...] = (
        f"{len(values) - noise} of {len(values)} eigenvalues are above the edge of noise, {edge:.4g}",
    )
    if detone and len(values) > 1:
        values[-1] = 0.0
        notes += ("the market factor was taken out: for clustering, not for an optimiser",)
    correlation = to_correlation((vectors * values) @ vectors.T)
    return correlation * deviation * deviation[:, None], notes


def _fit_noise(values: FloatArray, *, ratio: float) -> float:
    """The variance of the noise, 0.01 to 1, whose density is nearest to that of the eigenvalues in squares."""
    top = (1.0 + ratio**-0.5) ** 2
    axis = np.linspace(0.0, top, 4 * _POINTS)
    found = _estimate_density(values, axis=axis)
    errors = [_miss(variance, ratio=ratio, axis=axis, found=found) for variance in _GRID]
    best = int(np.argmin(errors))
    low, high = _GRID[max(best - 1, 0)], _GRID[min(best + 1, len(_GRID) - 1)]
    near = np.linspace(low, high, 21)
    return float(near[int(np.argmin([_miss(variance, ratio=ratio, axis=axis, found=found) for variance in near]))])


def _miss(variance: float, *, ratio: float, axis: FloatArray, found: FloatArray) -> float:
    low, high = variance * (1.0 - ratio**-0.5) ** 2, variance * (1.0 + ratio**-0.5) ** 2
    points = np.linspace(low, high, _POINTS + 1)[1:]
    noise = ratio / (2.0 * np.pi * variance * points) * np.sqrt(np.maximum((high - points) * (points - low), 0.0))
    return float(((np.interp(points, axis, found) - noise) ** 2).sum())


def _estimate_density(values: FloatArray, *, axis: FloatArray) -> FloatArray:
    """The mean of normal densities of the bandwidth around each eigenvalue, at each point of the axis."""
    apart = (axis[:, None] - values) / _BANDWIDTH
    density: FloatArray = np.exp(-0.5 * apart**2).mean(axis=1) / (_BANDWIDTH * np.sqrt(2.0 * np.pi))
    return density
