"""`Serving`: a server in this process, from bound socket to the last answer."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import uvicorn
import uvloop

from tidewright.errors import TidewrightError
from tidewright.serving.app import App
from tidewright.serving.board import Board
from tidewright.serving.control import make_control
from tidewright.serving.desk import Desk
from tidewright.serving.listen import BACKLOG
from tidewright.serving.options import PASSWORD, ServeOptions
from tidewright.serving.protocol import Connection
from tidewright.serving.served import Wrap
from tidewright.serving.stock import Stock

SWEEP_S = 0.5  # between two looks at connections that take too long

log = logging.getLogger(__name__)


class Serving:
    """A server over bundles' folders, loaded when it is made. `run` serves until `stop`, or a signal to stop.

    `board` is where several workers tell their numbers; `tell_others` is called when one of them is told to load;
    `wrap` makes of each session the one that answers, such as one that keeps its answers.
    """

    def __init__(
        self,
        places: Sequence[Path],
        options: ServeOptions,
        *,
        board: Board | None = None,
        tell_others: Callable[[], None] | None = None,
        wrap: Wrap | None = None,
    ) -> None:
        self.desk = Desk(options)
        self.desk.board = board
        self.stock = Stock(places, self.desk, wrap=wrap)
        self.stock.load()
        self._tell_others = tell_others
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="tidewright-load")
        app = App(self.desk, make_control(self.desk, self._load_all))
        self._server = _Server(_configure(app, options))
        self.desk.stopping = lambda: self._server.should_exit
        self.desk.connections = lambda: len(self._server.server_state.connections)

    def run(self, bound: socket.socket, *, ready: Callable[[], None] | None = None) -> None:
        """Serves at a bound socket; what is in flight when it is told to stop is answered first."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(bound, ready))

    async def load(self) -> tuple[str, ...]:
        """Looks at the folders again; gives the names of those that can't be opened."""
        return await asyncio.get_running_loop().run_in_executor(self._loader, partial(self.stock.look, again=True))

    async def _load_all(self) -> tuple[str, ...]:
        """The same, for all workers: the others follow in a moment."""
        failed = await self.load()
        if self._tell_others is not None:
            self._tell_others()
        return failed

    async def _serve(self, bound: socket.socket, ready: Callable[[], None] | None) -> None:
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = {asyncio.create_task(one) for one in (self._sweep(), self._watch())}

        def look() -> None:
            tasks.add(task := loop.create_task(self.load()))
            task.add_done_callback(tasks.discard)

        if current_thread() is main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            loop.add_signal_handler(signal.SIGHUP, look)
        if ready is not None:
            loop.call_soon(ready)
        try:
            await self._server.serve(sockets=[bound])
        finally:
            for task in tasks.copy():
                task.cancel()
            self._loader.shutdown(wait=False, cancel_futures=True)
            self.desk.close()

    async def _watch(self) -> None:
        """Looks at the folders once in a while, tells the other workers its numbers, and writes what is to be kept."""
        loop, seconds = asyncio.get_running_loop(), self.desk.options.watch_s
        while True:
            if self.desk.board is not None:
                _try(partial(self.desk.board.post, self.desk.samples()), what="not told")
            await asyncio.sleep(seconds or 1.0)
            if seconds:
                await loop.run_in_executor(self._loader, partial(_try, self.stock.look, what="not looked at"))
            recorder = self.desk.recorder
            if recorder is not None and recorder.due:
                await loop.run_in_executor(self._loader, partial(_try, recorder.flush, what="not recorded"))

    async def _sweep(self) -> None:
        """Ends connections that take too long, and tells the figures of the last seconds that time goes on."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.desk.metrics.turn()
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, Connection):
                    connection.expire(self.desk.options.limits)

    def stop(self) -> None:
        """Tells it to stop. Any thread may."""
        self._server.should_exit = True


def _try(job: Callable[[], object], *, what: str) -> None:
    """One of the jobs that come again and again: where it fails the log says so, for the disk may be there again."""
    try:
        job()
    except (OSError, TidewrightError) as error:
        log.error(what, extra={"fields": {"why": str(error)}})


class _Server(uvicorn.Server):
    """uvicorn's, without its way with signals, which ends the process by the signal that it was sent."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn."""
        yield


def _configure(app: Any, options: ServeOptions) -> uvicorn.Config:
    limits = options.limits
    return uvicorn.Config(
        app,
        http=Connection,
        loop="uvloop",
        ws="none",
        interface="asgi3",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=limits.connections,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(max(1, limits.drain_s)),
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        ssl_keyfile_password=os.environ.get(PASSWORD),
    )
