"""The compiled loops of `rolling_var`: each bar's tail from the `window` bars strictly before it. T bars, A assets.

Imported when first used, because numba takes 0.4 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def _put(tail: Any, count: int, value: float) -> int:
    """One value more among the `count` smallest, which stand in order; the place that it got."""
    place = count
    while place > 0 and tail[place - 1] > value:
        tail[place] = tail[place - 1]
        place -= 1
    tail[place] = value
    return place


def _take(tail: Any, count: int, value: float) -> int:
    """One value less among the `count` smallest; its place, or `count` where it is not among them."""
    place = 0
    while place < count and tail[place] < value:
        place += 1
    if place == count or tail[place] != value:
        return count
    for later in range(place, count - 1):
        tail[later] = tail[later + 1]
    return place


def _collect(row: Any, first: int, last: int, tail: Any) -> float:
    """The smallest values of rows first to last - 1, in order, as many as there is room for; the largest of them."""
    count, room = 0, len(tail) - 1
    for bar in range(first, last):
        if count < room:
            put(tail, count, row[bar])
            count += 1
        elif row[bar] < tail[room - 1]:
            put(tail, room - 1, row[bar])
    return float(tail[room - 1])


def _slide(tail: Any, count: int, limit: float, old: float, new: float) -> Any:
    """One value leaves the window and one comes: how many are kept, what all others are at least, the first change."""
    place, room = count, len(tail) - 1
    if old <= limit:
        place = take(tail, count, old)
        count -= place < count
    if new < limit:
        place = min(place, put(tail, count, new))
        count += 1
        if count > room:
            count, limit = room, tail[room]
    return count, limit, place


def _sum_tail(tail: Any, worst: int, scale: float, share: float) -> float:
    """The expected shortfall of the smallest values, in order."""
    total = 0.0
    for place in range(worst - 1):
        total += tail[place]
    at = tail[worst - 1]
    return float(max(-(scale * total + share * at), -at))


def _roll_sample(values: Any, window: int, worst: int, share: float, confidence: float, var: Any, es: Any) -> None:
    """Historical VaR and ES [A, T] of returns [A, T]; a missing one is infinite.

    Only the smallest values of the window are kept, in order, twice as many as the tail has and some: most bars touch
    none of them. `limit` is what every other value of the window is at least. Where too few are left they are
    collected anew from the window.
    """
    scale = 1.0 / (window * (1.0 - confidence))
    room = min(window, 2 * worst + 16)
    tail = np.empty(room + 1)
    for asset in range(len(values)):
        row = values[asset]
        count, limit, changed, mean = room, collect(row, 0, window, tail), 0, 0.0
        for bar in range(window, len(row)):
            if changed < worst:
                mean = sum_tail(tail, worst, scale, share)
            var[asset, bar], es[asset, bar] = -tail[worst - 1], mean
            count, limit, changed = slide(tail, count, limit, row[bar - window], row[bar])
            if count < worst:
                count, limit, changed = room, collect(row, bar - window + 1, bar + 1, tail), 0


compiled = njit(cache=True, nogil=True, error_model="numpy")
put, take, collect = compiled(_put), compiled(_take), compiled(_collect)
slide, sum_tail = compiled(_slide), compiled(_sum_tail)
roll_sample = compiled(_roll_sample)
