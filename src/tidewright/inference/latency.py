"""How long answers took: a histogram of fixed size, exact to one percent, cheap enough for every call."""

from __future__ import annotations

from collections import deque
from threading import Lock
from time import perf_counter

import numpy as np
import numpy.typing as npt

from tidewright.errors import ConfigError
from tidewright.inference.slots import Slots

_BITS = 7  # 128 buckets for each doubling of the time: 0.8 % wide
_BUCKETS = 58 << _BITS  # up to 2^63 ns
PENDING = 1024  # answers noted before they are counted
RECENT = 4096  # answers that are known one by one
STAGES = ("preprocess", "run", "postprocess")


class Latency:
    """Counts times in nanoseconds. `pending.append` may be called by any thread, without a lock.

    Where `slots` are kept, whoever notes an answer that began after `slots.due` calls `turn` before it does, so that
    what is pending belongs to the slot that ends.

    >>> latency = Latency()
    >>> latency.pending.extend(range(1000, 101_000, 1000))
    >>> summary = latency.summary()
    >>> summary["count"], summary["max_ms"], abs(summary["p95_ms"] / 0.095 - 1) < 0.01
    (100, 0.1, True)
    """

    __slots__ = ("_counts", "_largest", "_lock", "_recent", "_seen", "_since", "_total", "pending", "slots")

    def __init__(self, *, slots: bool = False) -> None:
        self.pending: deque[int] = deque()
        self._lock = Lock()
        self._counts = np.zeros(_BUCKETS, dtype=np.int64)
        self._total = self._largest = 0
        self._recent, self._seen = np.zeros(RECENT, dtype=np.int64), 0  # a ring
        self._since = perf_counter()
        self.slots = Slots(_BUCKETS) if slots else None

    def count(self) -> None:
        """Moves what is pending into the histogram."""
        with self._lock:
            times = [self.pending.popleft() for _ in range(len(self.pending))]
            if times:
                places, total, largest = _buckets(np.array(times, dtype=np.int64)), sum(times), max(times)
                np.add.at(self._counts, places, 1)
                self._remember(times[-RECENT:])
                self._total += total
                self._largest = max(self._largest, largest)
                if self.slots is not None:
                    self.slots.add(places, total=total, largest=largest)

    def turn(self) -> None:
        """The same, and begins the next slot where the present one is over."""
        self.count()
        if self.slots is not None:
            with self._lock:
                self.slots.turn()

    def summary(self, *, last: int | None = None, seconds: float | None = None) -> dict[str, float]:
        """mean_ms, p50_ms (also as median_ms), p95_ms, p99_ms, max_ms and count, and answers a second since the start
        or the reset; NaN before the first answer. Of the `last` answers alone, at most `RECENT`, without that rate; or
        of the last `seconds`, where slots are kept, to the width of a slot. Raises `ConfigError`.
        """
        if last is not None and seconds is not None:
            raise ConfigError("last and seconds are two ways to name the newest answers. Give one of them.")
        self.turn()
        if last is not None:
            return self._summarise_last(last)
        with self._lock:
            if seconds is None:
                return _summarise(self._counts, self._total, self._largest, perf_counter() - self._since)
            if self.slots is None:
                raise ConfigError("the times here are not kept by when they came. Leave seconds out.")
            return _summarise(*self.slots.last(seconds))

    def _remember(self, times: list[int]) -> None:
        self._recent[np.arange(self._seen, self._seen + len(times)) % RECENT] = times
        self._seen += len(times)

    def _summarise_last(self, last: int) -> dict[str, float]:
        if isinstance(last, bool) or not isinstance(last, int) or not 1 <= last <= RECENT:
            raise ConfigError(f"last is a number of answers, 1 to {RECENT}; got {last!r}.")
        with self._lock:
            places = np.arange(max(self._seen - last, 0), self._seen) % RECENT
            times = self._recent[places] / 1e6
        if not len(times):
            times = np.full(1, np.nan)
        p50, p95, p99 = (float(one) for one in np.quantile(times, (0.5, 0.95, 0.99), method="inverted_cdf"))
        head = {"mean_ms": float(times.mean()), "median_ms": p50, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
        return {**head, "max_ms": float(times.max()), "count": int(np.isfinite(times).sum())}

    def reset(self) -> None:
        """Forgets every answer."""
        with self._lock:
            self.pending.clear()
            self._counts[:] = 0
            self._total = self._largest = 0
            self._seen = 0
            self._since = perf_counter()
            if self.slots is not None:
                self.slots.reset()


class Stages:
    """How long the parts of answers took: what is checked and copied before the model runs, the run, and what is
    checked and copied after it.
    """

    __slots__ = ("_parts", "_post", "_pre", "_run")

    def __init__(self) -> None:
        self._parts = tuple(Latency() for _ in STAGES)
        self._pre, self._run, self._post = (part.pending for part in self._parts)

    def note(self, pre_ns: int, run_ns: int, post_ns: int, /) -> None:
        """One answer."""
        self._pre.append(pre_ns)
        self._run.append(run_ns)
        self._post.append(post_ns)
        if len(self._post) > PENDING:
            for part in self._parts:
                part.count()

    def summary(self) -> dict[str, dict[str, float]]:
        """The summary of each part, without the rate of those that were noted."""
        told = {name: part.summary() for name, part in zip(STAGES, self._parts, strict=True)}
        return {name: {key: value for key, value in one.items() if key != "per_s"} for name, one in told.items()}

    def reset(self) -> None:
        """Forgets every answer."""
        for part in self._parts:
            part.reset()


def _summarise(counts: npt.NDArray[np.int64], total: int, longest: int, seconds: float) -> dict[str, float]:
    """The summary of a histogram, of the sum and the largest of its times in ns, and of how long it was filled."""
    reached = np.cumsum(counts)
    number = int(reached[-1])
    if not number:
        names = ("mean_ms", "median_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms", "per_s")
        return {**dict.fromkeys(names, float("nan")), "count": 0}
    largest = longest / 1e6
    places = {p: int(np.searchsorted(reached, p / 100 * number)) for p in (50, 95, 99)}
    quantiles = {f"p{p}_ms": min(_middle(place) / 1e6, largest) for p, place in places.items()}
    head = {"mean_ms": total / number / 1e6, "median_ms": quantiles["p50_ms"]}
    return {**head, **quantiles, "max_ms": largest, "per_s": number / max(seconds, 1e-9), "count": number}


def _buckets(times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Times below 256 ns have a bucket each; of longer ones the leading eight bits are the bucket."""
    shift = np.maximum(np.frexp(times_ns.astype(np.float64))[1].astype(np.int64) - _BITS - 1, 0)
    return np.minimum((shift << _BITS) + (times_ns >> shift), _BUCKETS - 1)


def _middle(bucket: int) -> float:
    shift = max((bucket >> _BITS) - 1, 0)
    low = (bucket - (shift << _BITS)) << shift
    return low + ((1 << shift) - 1) / 2
