"""`ShadowTally`: what became of the copies that a shadow got, and how far its answers are from the champion's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import numpy as np

from tidewright.inference.latency import PENDING, Latency
from tidewright.inference.metrics_text import Sample, summarise
from tidewright.serving.difference import Floats

OUTCOMES = ("answered", "failed", "dropped", "unfit")


class _Sum:
    """Numbers, as their count, sum and largest."""

    __slots__ = ("count", "largest", "total")

    def __init__(self) -> None:
        self.count, self.total, self.largest = 0, 0.0, 0.0

    def add(self, values: Floats) -> None:
        known = values[np.isfinite(values)]
        if len(known):
            self.count += len(known)
            self.total += float(known.sum())
            self.largest = max(self.largest, float(known.max()))

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


class ShadowTally:
    """Of one shadow of one champion. `absolute` differences are in the target's unit, `relative` ones in spreads."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()  # by the error's name
        self.windows = 0
        self.absolute, self.relative = _Sum(), _Sum()
        self.clock = Latency()
        self._lock = Lock()

    def count(self, outcome: str) -> None:
        """A copy that was not answered: dropped, or unfit for the shadow."""
        with self._lock:
            self.outcomes[outcome] += 1

    def fail(self, kind: str) -> bool:
        """A copy that could not be answered; gives whether it is the first of its kind."""
        with self._lock:
            self.outcomes["failed"] += 1
            self.errors[kind] += 1
            return self.errors[kind] == 1

    def time(self, elapsed_ns: int) -> None:
        """One that was answered."""
        with self._lock:
            self.outcomes["answered"] += 1
        pending = self.clock.pending
        pending.append(elapsed_ns)
        if len(pending) > PENDING:
            self.clock.count()

    def compare(self, absolute: Floats, relative: Floats) -> None:
        """The differences of some windows."""
        with self._lock:
            self.windows += len(absolute)
            self.absolute.add(absolute)
            self.relative.add(relative)

    def samples(self, labels: Mapping[str, str]) -> Iterable[Sample]:
        """Its numbers."""
        for outcome in OUTCOMES:
            yield Sample("tidewright_shadow_total", {**labels, "outcome": outcome}, self.outcomes[outcome])
        for kind, number in sorted(self.errors.items()):
            yield Sample("tidewright_shadow_errors_total", {**labels, "error": kind}, number)
        yield from summarise("tidewright_shadow_seconds", labels, self.clock.summary())
        for unit, one in (("target", self.absolute), ("spread", self.relative)):
            told = {**labels, "unit": unit}
            yield Sample("tidewright_shadow_difference", told, one.total, "_sum")
            yield Sample("tidewright_shadow_difference", told, one.count, "_count")
            yield Sample("tidewright_shadow_largest_difference", told, one.largest)

    def describe(self) -> dict[str, Any]:
        """The same for a reader."""
        counts = {outcome: self.outcomes[outcome] for outcome in OUTCOMES} | {"windows": self.windows}
        clock = self.clock.summary()
        times = {name: clock[name] for name in ("p50_ms", "p99_ms") if clock["count"]}
        difference = {
            unit: {"mean": one.mean, "largest": one.largest if one.count else None}
            for unit, one in (("target", self.absolute), ("spread", self.relative))
        }
        return {**counts, "errors": dict(self.errors), **times, "difference": difference}
