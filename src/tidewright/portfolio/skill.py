"""How well forecasts ordered the assets: what decides how far they may move weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tidewright.portfolio.inputs import FloatArray


def rank_ic(expected: ArrayLike, realised: ArrayLike) -> FloatArray:
    """The rank correlation (Spearman 1904) of forecast and realised returns over the assets, at each date [C].

    Both are [C, A]; an asset with a NaN in either is left out of its date, and a date with fewer than 3 assets, or
    without any difference, is NaN.

    >>> rank_ic([[0.1, 0.2, 0.3]], [[-0.1, 0.0, 0.4]])
    array([1.])
    """
    forecast = np.asarray(expected, dtype=np.float64)
    outcome = np.asarray(realised, dtype=np.float64)
    return np.array([_spearman(f, r) for f, r in zip(forecast, outcome, strict=True)])


def measure_skill(expected: ArrayLike, realised: ArrayLike) -> float:
    """The mean rank information coefficient, no less than 0: what `tilt_by_forecast` takes as `skill`.

    >>> measure_skill([[0.3, 0.2, 0.1]], [[-0.1, 0.0, 0.4]])
    0.0
    """
    values = rank_ic(expected, realised)
    values = values[np.isfinite(values)]
    return float(max(values.mean(), 0.0)) if values.size else 0.0


def _spearman(forecast: FloatArray, outcome: FloatArray) -> float:
    both = np.isfinite(forecast) & np.isfinite(outcome)
    if both.sum() < 3:
        return float("nan")
    left, right = average_ranks(forecast[both]), average_ranks(outcome[both])
    if left.std() == 0 or right.std() == 0:
        return float("nan")
    return float(np.corrcoef(left, right)[0, 1])


def average_ranks(values: FloatArray) -> FloatArray:
    """The ranks of values [A], from 1; equal ones share their mean.

    >>> average_ranks(np.array([0.3, 0.1, 0.1]))
    array([3. , 1.5, 1.5])
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[inverse])
