"""The compiled loop of `lags` for whole columns: rolling sums, moments, extremes and slopes at a constant cost a row.

A window of w rows is the end of one block of w rows and the beginning of the next, so that two running states, one
back and one ahead from the border of the blocks, give all w windows across it (van Herk 1992; Gil and Werman 1993).
Nothing is ever taken away: no sum drifts, and a NaN or an infinite value is gone with its window. A state counts
from its first value, which is in the window: a variance loses at most the window's length in units of rounding,
whatever the level. Imported when first used, because numba takes 0.4 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tidewright.features.statistics import COUNT, KURTOSIS, MAX, MEAN, MIN, SKEW, SLOPE, SUM, VAR

N, ANCHOR, S1, S2, LEAST, MOST, S3, S4, T1, T2, TS = range(11)  # what a state holds
EMPTY = (0.0, 0.0, 0.0, 0.0, np.inf, -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0)
CHUNK = 1024  # states that are worked out before they are made into statistics: they stay near the processor


def _add(state: Any, value: float, step: float, wide: bool) -> Any:
    """One more value: how many, the first one, sums of powers of the distance to it, extremes, sums over the steps."""
    if np.isnan(value):
        return state
    n, anchor, s1, s2, least, most, s3, s4, t1, t2, ts = state
    if n == 0.0:
        anchor = value
    d = value - anchor
    if wide:
        s3, s4 = s3 + d * d * d, s4 + d * d * d * d
        t1, t2, ts = t1 + step, t2 + step * step, ts + step * d
    return n + 1.0, anchor, s1 + d, s2 + d * d, min(least, value), max(most, value), s3, s4, t1, t2, ts


def _keep(state: Any, states: Any, k: int, wide: bool) -> None:
    n, anchor, s1, s2, least, most, s3, s4, t1, t2, ts = state
    states[N, k], states[ANCHOR, k], states[S1, k], states[S2, k] = n, anchor, s1, s2
    states[LEAST, k], states[MOST, k] = least, most
    if wide:
        states[S3, k], states[S4, k], states[T1, k], states[T2, k], states[TS, k] = s3, s4, t1, t2, ts


def _join(back: Any, k: int, state: Any, wide: bool) -> Any:
    """The state of two runs of values, the first one kept in `back`; counted from the first one's anchor."""
    n, anchor, s1, s2, least, most, s3, s4, t1, t2, ts = state
    if back[N, k] == 0.0:
        return state
    g = anchor - back[ANCHOR, k] if n > 0.0 else 0.0
    if wide:
        s4 = back[S4, k] + (s4 + g * (4.0 * s3 + g * (6.0 * s2 + g * (4.0 * s1 + g * n))))
        s3 = back[S3, k] + (s3 + g * (3.0 * s2 + g * (3.0 * s1 + g * n)))
        ts = back[TS, k] + (ts + g * t1)
        t1, t2 = back[T1, k] + t1, back[T2, k] + t2
    s2 = back[S2, k] + (s2 + g * (2.0 * s1 + g * n))
    s1 = back[S1, k] + (s1 + g * n)
    least, most = min(least, back[LEAST, k]), max(most, back[MOST, k])
    return n + back[N, k], back[ANCHOR, k], s1, s2, least, most, s3, s4, t1, t2, ts


def _opening(flat: Any, row: int, end: int, low: int, state: Any, states: Any, wide: bool) -> Any:
    """The windows that begin at the series' first row `low`: those from `row` to `end`, and the state at their end."""
    for k in range(end - row):
        state = add(state, flat[row + k], row + k - low, wide)
        keep(state, states, k, wide)
    return state


def _across(flat: Any, edge: int, end: int, back: Any, states: Any, done: int, wide: bool) -> int:
    """The windows that reach over the border `edge`: those that end from one row before it to `window` - 2 after.

    Their states go into `states` from `done` on; the answer is where they end there.
    """
    window = back.shape[1]
    state = EMPTY
    for k in range(window - 1, -1, -1):
        state = add(state, flat[edge - window + k], k - window, wide)
        keep(state, back, k, wide)
    keep(state, states, done, wide)
    state = EMPTY
    ahead = min(end - edge, window - 1)
    for k in range(ahead):
        state = add(state, flat[edge + k], k, wide)
        keep(join(back, k + 1, state, wide), states, done + k + 1, wide)
    return int(done + 1 + ahead)


def _shape(code: int, states: Any, k: int) -> float:
    """Skewness and excess kurtosis, corrected for bias (G1 and G2 of Joanes and Gill 1998); NaN if nothing varies."""
    n = states[N, k]
    mean, square = states[S1, k] / n, states[S2, k] / n
    m2 = square - mean * mean
    if m2 <= 0.0 or n < 3.0 or (code == KURTOSIS and n < 4.0):
        return np.nan
    if code == SKEW:
        m3 = states[S3, k] / n - 3.0 * mean * square + 2.0 * mean**3
        return float(np.sqrt(n * (n - 1.0)) / (n - 2.0) * m3 / m2**1.5)
    m4 = states[S4, k] / n - 4.0 * mean * states[S3, k] / n + 6.0 * mean**2 * square - 3.0 * mean**4
    return float(((n * n - 1.0) * m4 / (m2 * m2) - 3.0 * (n - 1.0) ** 2) / ((n - 2.0) * (n - 3.0)))


def _spread(code: int, states: Any, k: int) -> float:
    """Variance and deviation with n - 1, and the least squares line's slope; NaN for one value or an infinite one."""
    n, s1 = states[N, k], states[S1, k]
    if n < 2.0 or not np.isfinite(s1):
        return np.nan
    if code == SLOPE:
        t1 = states[T1, k]
        return float((states[TS, k] - t1 * s1 / n) / (states[T2, k] - t1 * t1 / n))
    variance = np.maximum(0.0, (states[S2, k] - s1 * s1 / n) / (n - 1.0))  # NaN stays NaN
    return float(variance if code == VAR else np.sqrt(variance))


def _work_out(code: int, states: Any, fewest: int, out: Any) -> None:
    """One statistic of as many states as `out` is long; NaN where fewer than `fewest` values were observed."""
    for k in range(len(out)):
        n = states[N, k]
        if code == COUNT:
            out[k] = n
        elif n < fewest:
            out[k] = np.nan
        elif code == SUM:
            out[k] = n * states[ANCHOR, k] + states[S1, k]
        elif code == MEAN:
            out[k] = states[ANCHOR, k] + states[S1, k] / n
        elif code in (MIN, MAX):
            out[k] = states[LEAST if code == MIN else MOST, k]
        else:
            out[k] = shape(code, states, k) if code in (SKEW, KURTOSIS) else spread(code, states, k)


def _mend(code: int, flat: Any, low: int, row: int, window: int, states: Any, fewest: int, out: Any) -> None:
    """Sums and means of windows that hold an infinite value: the distance to an anchor says nothing there."""
    if code not in (SUM, MEAN):
        return
    for k in range(len(out)):
        n = states[N, k]
        if n >= fewest and not np.isfinite(states[S1, k]):
            total = 0.0
            for i in range(max(low, row + k + 1 - window), row + k + 1):
                if not np.isnan(flat[i]):
                    total += flat[i]
            out[k] = total if code == SUM else total / n


def _finish(
    codes: Any, flat: Any, low: int, row: int, done: int, window: int, states: Any, fewest: int, at: Any, out: Any
) -> int:
    """Every statistic of the `done` states from `row` on; the answer is the row after them."""
    for c in range(len(codes)):
        work_out(codes[c], states, fewest, out[at[c], row : row + done])
        mend(codes[c], flat, low, row, window, states, fewest, out[at[c], row : row + done])
    return row + done


def _roll_columns(flat: Any, offsets: Any, window: int, codes: Any, fewest: int, at: Any, out: Any) -> None:
    """Statistics of the last `window` rows at every row of a flat array, code c into row at[c] of `out` [K, T]."""
    wide = codes.max() >= SLOPE  # the last ones need more sums
    kept = len(EMPTY) if wide else S3
    reach = window if (offsets[1:] - offsets[:-1]).max() >= window else 0
    back, states = np.empty((kept, reach)), np.empty((kept, CHUNK + reach))
    for s in range(len(offsets) - 1):
        low, end = offsets[s], offsets[s + 1]
        row, state = low, EMPTY
        while row < min(end, low + window - 1):
            stop = min(end, low + window - 1, row + CHUNK)
            state = opening(flat, row, stop, low, state, states, wide)
            row = finish(codes, flat, low, row, stop - row, window, states, fewest, at, out)
        done = 0
        for edge in range(low + window, end + 1, window):
            done = across(flat, edge, end, back, states, done, wide)
            if done > CHUNK or edge + window > end:
                row, done = finish(codes, flat, low, row, done, window, states, fewest, at, out), 0


# numpy's rules of division: without a check for zero, which is made above where it matters, loops become vectors
compiled = njit(cache=True, nogil=True, error_model="numpy")
inlined = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
add, keep, join = inlined(_add), inlined(_keep), inlined(_join)
opening, across = compiled(_opening), compiled(_across)
shape, spread = compiled(_shape), compiled(_spread)
work_out, mend, finish = compiled(_work_out), compiled(_mend), compiled(_finish)
roll_columns = compiled(_roll_columns)
