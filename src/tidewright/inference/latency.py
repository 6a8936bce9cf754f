"""How long answers took: a histogram of fixed size, exact to one percent, cheap enough for every call."""

from __future__ import annotations

from collections import deque
from threading import Lock

_BITS = 7  # 128 buckets for each doubling of the time: 0.8 % wide
_BUCKETS = 64 << _BITS
PENDING = 4096  # answers noted before they are counted


class Latency:
    """Counts times in nanoseconds. `pending.append` may be called by any thread, without a lock.

    >>> latency = Latency()
    >>> for microseconds in range(1, 101):
    ...     latency.pending.append(1000 * microseconds)
    >>> summary = latency.summary()
    >>> summary["count"], summary["max_ms"], abs(summary["p95_ms"] / 0.095 - 1) < 0.01
    (100, 0.1, True)
    """

    __slots__ = ("_counts", "_largest", "_lock", "_total", "pending")

    def __init__(self) -> None:
        self.pending: deque[int] = deque()
        self._lock = Lock()
        self._counts = [0] * _BUCKETS
        self._total = self._largest = 0

    def count(self) -> None:
        """Moves what is pending into the histogram."""
        with self._lock:
            for _ in range(len(self.pending)):
                time_ns = self.pending.popleft()
                self._counts[_bucket(time_ns)] += 1
                self._total += time_ns
                self._largest = max(self._largest, time_ns)

    def summary(self) -> dict[str, float]:
        """mean_ms, p50_ms (also as median_ms), p95_ms, p99_ms, max_ms and count; NaN before the first "
        "answer."""
        self.count()
        with self._lock:
            number = sum(self._counts)
            quantiles = {f"p{p}_ms": self._quantile(p / 100, number) for p in (50, 95, 99)}
            mean = self._total / number / 1e6 if number else float("nan")
            largest = self._largest / 1e6 if number else float("nan")
        return {"mean_ms": mean, "median_ms": quantiles["p50_ms"], **quantiles, "max_ms": largest, "count": number}

    def reset(self) -> None:
        """Forgets every answer."""
        with self._lock:
            self.pending.clear()
            self._counts = [0] * _BUCKETS
            self._total = self._largest = 0

    def _quantile(self, share: float, number: int) -> float:
        """The middle of the bucket that holds the quantile, in milliseconds."""
        left = share * number
        for bucket, count in enumerate(self._counts):
            left -= count
            if count and left <= 0:
                return min(_middle(bucket), float(self._largest)) / 1e6
        return float("nan")


def _bucket(time_ns: int) -> int:
    """Small times have a bucket each; from 256 ns on, the leading eight bits are the bucket."""
    shift = max(time_ns.bit_length() - _BITS - 1, 0)
    return min((shift << _BITS) + (time_ns >> shift), _BUCKETS - 1)


def _middle(bucket: int) -> float:
    shift = max((bucket >> _BITS) - 1, 0)
    low = (bucket - (shift << _BITS)) << shift
    return low + ((1 << shift) - 1) / 2
