"""The compiled loop of `lags` for some rows of a flat array: each window is summed anew.

Imported when first used, because numba takes 0.4 s. A window's bits depend on its own rows alone; for whole columns
`roll_kernels` and `order_kernels` give the same but for rounding, at a cost that doesn't grow with the window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tidewright.features.order_kernels import pick
from tidewright.features.statistics import COUNT, KURTOSIS, MEAN, SKEW, SLOPE, STD, VAR


def _sum_squares(flat: Any, low: int, high: int, mean: float) -> float:
    total = 0.0
    for i in range(low, high):
        if not np.isnan(flat[i]):
            total += (flat[i] - mean) ** 2
    return total


def _quantile(flat: Any, low: int, high: int, level: float, room: Any) -> float:
    count = 0
    for i in range(low, high):
        if not np.isnan(flat[i]):
            room[count] = flat[i]
            count += 1
    ordered = room[:count]
    ordered.sort()
    return float(pick(ordered, count, level))


def _shape(flat: Any, low: int, high: int, code: int, count: int, mean: float) -> float:
    """Skewness and excess kurtosis, corrected for bias (G1 and G2 of Joanes and Gill 1998); NaN if nothing varies."""
    m2, m3, m4 = 0.0, 0.0, 0.0
    for i in range(low, high):
        if not np.isnan(flat[i]):
            d = flat[i] - mean
            m2, m3, m4 = m2 + d * d / count, m3 + d * d * d / count, m4 + d * d * d * d / count
    n = float(count)
    if m2 <= 0.0 or n < 3.0 or (code == KURTOSIS and n < 4.0):
        return np.nan
    if code == SKEW:
        return float(np.sqrt(n * (n - 1.0)) / (n - 2.0) * m3 / m2**1.5)
    return float(((n * n - 1.0) * m4 / (m2 * m2) - 3.0 * (n - 1.0) ** 2) / ((n - 2.0) * (n - 3.0)))


def _slope(flat: Any, low: int, high: int, count: int, mean: float) -> float:
    """The slope a row of the least squares line."""
    centre, along, spread = 0.0, 0.0, 0.0
    for i in range(low, high):
        if not np.isnan(flat[i]):
            centre += (i - low) / count
    for i in range(low, high):
        if not np.isnan(flat[i]):
            along += (i - low - centre) * (flat[i] - mean)
            spread += (i - low - centre) ** 2
    return along / spread if count > 1 else np.nan


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


def _further(flat: Any, low: int, high: int, code: int, level: float, count: int, mean: float, room: Any) -> float:
    if code in (STD, VAR):
        variance = sum_squares(flat, low, high, mean) / (count - 1) if count > 1 else np.nan
        return float(np.sqrt(variance) if code == STD else variance)
    if code in (SKEW, KURTOSIS):
        return float(shape(flat, low, high, code, count, mean))
    if code == SLOPE:
        return float(slope(flat, low, high, count, mean))
    return float(quantile(flat, low, high, level, room))


def _roll_one(flat: Any, low: int, high: int, codes: Any, levels: Any, fewest: int, room: Any, out: Any) -> None:
    count, total, least, most = summarise(flat, low, high)
    simple = (total / max(count, 1), np.nan, least, most, total)
    for k in range(len(codes)):
        if codes[k] == COUNT:
            out[k] = count
        elif count < fewest:
            out[k] = np.nan
        elif codes[k] < len(simple) and codes[k] != STD:
            out[k] = simple[codes[k]]
        else:
            out[k] = further(flat, low, high, codes[k], levels[k], count, simple[MEAN], room)


def _roll(flat: Any, rows: Any, starts: Any, windows: Any, codes: Any, levels: Any, fewest: int) -> Any:
    width = len(codes)
    out = np.empty((len(rows), len(windows) * width))
    room = np.empty(windows.max())
    for r in range(len(rows)):
        high = rows[r] + 1
        for k in range(len(windows)):
            low = max(starts[r], high - windows[k])
            roll_one(flat, low, high, codes, levels, fewest, room, out[r, k * width : (k + 1) * width])
    return out


sum_squares = njit(cache=True, nogil=True)(_sum_squares)
quantile = njit(cache=True, nogil=True)(_quantile)
shape = njit(cache=True, nogil=True)(_shape)
slope = njit(cache=True, nogil=True)(_slope)
summarise = njit(cache=True, nogil=True)(_summarise)
further = njit(cache=True, nogil=True)(_further)
roll_one = njit(cache=True, nogil=True)(_roll_one)
roll = njit(cache=True, nogil=True)(_roll)
