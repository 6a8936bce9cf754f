"""`batching`: a session whose callers share its runs. Whoever finds it idle runs at once, on its own thread; those who
come meanwhile queue, and what has queued is the next run. Nobody ever waits for others to come.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Lock
from typing import Any, NamedTuple, Self

import numpy.typing as npt

from tidewright.checks import check_call, check_seconds, check_whole
from tidewright.errors import RequestError
from tidewright.inference.items import check_session, is_items, join_items, predict_stream
from tidewright.inference.latency import PENDING, Latency
from tidewright.inference.queued import CLOSED, Ask, Queue, check_ask, describe_form, join_inputs, settle
from tidewright.inference.session import Prediction, Session
from tidewright.models.fitted import Fitted


class BatchCounts(NamedTuple):
    """Answers that ran at once, and that queued; runs of the queue, the most windows of one, and the windows of all;
    requests refused for a full queue, late ones, and those cancelled in the queue; runs that failed and were made again
    for each caller alone; and who waits now.
    """

    at_once: int
    queued: int
    runs: int
    largest: int
    rows: int
    refused: int
    expired: int
    cancelled: int
    parted: int
    waiting: int


def batching(
    session: Session,
    *,
    rows: int = 64,
    queue: int = 256,
    runs: int = 1,
    timeout_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> BatchingSession:
    """The session for concurrent callers: at most `rows` windows a run (a larger request runs alone), at most `runs` at
    a time, at most `queue` requests that wait. `timeout_s` is for requests that name none. Raises `ConfigError`.
    """
    for name, value in (("rows", rows), ("queue", queue), ("runs", runs)):
        check_whole(name, value)
    check_seconds("timeout_s", timeout_s)
    check_call("clock", clock)
    check_session(session)
    waiting = Queue(most=queue, rows=rows, clock=clock)
    return BatchingSession(session, queue=waiting, runs=runs, timeout_s=timeout_s)


class BatchingSession:
    """See `batching` and `Session`. `forecast`, which is a batch itself, does not queue. `latency()` is of runs, and
    `stages()["queue"]` of the queue. Close it, or use it in a `with`, to let its threads go.
    """

    def __init__(self, session: Session, *, queue: Queue, runs: int, timeout_s: float | None) -> None:
        self.session = session
        self.backend, self.choice, self.model = session.backend, session.choice, session.model
        self.digest, self.task, self.inputs = session.digest, session.task, session.inputs
        self.settings, self.read = session.settings, session.read
        self.forecast, self.latency = session.forecast, session.latency
        self._queue, self._timeout_s = queue, timeout_s
        self._tokens = deque([None] * runs)  # who takes one may run; taking and giving back are one step each
        self._pool = ThreadPoolExecutor(runs, thread_name_prefix="tidewright-batch")
        self._lock, self._waits, self._closed = Lock(), Latency(), False
        self._at_once, self._looks = count(), 0  # counting is one step, without a lock
        self._runs = self._largest = self._rows = self._parted = 0

    @property
    def fitted(self) -> Fitted:
        """See `Session.fitted`."""
        return self.session.fitted

    def predict(
        self,
        x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
        /,
        *,
        priority: int = 0,
        timeout_s: float | None = None,
    ) -> Prediction:
        """See `Session.predict`. Of those that wait, higher priorities run first. Raises `RequestError`: 429 where the
        queue is full, 504 where `timeout_s` passed before the answer, 503 where the session is closed.
        """
        if priority or timeout_s is not None:
            check_ask(priority, timeout_s)
        if self._tokens and not self._closed and self._claim():
            try:
                return self.session.predict(x)
            finally:
                next(self._at_once)
                self._go_on()
        return self._wait(self._submit(x, priority=priority, timeout_s=timeout_s))

    async def ask(
        self,
        x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
        /,
        *,
        priority: int = 0,
        timeout_s: float | None = None,
    ) -> Prediction:
        """The same, awaited: it runs on a thread of the session's own. Who is cancelled leaves the queue."""
        ask = self._submit(x, priority=priority, timeout_s=timeout_s, loop=asyncio.get_running_loop())
        rest = None if math.isinf(ask.deadline) else max(ask.deadline - self._queue.clock(), 0.0)
        try:
            answer: Prediction = await (ask.future if rest is None else asyncio.wait_for(ask.future, rest))
        except TimeoutError as error:
            if not ask.future.done() or ask.future.cancelled():
                raise self._queue.expire(ask) from error
            answer = ask.future.result()  # the model's own error, or an answer just in time
        return answer

    def predict_stream(self, items: Iterable[Any], /, *, batch_size: int = 64) -> Iterator[Prediction]:
        """See `Session.predict_stream`."""
        return predict_stream(self, items, batch_size=batch_size)

    def stages(self) -> dict[str, dict[str, float]]:
        """See `Session.stages`; the queue's times are of those that queued."""
        return {"queue": self._waits.summary(), **self.session.stages()}

    def reset_latency(self) -> None:
        """See `Session.reset_latency`; of the queue too."""
        self.session.reset_latency()
        self._waits.reset()

    def counts(self) -> BatchCounts:
        """What it did so far."""
        queue = self._queue
        with self._lock:
            at_once = next(self._at_once) - self._looks
            self._looks += 1
            own = at_once, queue.taken, self._runs, self._largest, self._rows
            return BatchCounts(*own, queue.refused, queue.expired, queue.cancelled, self._parted, len(queue))

    def close(self) -> None:
        """Refuses what waits and what comes, lets what runs end, and lets the threads go."""
        self._closed = True
        settle((ask, RequestError(CLOSED, status=503)) for ask in self._queue.close())
        self._pool.shutdown(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(
        self, x: Any, *, priority: int, timeout_s: float | None, loop: asyncio.AbstractEventLoop | None = None
    ) -> Ask:
        """Puts a request into the queue, and starts a run if it is idle after all."""
        check_ask(priority, timeout_s)
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        x = join_items(x) if is_items(x) else x
        form, size = describe_form(x)
        ask = Ask(x, form, size, math.inf if wait_s is None else self._queue.clock() + wait_s, loop)
        self._queue.put(ask, priority=priority)
        if self._claim():
            self._go_on()
        return ask

    def _wait(self, ask: Ask) -> Prediction:
        rest = None if math.isinf(ask.deadline) else max(ask.deadline - self._queue.clock(), 0.0)
        try:
            answer: Prediction = ask.future.result(rest)
        except TimeoutError as error:
            if not ask.future.done():
                raise self._queue.expire(ask) from error
            answer = ask.future.result()  # the model's own error, or an answer just in time
        return answer

    def _claim(self) -> bool:
        """Takes the right to run, if it is there."""
        try:
            self._tokens.pop()
        except IndexError:
            return False
        return True

    def _go_on(self) -> None:
        """Starts the next run, or gives the right to run back. Who queues looks for the right after it has queued, and
        who gives it back looks at the queue afterwards: nobody is left behind.
        """
        while True:
            batch = self._queue.take() if len(self._queue) else []
            if batch:
                self._start(batch)
                return
            self._tokens.append(None)
            if not len(self._queue) or not self._claim():
                return

    def _start(self, batch: list[Ask]) -> None:
        now, pending = time.perf_counter_ns(), self._waits.pending
        pending.extend([now - ask.came for ask in batch])
        if len(pending) > PENDING:
            self._waits.count()
        with self._lock:
            size = sum(ask.size for ask in batch)
            self._runs += 1
            self._rows += size
            self._largest = max(self._largest, size)
        if not self._send(batch, self._end):
            self._tokens.append(None)

    def _send(self, batch: list[Ask], end: Callable[[list[Ask], Future[list[Prediction]]], None]) -> bool:
        """Has a run made by a thread, which catches what the model raises, and then calls `end`."""
        try:
            done = self._pool.submit(self._run, batch)
        except RuntimeError:  # closed, or the interpreter ends
            settle((ask, RequestError(CLOSED, status=503)) for ask in batch)
            return False
        done.add_done_callback(partial(end, batch))
        return True

    def _run(self, batch: list[Ask]) -> list[Prediction]:
        """One run of the session, and each request's own rows of it."""
        if len(batch) == 1:
            answers = [self.session.predict(batch[0].x)]
        else:
            whole, answers, start = self.session.predict(join_inputs([ask.x for ask in batch])), [], 0
            for ask in batch:
                answers.append(whole._replace(quantiles=whole.quantiles[start : start + ask.size].copy()))
                start += ask.size
        now = time.perf_counter_ns()
        return [answer._replace(latency_ms=(now - ask.came) / 1e6) for ask, answer in zip(batch, answers, strict=True)]

    def _end(self, batch: list[Ask], done: Future[list[Prediction]]) -> None:
        """Answers a run's requests. Where a run of several failed each is run alone: a bad window fails its caller."""
        if len(batch) > 1 and done.exception() is not None:
            with self._lock:
                self._parted += 1
            for ask in batch:
                self._send([ask], self._answer)
        else:
            self._answer(batch, done)
        self._go_on()

    def _answer(self, batch: list[Ask], done: Future[list[Prediction]]) -> None:
        error = done.exception()
        settle(zip(batch, done.result() if error is None else [error], strict=True))

    def __repr__(self) -> str:
        return f"BatchingSession({self.session!r}, {len(self._queue)} wait)"
