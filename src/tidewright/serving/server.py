"""`Serving`: a server in this process, from bound socket to the last answer."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import uvicorn
import uvloop

from tidewright.errors import ConfigError
from tidewright.serving.app import App
from tidewright.serving.control import make_control
from tidewright.serving.desk import Desk
from tidewright.serving.options import PASSWORD, ServeOptions
from tidewright.serving.protocol import Connection
from tidewright.serving.stock import Stock

BACKLOG = 2048
SWEEP_S = 0.5  # between two looks at connections that take too long

log = logging.getLogger(__name__)


def bind(options: ServeOptions) -> socket.socket:
    """The socket that the server will listen at. Raises `ConfigError` where the address is taken or none of ours."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"can't listen at {options.host}, port {options.port}: {error.strerror}. Give another --host or --port."
        ) from error
    bound.listen(BACKLOG)
    bound.set_inheritable(True)
    return bound


def address(options: ServeOptions, bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"{options.scheme}://[{host}]:{port}" if ":" in host else f"{options.scheme}://{host}:{port}"


class Serving:
    """A server over bundles' folders, loaded when it is made. `run` serves until `stop`, or a signal to stop."""

    def __init__(self, places: Sequence[Path], options: ServeOptions) -> None:
        self.desk = Desk(options)
        self.stock = Stock(places, self.desk)
        self.stock.load()
        app = App(self.desk, make_control(self.desk))
        self._server = _Server(_configure(app, options))
        self.desk.stopping = lambda: self._server.should_exit
        self.desk.connections = lambda: len(self._server.server_state.connections)

    def run(self, bound: socket.socket) -> None:
        """Serves at a bound socket; what is in flight when it is told to stop is answered first."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(bound))

    async def _serve(self, bound: socket.socket) -> None:
        if current_thread() is main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
        sweep = asyncio.create_task(self._sweep())
        try:
            await self._server.serve(sockets=[bound])
        finally:
            sweep.cancel()
            self.desk.close()

    async def _sweep(self) -> None:
        """Ends connections that take too long."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, Connection):
                    connection.expire(self.desk.options.limits)

    def stop(self) -> None:
        """Tells it to stop. Any thread may."""
        self._server.should_exit = True


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
