"""The compiled loop of `lags`: rolling statistics at any rows of a flat array, each window summed anew.

Imported when first used, because numba takes 0.4 s. A window's numbers depend on its own rows alone: no
running sum that would drift, or that would carry a change from one row to another.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

MEAN, STD, MEDIAN = 0, 1, 5  # places in `lags.STATISTICS`


def _sum_squares(flat: Any, low: int, high: int, mean: float) -> float:
    total = 0.0
    for i in range(low, high):
        if not np.isnan(flat[i]):
            total += (flat[i] - mean) ** 2
    return total


def _median(flat: Any, low: int, high: int, room: Any) -> float:
    count = 0
    for i in range(low, high):
        if not np.isnan(flat[i]):
            room[count] = flat[i]
            count += 1
    ordered = room[:count]
    ordered.sort()
    middle = count // 2
    if count % 2 == 1:
        return float(ordered[middle])
    return 0.5 * float(ordered[middle - 1]) + 0.5 * float(ordered[middle])


def _summarise(flat: Any, low: int, high: int) -> tuple[int, float, float, float]:
    count, total, least, most = 0, 0.0, np.inf, -np.inf
    for i in range(low, high):
        value = flat[i]
        if not np.isnan(value):
            count += 1
            total += value
            least = min(least, value)
            most = max(most, value)
    return count, total, least, most


def _roll_one(flat: Any, low: int, high: int, codes: Any, fewest: int, room: Any, out: Any) -> None:
    count, total, least, most = summarise(flat, low, high)
    out[:] = np.nan
    if count < fewest:
        return
    simple = (total / count, np.nan, least, most, total, np.nan)
    for k in range(len(codes)):
        out[k] = simple[codes[k]]
        if codes[k] == MEDIAN:
            out[k] = median(flat, low, high, room)
        elif codes[k] == STD and count > 1:
            out[k] = np.sqrt(sum_squares(flat, low, high, simple[MEAN]) / (count - 1))


def _roll(flat: Any, rows: Any, starts: Any, windows: Any, codes: Any, fewest: int) -> Any:
    width = len(codes)
    out = np.empty((len(rows), len(windows) * width))
    room = np.empty(windows.max())
    for r in range(len(rows)):
        high = rows[r] + 1
        for k in range(len(windows)):
            low = max(starts[r], high - windows[k])
            roll_one(flat, low, high, codes, fewest, room, out[r, k * width : (k + 1) * width])
    return out


sum_squares = njit(cache=True, nogil=True)(_sum_squares)
median = njit(cache=True, nogil=True)(_median)
summarise = njit(cache=True, nogil=True)(_summarise)
roll_one = njit(cache=True, nogil=True)(_roll_one)
roll = njit(cache=True, nogil=True)(_roll)
