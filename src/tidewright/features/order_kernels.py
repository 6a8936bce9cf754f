"""The compiled loops of `lags` for rolling quantiles of whole columns. Imported when first used.

A window up to `SHORT` rows is kept sorted: a row that enters moves to its place as one that leaves makes room. In a
longer one the values of the series, sorted once, are counted in a tree of partial sums (Fenwick 1994), so that a row
costs the logarithm of the series' length. Both pick among the window's own values: which ones come later in the
series changes no bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

SHORT = 512


def _blend(low: float, high: float, share: float) -> float:
    if share == 0.0 or low == high:
        return low
    return (1.0 - share) * low + share * high


def _pick(ordered: Any, count: int, level: float) -> float:
    """The quantile of the first `count` of ascending values, linear between two of them."""
    place = level * (count - 1)
    k = int(place)
    return float(blend(ordered[k], ordered[min(k + 1, count - 1)], place - k))


def _swap(ordered: Any, count: int, old: float, new: float) -> int:
    """Takes `old` out of ascending values and puts `new` in, either of which may be NaN; gives the new count."""
    if np.isnan(old):
        hole, count = count, count + 1
    else:
        hole, high = 0, count - 1
        while hole < high:
            middle = (hole + high) // 2
            if ordered[middle] < old:
                hole = middle + 1
            else:
                high = middle
    if np.isnan(new):
        new, gone = np.inf, 1
    else:
        gone = 0
    while hole > 0 and ordered[hole - 1] > new:
        ordered[hole] = ordered[hole - 1]
        hole -= 1
    while hole + 1 < count and (ordered[hole + 1] < new or gone == 1):
        ordered[hole] = ordered[hole + 1]
        hole += 1
    ordered[hole] = new
    return count - gone


def _short(
    flat: Any, low: int, end: int, window: int, levels: Any, fewest: int, ordered: Any, at: Any, out: Any
) -> None:
    count = 0
    for row in range(low, end):
        old = flat[row - window] if row - window >= low else np.nan
        if not (np.isnan(old) and np.isnan(flat[row])):
            count = swap(ordered, count, old, flat[row])
        for q in range(len(levels)):
            out[at[q], row] = pick(ordered, count, levels[q]) if count >= fewest else np.nan


def _count_in(tree: Any, place: int, one: int) -> None:
    k = place + 1
    while k < len(tree):
        tree[k] += one
        k += k & -k


def _seek(tree: Any, number: int) -> int:
    """The place of the value that `number` of the counted ones stand before."""
    place, step = 0, 1
    while 2 * step < len(tree):
        step *= 2
    while step > 0:
        if place + step < len(tree) and tree[place + step] <= number:
            place += step
            number -= tree[place]
        step //= 2
    return place


def _long(flat: Any, low: int, end: int, window: int, levels: Any, fewest: int, order: Any, at: Any, out: Any) -> None:
    places = np.empty(end - low, np.int64)
    for k in range(end - low):
        places[order[low + k] - low] = k
    tree, count = np.zeros(end - low + 1, np.int64), 0
    for row in range(low, end):
        if not np.isnan(flat[row]):
            count_in(tree, places[row - low], 1)
            count += 1
        if row - window >= low and not np.isnan(flat[row - window]):
            count_in(tree, places[row - window - low], -1)
            count -= 1
        for q in range(len(levels)):
            value = np.nan
            if count >= fewest:
                place = levels[q] * (count - 1)
                k = int(place)
                first = flat[order[low + seek(tree, k)]]
                second = flat[order[low + seek(tree, min(k + 1, count - 1))]]
                value = blend(first, second, place - k)
            out[at[q], row] = value


def _roll_quantiles(
    flat: Any, offsets: Any, window: int, levels: Any, fewest: int, order: Any, at: Any, out: Any
) -> None:
    """Quantiles of the last `window` rows at every row of a flat array, level q into row at[q] of `out` [K, T].

    `order` [T] has the rows of each series by value, where a window is longer than `SHORT`.
    """
    ordered = np.empty(min(window, SHORT) + 1)
    for s in range(len(offsets) - 1):
        low, end = offsets[s], offsets[s + 1]
        if min(window, end - low) <= SHORT:
            short(flat, low, end, window, levels, fewest, ordered, at, out)
        else:
            long(flat, low, end, window, levels, fewest, order, at, out)


blend = njit(cache=True, nogil=True, forceinline=True)(_blend)
pick = njit(cache=True, nogil=True)(_pick)
swap = njit(cache=True, nogil=True)(_swap)
short = njit(cache=True, nogil=True)(_short)
count_in = njit(cache=True, nogil=True)(_count_in)
seek = njit(cache=True, nogil=True)(_seek)
long = njit(cache=True, nogil=True)(_long)
roll_quantiles = njit(cache=True, nogil=True)(_roll_quantiles)
