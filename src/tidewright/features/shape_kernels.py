"""The compiled loops of `shape`: moments, bridged and standardised values, autocorrelations.

S series over one flat array. `bounds` [S + 1] say where each series stands in the bridged array: from its first to its
last observed value, mean 0 and variance 1 (n). A series that does not move has no values there. Imported when first
used, because numba takes 0.4 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

FLAT = 1e-12  # a deviation at or below this share of the mean is rounding: the series does not move
DETERMINED = 1e-12  # a share of variance left unexplained at or below this is rounding


def _sum_powers(flat: Any, low: int, high: int, centre: float, scale: float) -> Any:
    """The sums of the first four powers of (value - centre) / scale over observed values, and their count."""
    count, sums = 0, np.zeros(4)
    for i in range(low, high):
        if not np.isnan(flat[i]):
            z = (flat[i] - centre) / scale
            count += 1
            sums[0] += z
            sums[1] += z * z
            sums[2] += z * z * z
            sums[3] += z * z * z * z
    return count, sums


def _moments(flat: Any, low: int, high: int, out: Any) -> None:
    """Of observed values in low:high, into count, missing share, mean, std, skewness, kurtosis."""
    out[0] = 0.0
    if high == low:
        return
    count, sums = sum_powers(flat, low, high, 0.0, 1.0)
    mean = sums[0] / count
    out[0], out[1], out[2] = count, 1.0 - count / (high - low), mean
    _, sums = sum_powers(flat, low, high, mean, 1.0)
    deviation = np.sqrt(sums[1] / count)
    if count > 1:
        out[3] = deviation * np.sqrt(count / (count - 1.0))
    if deviation > FLAT * abs(mean):
        _, sums = sum_powers(flat, low, high, mean, deviation)
        out[4], out[5] = sums[2] / count, sums[3] / count - 3.0


def _describe(flat: Any, starts: Any, stops: Any) -> Any:
    """The first observed row and the one after the last [S], and the moments [S, 6]."""
    size = len(starts)
    first, last, out = starts.copy(), starts.copy(), np.full((size, 6), np.nan)
    for s in range(size):
        low, high = starts[s], stops[s]
        while low < high and np.isnan(flat[low]):
            low += 1
        while high > low and np.isnan(flat[high - 1]):
            high -= 1
        first[s], last[s] = low, high
        moments(flat, low, high, out[s])
    return first, last, out


def _bridge_one(flat: Any, low: int, high: int, out: Any) -> None:
    seen = low
    for i in range(low, high):
        if np.isnan(flat[i]):
            continue
        step = (flat[i] - flat[seen]) / max(i - seen, 1)
        for k in range(seen + 1, i):
            out[k - low] = flat[seen] + step * (k - seen)
        out[i - low] = flat[i]
        seen = i


def _standardise(values: Any) -> None:
    values -= values.mean()
    values /= np.sqrt((values * values).mean())


def _bridge(flat: Any, first: Any, last: Any, described: Any) -> Any:
    """The bridged and standardised values of all series, one after the other, and their bounds [S + 1]."""
    size = len(first)
    bounds = np.zeros(size + 1, dtype=np.int64)
    for s in range(size):
        moves = not np.isnan(described[s, 4])
        bounds[s + 1] = bounds[s] + (last[s] - first[s] if moves else 0)
    out = np.empty(bounds[size])
    for s in range(size):
        values = out[bounds[s] : bounds[s + 1]]
        if len(values):
            bridge_one(flat, first[s], last[s], values)
            values -= described[s, 2]
            values /= described[s, 3]
            standardise(values)
    return out, bounds


def _levinson(correlations: Any, out: Any) -> None:
    """Partial autocorrelations of lags 1 to len(out) from the autocorrelations of the same lags."""
    size = len(out)
    weights, before = np.zeros(size + 1), np.zeros(size + 1)
    left = 1.0
    for k in range(1, size + 1):
        top = correlations[k - 1]
        for i in range(1, k):
            top -= before[i] * correlations[k - i - 1]
        if not left > DETERMINED:  # NaN too: fewer rows than lags
            return
        out[k - 1] = weights[k] = top / left
        for i in range(1, k):
            weights[i] = before[i] - out[k - 1] * before[k - i]
        left *= 1.0 - out[k - 1] ** 2
        for i in range(size + 1):  # a slice's assignment takes 2 s more to compile
            before[i] = weights[i]


def _correlate(filled: Any, bounds: Any, lags: Any, reach: int) -> Any:
    """Autocorrelations [S, len(lags)], the first `reach` of them of lags 1 to reach, and the partial ones of these."""
    size = len(bounds) - 1
    found, partial = np.full((size, len(lags)), np.nan), np.full((size, reach), np.nan)
    for s in range(size):
        values = filled[bounds[s] : bounds[s + 1]]
        for k in range(len(lags)):
            lag = lags[k]
            if lag < len(values) - 1:
                total = 0.0
                for i in range(len(values) - lag):
                    total += values[i] * values[i + lag]
                found[s, k] = total / len(values)
        levinson(found[s], partial[s])
    return found, partial


sum_powers = njit(cache=True, nogil=True)(_sum_powers)
moments = njit(cache=True, nogil=True)(_moments)
bridge_one = njit(cache=True, nogil=True)(_bridge_one)
standardise = njit(cache=True, nogil=True)(_standardise)
levinson = njit(cache=True, nogil=True)(_levinson)
describe = njit(cache=True, nogil=True)(_describe)
bridge = njit(cache=True, nogil=True)(_bridge)
correlate = njit(cache=True, nogil=True)(_correlate)
