"""Several workers behind one socket: started, watched, started again when they die, and stopped together.

Each worker is a process of its own (never a fork), with one session a model, on one core. All accept from the same
socket, so that connections that wait when a worker dies are taken by another; only what it had in flight is lost.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from tidewright.errors import BackendError
from tidewright.serving.hear import Heard, hearing, held_back
from tidewright.serving.options import KEYS, ServeOptions

LOOK_S = 0.5
SLOWEST_S = 30.0  # between a death and the next start
QUICK_S = 5.0  # who dies sooner after its start is started again later and later

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Worker:
    """A place for a worker: its process, when it was started, and how often it died soon after."""

    number: int
    process: subprocess.Popen[str]
    started: float
    deaths: int = 0
    due: float = 0.0  # when it is started again; 0: it runs


def supervise(places: Sequence[Path], options: ServeOptions, bound: socket.socket, *, tell: Callable[[], None]) -> None:
    """Runs the workers until SIGTERM or SIGINT; SIGHUP makes each look at the folders again. `tell` is called when
    all of them answer. Raises `BackendError` where one can't be started.
    """
    with hearing() as heard, tempfile.TemporaryDirectory(prefix="tidewright-serve-") as folder:
        order = {"places": [str(place) for place in places], "fd": bound.fileno(), "board": folder}
        plain = asdict(options)
        del plain["keys"]  # in the environment alone

        def start(number: int) -> subprocess.Popen[str]:
            told = {**order, "options": plain, "number": number, "core": _core(number, options.workers)}
            return _start(told, options)

        workers = [Worker(number, start(number), monotonic()) for number in range(options.workers)]
        try:
            if all(_await_ready(worker, heard) for worker in workers):
                tell()
                _watch(workers, start, heard)
        finally:
            bound.close()
            _stop(workers, options.limits.drain_s)


def _start(order: dict[str, Any], options: ServeOptions) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if options.keys:
        environment[KEYS] = ",".join(options.keys)
    with held_back():
        process = subprocess.Popen(
            [sys.executable, "-m", "tidewright.serving.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(order["fd"],),
            env=environment,
            text=True,
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()  # and stays open: its end is what tells a worker that this process is gone
    log.info("worker started", extra={"fields": {"worker": order["number"], "pid": process.pid}})
    return process


def _core(number: int, workers: int) -> int | None:
    """The core of a worker's own; None where there are fewer cores than workers."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return cores[number] if workers <= len(cores) else None


def _await_ready(worker: Worker, heard: Heard) -> bool:
    """Whether a worker answers; False where this process is told to stop first."""
    assert worker.process.stdout is not None
    while not heard.stop:
        if heard.wait(worker.process.stdout):
            if worker.process.stdout.readline():
                return True
            raise BackendError(f"worker {worker.number} could not start. The lines above say why.")
    return False


def _watch(workers: Sequence[Worker], start: Callable[[int], subprocess.Popen[str]], heard: Heard) -> None:
    """Until a signal to stop."""
    while not heard.stop:
        look_again = heard.take(signal.SIGHUP)
        for worker in workers:
            if look_again:
                worker.process.send_signal(signal.SIGHUP)
            _look_after(worker, start)
        heard.wait(timeout_s=LOOK_S)


def _look_after(worker: Worker, start: Callable[[int], subprocess.Popen[str]]) -> None:
    """A worker that died is started again, at once the first time."""
    code, now = worker.process.poll(), monotonic()
    if code is not None and not worker.due:
        _close(worker)
        worker.deaths = worker.deaths + 1 if now - worker.started < QUICK_S else 0
        worker.due = now + (min(2.0 ** (worker.deaths - 1), SLOWEST_S) if worker.deaths else 0.0)
        log.error("worker died", extra={"fields": {"worker": worker.number, "code": code}})
    if worker.due and now >= worker.due:
        worker.process, worker.started, worker.due = start(worker.number), now, 0.0


def _stop(workers: Sequence[Worker], drain_s: float) -> None:
    """Tells all to stop, and waits for what they have in flight; who does not end is killed."""
    end = monotonic() + drain_s + 5.0
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    for worker in workers:
        try:
            worker.process.wait(max(0.1, end - monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        _close(worker)


def _close(worker: Worker) -> None:
    for pipe in (worker.process.stdin, worker.process.stdout):
        if pipe is not None:
            pipe.close()
