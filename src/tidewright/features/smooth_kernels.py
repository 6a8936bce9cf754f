"""The compiled loop of exponential smoothing over one flat array. Imported when first used."""

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


weigh = njit(cache=True, nogil=True)(_weigh)
