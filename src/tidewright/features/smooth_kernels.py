"""The compiled loops of exponential smoothing over one flat array. Imported when first used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def _weigh(flat: Any, offsets: Any, decay: float, ignore: bool, fewest: int, out: Any) -> None:
    """Exponentially weighted means, each value's weight `decay` times that of the one after it."""
    for s in range(len(offsets) - 1):
        mean, weight, count = 0.0, 0.0, 0
        for row in range(offsets[s], offsets[s + 1]):
            seen = np.isfinite(flat[row])
            if seen or not ignore:
                weight *= decay
            if seen:
                count += 1
                weight += 1.0
                mean += (flat[row] - mean) / weight
            out[row] = mean if count >= fewest else np.nan


def _smooth(flat: Any, offsets: Any, share: float, first: int, out: Any) -> None:
    """Each value moves the level by `share` of the way to it; the first level is the mean of the `first` values."""
    for s in range(len(offsets) - 1):
        level, count = 0.0, 0
        for row in range(offsets[s], offsets[s + 1]):
            if not np.isnan(flat[row]):
                count += 1
                level += (flat[row] - level) * (share if count > first else 1.0 / count)
            out[row] = level if count >= first else np.nan


smooth = njit(cache=True, nogil=True)(_smooth)
weigh = njit(cache=True, nogil=True)(_weigh)
