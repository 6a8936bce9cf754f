"""The compiled loops of exponential smoothing over one flat array. Imported when first used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def _weigh(flat: Any, offsets: Any, decay: float, ignore: bool, fewest: int, out: Any) -> None:
    """Exponentially weighted means and deviations [2, T], each value's weight `decay` times that of the one after it.

    West's update of a weighted sum of squares (1979); the deviation is corrected for bias as pandas has it.
    """
    for s in range(len(offsets) - 1):
        mean, weight, square, moved, count = 0.0, 0.0, 0.0, 0.0, 0
        for row in range(offsets[s], offsets[s + 1]):
            seen = np.isfinite(flat[row])
            if seen or not ignore:
                weight, square, moved = weight * decay, square * decay * decay, moved * decay
            if seen:
                count += 1
                gap = flat[row] - mean
                moved += gap * gap * weight / (weight + 1.0)
                weight, square = weight + 1.0, square + 1.0
                mean += gap / weight
            out[0, row] = mean if count >= fewest else np.nan
            free = weight * weight - square
            out[1, row] = np.sqrt(moved * weight / free) if count >= max(2, fewest) and free > 0.0 else np.nan


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
