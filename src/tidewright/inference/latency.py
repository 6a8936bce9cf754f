"""How long answers took: a histogram of fixed size, exact to one percent, cheap enough for every call."""

from __future__ import annotations

from collections import deque
from threading import Lock

import numpy as np
import numpy.typing as npt

_BITS = 7  # 128 buckets for each doubling of the time: 0.8 % wide
_BUCKETS = 58 << _BITS  # up to 2^63 ns
PENDING = 4096  # answers noted before they are counted


class Latency:
    """Counts times in nanoseconds. `pending.append` may be called by any thread, without a lock.

    >>> latency = Latency()
    >>> latency.pending.extend(range(1000, 101_000, 1000))
    >>> summary = latency.summary()
    >>> summary["count"], summary["max_ms"], abs(summary["p95_ms"] / 0.095 - 1) < 0.01
    (100, 0.1, True)
    """

    __slots__ = ("_counts", "_largest", "_lock", "_total", "pending")

    def __init__(self) -> None:
        self.pending: deque[int] = deque()
        self._lock = Lock()
        self._counts = np.zeros(_BUCKETS, dtype=np.int64)
        self._total = self._largest = 0

    def count(self) -> None:
        """Moves what is pending into the histogram."""
        with self._lock:
            times = [self.pending.popleft() for _ in range(len(self.pending))]
            if times:
                self._counts += np.bincount(_buckets(np.array(times, dtype=np.int64)), minlength=_BUCKETS)
                self._total += sum(times)
                self._largest = max(self._largest, *times)

    def summary(self) -> dict[str, float]:
        """mean_ms, p50_ms (also as median_ms), p95_ms, p99_ms, max_ms and count; NaN before the first "
        "answer."""
        self.count()
        with self._lock:
            reached, largest = np.cumsum(self._counts), self._largest / 1e6
            number = int(reached[-1])
            mean = self._total / number / 1e6 if number else float("nan")
        if not number:
            largest = float("nan")
        places = {p: int(np.searchsorted(reached, p / 100 * number)) for p in (50, 95, 99)}
        quantiles = {f"p{p}_ms": min(_middle(place) / 1e6, largest) for p, place in places.items()}
        if not number:
            quantiles = dict.fromkeys(quantiles, float("nan"))
        head = {"mean_ms": mean, "median_ms": quantiles["p50_ms"]}
        return {**head, **quantiles, "max_ms": largest, "count": number}

    def reset(self) -> None:
        """Forgets every answer."""
        with self._lock:
            self.pending.clear()
            self._counts[:] = 0
            self._total = self._largest = 0


def _buckets(times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Times below 256 ns have a bucket each; of longer ones the leading eight bits are the bucket."""
    shift = np.maximum(np.frexp(times_ns.astype(np.float64))[1].astype(np.int64) - _BITS - 1, 0)
    return np.minimum((shift << _BITS) + (times_ns >> shift), _BUCKETS - 1)


def _middle(bucket: int) -> float:
    shift = max((bucket >> _BITS) - 1, 0)
    low = (bucket - (shift << _BITS)) << shift
    return low + ((1 << shift) - 1) / 2
