"""One of several workers, as a process: `python -m tidewright.serving.worker`, with its order on stdin."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from tidewright.errors import RepairWarning, TidewrightError
from tidewright.serving.board import Board
from tidewright.serving.hear import SIGNALS
from tidewright.serving.logs import log_to_stderr
from tidewright.serving.options import Limits, ServeOptions, read_keys
from tidewright.serving.server import Serving


def main() -> int:
    """Serves until SIGTERM, or until the supervisor is gone. Gives the exit code."""
    told = sys.stdin.readline()
    if not told:  # the supervisor ended before it said anything
        return 0
    order = json.loads(told)
    log_to_stderr(worker=order["number"])
    warnings.filterwarnings("ignore", category=RepairWarning)  # told in each answer
    if order["core"] is not None:
        os.sched_setaffinity(0, {order["core"]})
    try:
        serving = _make(order)
    except TidewrightError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1

    def ready() -> None:
        with suppress(BrokenPipeError):  # the supervisor is gone: its end of stdin says so below
            os.write(sys.stdout.fileno(), b"ready\n")
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), orphaned)  # readable when the supervisor ends
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def orphaned() -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        serving.stop()

    serving.run(socket.socket(fileno=order["fd"]), ready=ready)
    return 0


def _make(order: dict[str, Any]) -> Serving:
    given = order["options"]
    given |= {name: tuple(given[name]) for name in ("hosts", "shadow", "split")}
    options = ServeOptions(**{**given, "limits": Limits(**given["limits"])}, keys=read_keys(os.environ))
    places = [Path(place) for place in order["places"]]
    parent = os.getppid()
    board = Board(Path(order["board"]), order["number"])

    def tell_others() -> None:
        with suppress(ProcessLookupError):  # the supervisor is gone, and this worker is about to end too
            os.kill(parent, signal.SIGHUP)

    return Serving(places, options, board=board, tell_others=tell_others)


if __name__ == "__main__":
    sys.exit(main())
