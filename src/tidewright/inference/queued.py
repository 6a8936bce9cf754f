"""`Queue`: the requests that wait for a run of a `BatchingSession`, and how several become one."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter_ns
from typing import Any

import numpy as np

from tidewright.checks import check_seconds
from tidewright.errors import ConfigError, RequestError
from tidewright.inference.session import Prediction

CLOSED = "the session is closed. Open another one."
Form = tuple[Any, ...] | None  # what requests of one run have in common; None runs alone


@dataclass(slots=True, eq=False)
class Ask:
    """A request of `size` windows, until when it may wait, and when it came (ns). Its future is that of a thread, or of
    a `loop`, whose futures its own thread alone may touch.
    """

    x: Any
    form: Form
    size: int
    deadline: float
    loop: asyncio.AbstractEventLoop | None
    future: Any = None
    expired: bool = False
    came: int = field(default_factory=perf_counter_ns)

    def __post_init__(self) -> None:
        self.future = Future() if self.loop is None else self.loop.create_future()

    def start(self) -> bool:
        """Whether someone still waits for it; from then on it runs."""
        return bool(self.future.set_running_or_notify_cancel() if self.loop is None else not self.future.cancelled())


def settle(ended: Iterable[tuple[Ask, Prediction | BaseException]]) -> None:
    """Answers requests, or fails them. A loop is woken once for all of its own."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Any, Prediction | BaseException]]] = {}
    for ask, outcome in ended:
        if ask.loop is None:
            _set_all([(ask.future, outcome)])
        else:
            loops.setdefault(ask.loop, []).append((ask.future, outcome))
    for loop, pairs in loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_set_all, pairs)


def _set_all(pairs: list[tuple[Any, Prediction | BaseException]]) -> None:
    for future, outcome in pairs:
        if future.done():  # cancelled while it ran
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class Queue:
    """Requests by priority, then in the order that they came; at most `most` of them, and `rows` windows a run."""

    def __init__(self, *, most: int, rows: int, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.taken = self.refused = self.expired = self.cancelled = 0
        self._most, self._rows, self._order, self._closed = most, rows, 0, False
        self._heap: list[tuple[int, int, Ask]] = []
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, ask: Ask, *, priority: int) -> None:
        """Queues a request. Raises `RequestError` where there is no room, or nobody will take it."""
        with self._lock:
            if self._closed:
                raise RequestError(CLOSED, status=503)
            if len(self._heap) >= self._most:
                self._heap = [entry for entry in self._heap if self._is_live(entry[2])]
                heapq.heapify(self._heap)
            if len(self._heap) >= self._most:
                self.refused += 1
                raise RequestError(
                    f"{len(self._heap)} requests wait already. Ask again later, ask for several windows at a time, or "
                    "open the session with a longer queue.",
                    status=429,
                    retry_after_s=1,
                )
            heapq.heappush(self._heap, (-priority, self._order, ask))
            self._order += 1

    def take(self) -> list[Ask]:
        """The requests of the next run: the first, and those after it that it can run with."""
        batch: list[Ask] = []
        left: list[tuple[int, int, Ask]] = []
        size = 0
        with self._lock:
            while self._heap:
                entry = heapq.heappop(self._heap)
                ask = entry[2]
                if batch and (ask.form is None or ask.form != batch[0].form):
                    left.append(entry)
                elif batch and size + ask.size > self._rows:
                    left.append(entry)
                    break
                elif self._is_live(ask) and ask.start():
                    batch.append(ask)
                    size += ask.size
                    if ask.form is None:
                        break
            for entry in left:
                heapq.heappush(self._heap, entry)
            self.taken += len(batch)
        return batch

    def expire(self, ask: Ask) -> RequestError:
        """The error of a request whose deadline has passed; it leaves the queue."""
        with self._lock:
            if not ask.expired:
                ask.expired = True
                self.expired += 1
        ask.future.cancel()
        return _late()

    def close(self) -> list[Ask]:
        """Takes no more, and gives what waits."""
        with self._lock:
            self._closed = True
            waiting = [entry[2] for entry in self._heap]
            self._heap = []
            return [ask for ask in waiting if ask.start()]

    def _is_live(self, ask: Ask) -> bool:
        """Whether someone still waits for it, and its deadline hasn't passed; else it is done with."""
        if ask.future.cancelled():
            self.cancelled += not ask.expired
            return False
        if ask.deadline > self.clock():
            return True
        if ask.start():
            ask.expired = True
            self.expired += 1
            settle([(ask, _late())])
        return False


def _late() -> RequestError:
    return RequestError(
        "the deadline passed before the answer. Give a longer one, or ask for fewer windows.", status=504
    )


def check_ask(priority: int, timeout_s: float | None) -> None:
    """Raises `ConfigError` for options of a request that the queue could not go by."""
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise ConfigError(f"priority is a whole number, the higher the sooner; got {priority!r}.")
    check_seconds("timeout_s", timeout_s)


def describe_form(x: Any) -> tuple[Form, int]:
    """What a request must share with others to be run with them (names, types, shapes of a window), and its windows."""
    if isinstance(x, Mapping):
        return _describe_named(x)
    if not _is_numbers(x) or x.ndim not in (1, 2) or not len(x):
        return None, 1
    return (x.dtype, x.shape[-1]), 1 if x.ndim == 1 else len(x)


def _describe_named(x: Mapping[str, Any]) -> tuple[Form, int]:
    arrays = list(x.values())
    target = x.get("target")
    if not all(_is_numbers(array) and array.ndim for array in arrays) or target is None or target.ndim != 2:
        return None, 1
    if {len(array) for array in arrays} != {len(target)} or not len(target):  # else rows would move to other callers
        return None, 1
    return tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in x.items())), len(target)


def _is_numbers(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiu"


def join_inputs(given: Sequence[Any]) -> Any:
    """The windows of several requests of one form, as one request."""
    if isinstance(given[0], Mapping):
        return {name: np.concatenate([x[name] for x in given]) for name in given[0]}
    return np.concatenate([x if x.ndim == 2 else x[None] for x in given])
