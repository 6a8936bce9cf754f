"""`Desk`: what a running server holds: its models, its counts, and the threads for answers that take long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from math import ceil
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, TypeVar

from polars.exceptions import PanicException

from tidewright.data.forecast import Forecast
from tidewright.errors import RequestError
from tidewright.inference.metrics_text import Sample, sample_session
from tidewright.registry.record import Kind
from tidewright.serving.board import Board
from tidewright.serving.copies import Copies
from tidewright.serving.metrics import Metrics
from tidewright.serving.options import ServeOptions
from tidewright.serving.recorder import Recorder
from tidewright.serving.roster import Roster, make_roster
from tidewright.serving.served import INLINE_BYTES, Served
from tidewright.serving.shadow import Shadow
from tidewright.serving.tensors import Asked

T = TypeVar("T")


class Desk:
    """Holds the roster, which is replaced as a whole: a request that has begun keeps the version that it began with."""

    def __init__(self, options: ServeOptions) -> None:
        self.options, self.metrics = options, Metrics()
        self.roster: Roster = make_roster(())
        self.stopping: Callable[[], bool] = lambda: False
        self.connections: Callable[[], int] = lambda: 0
        self.board: Board | None = None
        self.copies = Copies("tidewright-shadow")
        self.recorder: Recorder | None = None
        if options.record is not None:
            self.recorder = Recorder(Path(options.record), most_bytes=options.record_bytes)
        self._waiting, self._lock, self._mean_s = 0, Lock(), 0.1
        self._pool = ThreadPoolExecutor(options.limits.runs, thread_name_prefix="tidewright-run")

    @property
    def ready(self) -> bool:
        """Whether it answers: something is loaded, and it does not stop."""
        return bool(self.roster.models) and not self.stopping()

    async def infer(self, served: Served, read: Callable[[], Asked], *, size: int) -> tuple[bytes, int | None, int]:
        """The answer to what `read` gives, a body of `size` bytes: at once where it is quick, in a run that it may
        share, or by a thread. Raises `RequestError` and `DataError`.
        """
        if size <= served.inline:
            return served.answer(read())
        if served.queues and size <= INLINE_BYTES:
            return await served.ask(read(), timeout_s=self.options.limits.run_s)
        return await self.run(lambda: served.answer(read()))

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` gives, made by a thread. Raises `RequestError`: 429 where the queue is full, 504 where it takes
        longer than it may; such a call keeps its place in the queue until it ends.
        """
        limits = self.options.limits
        if self._waiting >= limits.queue:
            after = ceil(self._waiting * self._mean_s / limits.runs)
            raise RequestError(
                f"{self._waiting} requests wait already. Try again in {max(after, 1)} s.",
                status=429,
                retry_after_s=min(max(after, 1), 60),
            )
        future = self._submit(call)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), limits.run_s)
        except TimeoutError as error:
            raise RequestError(
                f"the answer took longer than {limits.run_s:g} s. Send fewer rows at a time.", status=504
            ) from error

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        with self._lock:
            self._waiting += 1
        future = self._pool.submit(self._time, call)
        future.add_done_callback(self._end)
        return future

    def _time(self, call: Callable[[], T]) -> T:
        started = perf_counter()
        try:
            return call()
        except PanicException as error:  # no Exception, so that nothing else would catch it
            raise RuntimeError("polars panicked") from error
        finally:
            self._mean_s += 0.1 * (perf_counter() - started - self._mean_s)

    def _end(self, _: Future[Any]) -> None:
        with self._lock:
            self._waiting -= 1

    def all_samples(self) -> Iterable[Sample]:
        """Every number that is counted here, and by the other workers where there are."""
        return self.samples() if self.board is None else self.board.gather(self.samples())

    def samples(self) -> Iterable[Sample]:
        """Every number that is counted here."""
        yield from self.metrics.samples()
        yield Sample("tidewright_waiting", {}, self._waiting)
        yield Sample("tidewright_connections", {}, self.connections())
        for one in (*self.roster.all, *self.roster.hidden):
            yield Sample("tidewright_model_info", {**one.labels, "digest": one.bundle.digest[:12]}, 1)
            yield from sample_session(one.session, one.labels)
        for lineup in self.roster.lineups.values():
            for one, percent in () if lineup.split is None else lineup.split.arms:
                yield Sample("tidewright_split_percent", one.labels, percent)
        if self.recorder is not None:
            yield from self.recorder.samples()

    def make_shadow(self, champion: Served, rival: Served) -> Shadow:
        """A version as the shadow of another; its figures go on where it was that before."""
        tally = self.metrics.shadow_tally(rival.name, champion=champion.version, version=rival.version)
        return Shadow(champion, rival, copies=self.copies, tally=tally, record=partial(self.keep, kind="shadow"))

    def keep(self, served: Served, forecast: Forecast, *, kind: Kind = "answer") -> None:
        """Keeps what a version of a store's model said, where that is asked for."""
        if self.recorder is not None and served.name in self.roster.lineups:
            self.recorder.take(forecast.table, name=served.name, version=served.version, kind=kind)

    def close(self) -> None:
        """Lets the threads go, and writes what is to be kept; what runs is not waited for."""
        self.copies.close()
        if self.recorder is not None:
            self.recorder.flush()
        self._pool.shutdown(wait=False, cancel_futures=True)
