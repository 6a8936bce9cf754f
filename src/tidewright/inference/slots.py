"""`Slots`: times by when they came, in a ring of histograms of fixed size, for the figures of the last seconds."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.errors import ConfigError

SLOT_S = 5  # seconds of a histogram
SLOTS = 61  # the one that is being filled, and those of five minutes before it
LONGEST_S = SLOT_S * (SLOTS - 1)
_SLOT_NS = SLOT_S * 1_000_000_000


class Slots:
    """See the file. `due` is when the present slot ends, on the clock of `perf_counter_ns`. Its user locks."""

    __slots__ = ("_counts", "_largest", "_numbers", "_slot", "_started", "_totals", "due")

    def __init__(self, buckets: int) -> None:
        self._counts = np.zeros((SLOTS, buckets), dtype=np.uint32)  # memory is taken where times fall
        self._numbers = [-1] * SLOTS  # which slot of all time each holds
        self._totals, self._largest = [0] * SLOTS, [0] * SLOTS
        self._started = perf_counter_ns()
        self._open(self._started)

    def add(self, places: npt.NDArray[np.int64], *, total: int, largest: int) -> None:
        """Times that came before the present slot's end, as their buckets."""
        at = self._slot % SLOTS
        np.add.at(self._counts[at], places, 1)
        self._totals[at] += total
        self._largest[at] = max(self._largest[at], largest)

    def turn(self) -> None:
        """Begins the next slot, where the present one is over."""
        now = perf_counter_ns()
        if now >= self.due:
            self._open(now)

    def last(self, seconds: float) -> tuple[npt.NDArray[np.int64], int, int, float]:
        """The histogram, the sum and the largest of the times of the last seconds, to the width of a slot, and how many
        seconds these are. Raises `ConfigError`.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not SLOT_S <= seconds <= LONGEST_S:
            raise ConfigError(f"seconds is a time of {SLOT_S} to {LONGEST_S} s; got {seconds!r}.")
        now = perf_counter_ns()
        first = (now - int(seconds * 1e9)) // _SLOT_NS + 1
        held = [at for at, number in enumerate(self._numbers) if number >= first]
        counts: Any = self._counts[held].sum(axis=0, dtype=np.int64)
        start = max(first * _SLOT_NS, self._started)
        largest = max((self._largest[at] for at in held), default=0)
        return counts, sum(self._totals[at] for at in held), largest, max((now - start) / 1e9, 1e-9)

    def reset(self) -> None:
        """Forgets every time."""
        self._numbers = [-1] * SLOTS
        self._started = perf_counter_ns()
        self._open(self._started)

    def _open(self, now: int) -> None:
        self._slot = now // _SLOT_NS
        self.due = (self._slot + 1) * _SLOT_NS
        at = self._slot % SLOTS
        self._numbers[at] = self._slot
        row = self._counts[at]
        row[row.nonzero()] = 0  # pages that hold nothing stay untouched
        self._totals[at] = self._largest[at] = 0
