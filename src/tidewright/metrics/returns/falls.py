"""`Falls`: every drawdown of many histories, found at once.

B histories of T periods; E drawdowns of all of them. [..., T + 1] stands for wealth over T returns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Falls:
    """Every drawdown of B histories in one row [E], in order: `history` says whose it is.

    `lasted` bounds the drawdown by the end where it is not over; `recovery` is nan there.
    """

    history: Ints
    depth: Floats
    peak: Ints
    trough: Ints
    lasted: Ints
    recovery: Floats


def find_falls(falls: Floats) -> Falls:
    """Every drawdown in the shares lost since a peak [..., T + 1], each of which begins at a peak.

    >>> found = find_falls(np.array([[0.0, 0.5, 0.0, 0.1], [0.0, 0.0, 0.2, 0.3]]))
    >>> found.history.tolist(), found.depth.tolist(), found.lasted.tolist(), found.recovery.tolist()
    ([0, 0, 1], [0.5, 0.1, 0.3], [2, 1, 2], [1.0, nan, nan])
    """
    flat, steps = falls.ravel(), falls.shape[-1]
    peaks = np.flatnonzero(flat <= 0.0)  # wealth at its highest so far; the start of each history is one
    ends = np.append(peaks[1:], flat.size)
    fell = ends - peaks > 1
    starts, ends = peaks[fell], ends[fell]
    if not starts.size:
        none, no = np.zeros(0), np.zeros(0, dtype=np.int64)
        return Falls(no, none, no, no, no, none)
    history = starts // steps
    over = (ends < flat.size) & (ends // steps == history)
    depth, trough = _bottoms(flat, starts, ends)
    stop = np.where(over, ends, (history + 1) * steps - 1)
    recovery = np.where(over, ends - trough, np.nan)
    return Falls(history, depth, starts % steps, trough % steps, stop - starts, recovery)


def _bottoms(flat: Floats, starts: Ints, ends: Ints) -> tuple[Floats, Ints]:
    """The depth and the first place of the lowest point between each start and end [E]."""
    edges = np.stack([starts, ends], axis=1).ravel()
    edges = edges[:-1] if edges[-1] == flat.size else edges
    depth = np.maximum.reduceat(flat, edges)[::2]
    deepest = np.repeat(depth, ends - starts)
    inside = np.arange(deepest.size) + np.repeat(starts - np.append(0, np.cumsum(ends - starts)[:-1]), ends - starts)
    places = inside[flat[inside] == deepest]
    which = np.searchsorted(starts, places, side="right") - 1
    _, first = np.unique(which, return_index=True)
    return depth, places[first]
