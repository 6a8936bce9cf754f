"""`cached`: a session that keeps its answers. The same windows are computed once, also when many threads ask for them
at the same time.

In memory an answer is found by the last bytes of its input and taken only where all bytes, their type and their shape
are the same: no digest is made, and no two inputs are ever taken for each other. A session answers for one bundle; on
disk the bundle's digest is part of the key. So an answer is never of another bundle.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.checks import to_path
from tidewright.errors import ConfigError
from tidewright.inference.cache_disk import DiskCounts, DiskLevel
from tidewright.inference.cache_memory import TAIL, Form, Memory
from tidewright.inference.items import check_session, is_items, join_items, predict_stream
from tidewright.inference.session import Prediction, Session
from tidewright.models.fitted import Fitted

_FLOAT = np.dtype(np.float32)
_Array = np.ndarray
DISK_BYTES = 256 << 20
Flight = list[Any]  # an input's bytes and form, then the futures of those that wait for its answer


class CacheCounts(NamedTuple):
    """What a cache did: answers taken from memory, computed (or taken from disk), and waited for while another thread
    made them; answers let go for room and for age; what it holds now. `disk` is None without a second level.
    """

    hits: int
    misses: int
    joined: int
    evictions: int
    expiries: int
    entries: int
    bytes: int
    disk: DiskCounts | None


def cached(
    session: Session,
    *,
    entries: int = 4096,
    most_bytes: int = 64 << 20,
    ttl_s: float | None = None,
    folder: str | Path | None = None,
    disk_bytes: int | None = None,
    clock: Callable[[], float] = time.time,
) -> CachedSession:
    """The session, with the answers of `predict` kept: at most `entries` and `most_bytes` (inputs included), the least
    recently used let go first, none older than `ttl_s` seconds. Their arrays are read-only.

    With a `folder`, which its user alone may write to, answers outlive the process, at most `disk_bytes` (256 MB
    where left out), for sessions of the same bundle and options. `clock` gives seconds since 1970.
    Raises `ConfigError`.
    """
    check_session(session)
    memory = Memory(entries=entries, most_bytes=most_bytes, ttl_s=ttl_s, clock=clock)
    if folder is None:
        if disk_bytes is not None:
            raise ConfigError(
                "disk_bytes bounds the answers in a folder, and none is given. Give one, or leave it out."
            )
        return CachedSession(session, memory=memory)
    options = sorted((name, choice.used) for name, choice in session.settings.items())
    salt = f"{session.digest} {session.backend} {options} {session.inputs}"
    place, most = to_path("folder", folder, of="a folder for answers"), DISK_BYTES if disk_bytes is None else disk_bytes
    disk = DiskLevel(place, most_bytes=most, ttl_s=ttl_s, clock=clock, salt=salt.encode())
    return CachedSession(session, memory=memory, disk=disk)


class CachedSession:
    """See `cached` and `Session`. A kept answer's `latency_ms` is the time that it took to make; `latency()` is that of
    the answers that were made. `forecast` is computed each time.
    """

    def __init__(self, session: Session, *, memory: Memory, disk: DiskLevel | None = None) -> None:
        self.session = session
        self.backend, self.choice, self.model = session.backend, session.choice, session.model
        self.settings, self.digest = session.settings, session.digest
        self.task, self.inputs = session.task, session.inputs
        self.read, self.forecast = session.read, session.forecast
        self.latency, self.stages, self.reset_latency = session.latency, session.stages, session.reset_latency
        self._memory, self._disk = memory, disk
        self._ask, self._keep = session.predict, memory.keep
        self._special: Any = memory.doubled if disk is None else True  # whether a miss must be looked at with care
        self._find = memory.find_young if memory.timed else memory.entries.get
        self._touch = memory.entries.move_to_end
        self._flights: dict[bytes, Flight] = {}
        self._hits, self._joined, self._looks = count(), count(), 0

    @property
    def fitted(self) -> Fitted:
        """See `Session.fitted`."""
        return self.session.fitted

    def predict(self, x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]], /) -> Prediction:
        """See `Session.predict`. An error is that of the session; it is not kept."""
        form: Form
        if type(x) is _Array and x.dtype is _FLOAT:
            data, form = x.tobytes(), x.shape
        else:
            x = join_items(x) if is_items(x) else x
            read = _read_bytes(x, self.inputs)
            if read is None:  # the session says what is wrong
                return self.session.predict(x)
            data, form = read
        tail = data[TAIL:]
        entry = self._find(tail)  # no lock: each of these calls is one step of the interpreter
        if entry is None:
            return self._miss(x, tail, data, form)
        if entry[0] != data or entry[1] != form:
            return self._look_closer(x, tail, data, form)
        next(self._hits)
        try:  # noqa: SIM105  # suppress takes as long as all of this
            self._touch(tail)
        except KeyError:  # let go meanwhile, but it is at hand
            pass
        return entry[2]

    def predict_stream(self, items: Iterable[Any], /, *, batch_size: int = 64) -> Iterator[Prediction]:
        """See `Session.predict_stream`."""
        return predict_stream(self, items, batch_size=batch_size)

    def counts(self) -> CacheCounts:
        """What it did so far."""
        memory = self._memory
        with memory.lock:
            hits, joined = next(self._hits) - self._looks, next(self._joined) - self._looks
            self._looks += 1
            told = memory.misses, joined, memory.evictions, memory.expiries, len(memory.entries), memory.bytes
        return CacheCounts(hits, *told, self._disk.counts() if self._disk else None)

    def clear(self) -> None:
        """Lets every answer go, on disk too; the counts stay."""
        self._memory.clear()
        if self._disk:
            self._disk.clear()

    def _look_closer(self, x: Any, tail: bytes, data: bytes, form: Form, /) -> Prediction:
        """An answer whose tail is taken by another input."""
        key, kept = self._memory.look_closer(tail, data, form)
        if kept is None:
            return self._miss(x, key, data, form)
        next(self._hits)
        return kept

    def _miss(self, x: Any, key: bytes, data: bytes, form: Form, /) -> Prediction:
        """An answer that is not there: made and kept, or waited for where another thread makes it."""
        flights, flight = self._flights, [data, form]
        found = flights.setdefault(key, flight)
        if found is not flight:
            return self._join(found, x, key, data, form)
        answer = None
        try:
            if self._special or key in self._memory.entries:
                answer = self._make(x, key, data, form)
            else:
                answer = self._ask(x)
                values = answer[0]
                if values.base is not None:
                    answer = _copy(answer)
                    values = answer[0]
                values.setflags(write=False)
                self._keep(key, data, form, answer)
        finally:
            del flights[key]
            if answer is None or len(flight) > 2:
                self._land(flight, answer=answer)
        return answer

    def _make(self, x: Any, key: bytes, data: bytes, form: Form, /) -> Prediction:
        """The same with care: where the answer may have come since this thread looked or its time is over, where inputs
        of the same tail are there, and with a second level.
        """
        key, kept = self._memory.look_closer(key, data, form)
        if kept is not None:
            next(self._hits)
            return kept
        found = None if self._disk is None else self._disk.find(data, form)
        if found is not None:
            self._keep(key, data, form, found[0], found[1])
            return found[0]
        answer = _copy(self._ask(x))
        answer[0].setflags(write=False)
        self._keep(key, data, form, answer)
        if self._disk is not None:
            self._disk.keep(data, form, answer=answer)
        return answer

    def _join(self, flight: Flight, x: Any, key: bytes, data: bytes, form: Form, /) -> Prediction:
        if flight[0] != data or flight[1] != form:
            if len(key) == len(data):  # the same bytes in another form
                return self.session.predict(x)
            return self._miss(x, data, data, form)
        waits: Future[Prediction | None] = Future()
        flight.append(waits)
        if self._flights.get(key) is flight:  # it lands later, and then sees the future
            answer = waits.result()
            if answer is not None:
                next(self._joined)
                return answer
        return self.predict(x)

    def _land(self, flight: Flight, *, answer: Prediction | None) -> None:
        """Gives an answer, or the error that is being raised, to those that wait. What ends one thread only, such as
        KeyboardInterrupt, makes the others ask again.
        """
        error = sys.exc_info()[1] if answer is None else None
        if answer is None:
            self._memory.count_miss()
        for waits in flight[2:]:
            if isinstance(error, Exception):
                waits.set_exception(error)
            else:
                waits.set_result(answer)

    def __repr__(self) -> str:
        return f"CachedSession({self.session!r}, {len(self._memory.entries)} answers)"


def _copy(answer: Prediction) -> Prediction:
    """The same answer; a part of something larger by itself, for that would else be kept with it."""
    values = answer[0]
    return answer if values.base is None else answer._replace(quantiles=values.copy())


def _read_bytes(x: Any, inputs: tuple[str, ...]) -> tuple[bytes, Form] | None:
    """The bytes of all inputs, and their names, types and shapes; None for what is no array of numbers of a known
    name.
    """
    given = x if isinstance(x, Mapping) else {"target": x}
    if len(given) != len(inputs) or any(name not in given for name in inputs):
        return None
    arrays = [(name, given[name]) for name in inputs]
    if not all(isinstance(array, np.ndarray) and array.dtype.kind in "fiu" for _, array in arrays):
        return None
    form = tuple((name, array.dtype.str, array.shape) for name, array in arrays)
    return b"".join([array.tobytes() for _, array in arrays]), form
