"""The compiled loops of how a series' spread grows with scale: DFA, rescaled range, wavelet energies.

S series, standardised and one after the other in `filled`, series s at `bounds[s]:bounds[s + 1]`. Imported when first
used, because numba takes 0.4 s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

LEAST_ROWS = 64  # for a slope over scales
LEAST_SCALE = 8
TINY = 1e-18  # a variance of a standardised series at or below this is rounding
SMOOTH = np.array([1 + 3**0.5, 3 + 3**0.5, 3 - 3**0.5, 1 - 3**0.5]) / 8.0  # Daubechies' four taps over sqrt(2)
DETAIL = SMOOTH[::-1] * np.array([1.0, -1.0, 1.0, -1.0])
TAPS = len(SMOOTH)


def expected_ranges(longest: int) -> tuple[Any, Any]:
    """Scales that grow by sqrt(2) up to half the longest series, and the expected R/S of independent normal values.

    After Anis and Lloyd (1976) with Peters's (1994) factor for small scales.
    """
    scales = np.round(LEAST_SCALE * 2.0 ** (np.arange(2 * longest.bit_length()) / 2)).astype(np.int64)
    scales, expected = scales[scales <= longest // 2], []
    for n in scales.tolist():
        gammas = math.exp(math.lgamma((n - 1) / 2) - math.lgamma(n / 2)) / math.sqrt(math.pi)
        i = np.arange(1, n)
        expected.append((n - 0.5) / n * gammas * float(np.sqrt((n - i) / i).sum()))
    return scales, np.array(expected)


def _slope(x: Any, y: Any, weights: Any) -> float:
    """The slope of y on x by weighted least squares; NaN with fewer than three points."""
    count, total, mx, my = 0, 0.0, 0.0, 0.0
    for i in range(len(x)):
        if weights[i] > 0.0:
            count += 1
            total += weights[i]
            mx += weights[i] * x[i]
            my += weights[i] * y[i]
    if count < 3:
        return np.nan
    mx, my = mx / total, my / total
    top, bottom = 0.0, 0.0
    for i in range(len(x)):
        if weights[i] > 0.0:
            top += weights[i] * (x[i] - mx) * (y[i] - my)
            bottom += weights[i] * (x[i] - mx) ** 2
    return top / bottom


def _fluctuation(profile: Any, scale: int) -> float:
    """The mean square of what straight lines leave of a profile, cut into boxes of `scale` rows from its start."""
    middle, spread = 0.5 * (scale - 1), scale * (scale * scale - 1.0) / 12.0
    boxes, rest = len(profile) // scale, 0.0
    for b in range(boxes):
        low = b * scale
        base, total, tilt, squares = profile[low], 0.0, 0.0, 0.0
        for i in range(scale):
            y = profile[low + i] - base
            total += y
            tilt += (i - middle) * y
            squares += y * y
        rest += max(squares - total * total / scale - tilt * tilt / spread, 0.0)
    return rest / (boxes * scale)


def _rescaled_range(values: Any, scale: int) -> float:
    """The mean over boxes of the range of summed deviations over the deviation; 0 where no box moves."""
    found, total = 0, 0.0
    for b in range(len(values) // scale):
        box = values[b * scale : (b + 1) * scale]
        mean, run, low, high, squares = box.mean(), 0.0, 0.0, 0.0, 0.0
        for value in box:
            apart = value - mean
            squares += apart * apart
            run += apart
            low, high = min(low, run), max(high, run)
        if squares / scale > TINY:
            found += 1
            total += (high - low) / np.sqrt(squares / scale)
    return total / found if found else 0.0


def _measure_scaling(filled: Any, bounds: Any, scales: Any, expected: Any) -> Any:
    """DFA exponent and Hurst exponent by rescaled range [S, 2]."""
    size = len(bounds) - 1
    out, logs = np.full((size, 2), np.nan), np.log(scales)
    for s in range(size):
        values = filled[bounds[s] : bounds[s + 1]]
        n = len(values)
        if n < LEAST_ROWS:
            continue
        profile = np.cumsum(values)
        y, weights = np.zeros((2, len(scales))), np.zeros((2, len(scales)))
        for k in range(len(scales)):
            if scales[k] <= n // 4:
                spread = fluctuation(profile, scales[k])
                if spread > TINY:
                    y[0, k], weights[0, k] = 0.5 * np.log(spread), 1.0
            if scales[k] <= n // 2:
                ratio = rescaled_range(values, scales[k])
                if ratio > 0.0:
                    y[1, k], weights[1, k] = np.log(ratio / expected[k]), 1.0
        out[s, 0] = slope(logs, y[0], weights[0])
        out[s, 1] = 0.5 + slope(logs, y[1], weights[1])
    return out


def _filter_level(smooth: Any, step: int, detail: Any, coarse: Any) -> None:
    """One level of the maximal overlap transform, periodic."""
    size = len(smooth)
    for t in range(size):
        low, high, k = 0.0, 0.0, t
        for tap in range(TAPS):
            low += SMOOTH[tap] * smooth[k]
            high += DETAIL[tap] * smooth[k]
            k -= step
            if k < 0:
                k += size
        detail[t], coarse[t] = high, low


def _measure_waves(filled: Any, bounds: Any, levels: int) -> Any:
    """Shares of variance at levels 1 to `levels`, what is left, and the slope of their log2 [S, levels + 2]."""
    size = len(bounds) - 1
    out = np.full((size, levels + 2), np.nan)
    for s in range(size):
        values = filled[bounds[s] : bounds[s + 1]]
        n = len(values)
        smooth = np.concatenate((values, values[::-1]))
        detail, coarse = np.empty(2 * n), np.empty(2 * n)
        logs, weights = np.zeros(levels), np.zeros(levels)
        for j in range(levels):
            if ((1 << (j + 1)) - 1) * (TAPS - 1) + 1 > n:
                break
            filter_level(smooth, 1 << j, detail, coarse)
            share = (detail * detail).mean()
            out[s, j] = share
            out[s, levels] = (coarse * coarse).mean()
            if share > TINY:
                logs[j], weights[j] = np.log2(share), n / (1 << (j + 1))
            smooth, coarse = coarse, smooth
        out[s, levels + 1] = slope(np.arange(1.0, levels + 1.0), logs, weights)
    return out


slope = njit(cache=True, nogil=True)(_slope)
fluctuation = njit(cache=True, nogil=True)(_fluctuation)
rescaled_range = njit(cache=True, nogil=True)(_rescaled_range)
filter_level = njit(cache=True, nogil=True)(_filter_level)
measure_scaling = njit(cache=True, nogil=True)(_measure_scaling)
measure_waves = njit(cache=True, nogil=True)(_measure_waves)
