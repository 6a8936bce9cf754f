"""The first level of a cache: answers in memory, the least recently used let go first, by number, bytes and age."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

from tidewright.checks import check_call, check_seconds, check_whole
from tidewright.inference.session import Prediction

TAIL = -64  # an input is looked for by this slice of its bytes, for hashing all of them would take longer than the rest
_TAIL_BYTES = -TAIL
OVERHEAD = 600  # bytes of an entry beside its input and its answer
Form = tuple[Any, ...]  # type and shape of an input
Entry = tuple[bytes, Form, Prediction, float, int]  # input, its form, the answer, until when, and bytes of all


class Memory:
    """Answers by input. The key of an entry is the tail of its input, or the whole input where another one of the same
    tail is there; `doubled` counts the latter by tail. What changes more than one thing is done under `lock`.
    """

    def __init__(self, *, entries: int, most_bytes: int, ttl_s: float | None, clock: Callable[[], float]) -> None:
        for name, value in (("entries", entries), ("most_bytes", most_bytes)):
            check_whole(name, value)
        check_seconds("ttl_s", ttl_s)
        check_call("clock", clock)
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.doubled: Counter[bytes] = Counter()
        self.lock, self.timed = Lock(), ttl_s is not None
        self.bytes = self.misses = self.evictions = self.expiries = 0
        self._most, self._most_bytes = entries, most_bytes
        self._ttl_s, self._clock = ttl_s or math.inf, clock

    def find_young(self, key: bytes, /) -> Entry | None:
        """The entry, unless its time is over."""
        entry = self.entries.get(key)
        return None if entry is None or self.is_old(entry) else entry

    def is_old(self, entry: Entry) -> bool:
        """Whether its time is over."""
        return self.timed and self._clock() >= entry[3]

    def look_closer(self, tail: bytes, data: bytes, form: Form, /) -> tuple[bytes, Prediction | None]:
        """The key of an input whose tail is taken by another one or by an answer whose time is over, and its answer if
        there is one.
        """
        with self.lock:
            for key in (tail, data):
                entry = self.entries.get(key)
                if entry is None or entry[0] != data or entry[1] != form:
                    continue
                if not self.is_old(entry):
                    self.entries.move_to_end(key)
                    return key, entry[2]
                self._drop(key)
                self.expiries += 1
            return data if tail in self.entries else tail, None

    def keep(self, key: bytes, data: bytes, form: Form, answer: Prediction, /, age_s: float = 0.0) -> None:
        """Counts a miss, and keeps its answer if there is room for it."""
        size = len(data) + answer[0].nbytes + OVERHEAD
        until = self._clock() + self._ttl_s - age_s if self.timed else math.inf
        entries = self.entries
        with self.lock:
            self.misses += 1
            if size > self._most_bytes:
                return
            if key in entries:
                self._drop(key)
            entries[key] = data, form, answer, until, size
            if len(key) > _TAIL_BYTES:
                self.doubled[key[TAIL:]] += 1
            total = self.bytes + size
            while total > self._most_bytes or len(entries) > self._most:
                oldest, entry = entries.popitem(False)
                total -= entry[4]
                self.evictions += 1
                if len(oldest) > _TAIL_BYTES:
                    self._undouble(oldest)
            self.bytes = total

    def count_miss(self) -> None:
        """A miss whose answer was an error."""
        with self.lock:
            self.misses += 1

    def clear(self) -> None:
        """Lets everything go."""
        with self.lock:
            self.entries.clear()
            self.doubled.clear()
            self.bytes = 0

    def _drop(self, key: bytes) -> None:
        self.bytes -= self.entries.pop(key)[4]
        if len(key) > _TAIL_BYTES:
            self._undouble(key)

    def _undouble(self, key: bytes) -> None:
        self.doubled[key[TAIL:]] -= 1
        if not self.doubled[key[TAIL:]]:
            del self.doubled[key[TAIL:]]
