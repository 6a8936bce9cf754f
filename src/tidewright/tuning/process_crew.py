"""Workers that are processes of this machine: started as they are needed, kept for trial after trial.

This process alone claims and keeps; a worker is handed a trial through its own pipe and says there what came of it. A
pipe has no lock that a killed worker could leave behind.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from typing import Any

from tidewright.errors import ConfigError, FitError, TidewrightError
from tidewright.runtime import environment
from tidewright.tuning.crew import Died, Ended, Hearing, end_late
from tidewright.tuning.repeats import originals
from tidewright.tuning.task import Orders, Task, carry_out
from tidewright.tuning.trial import Trial, best_trial

UNPICKLED = (pickle.PicklingError, TypeError, AttributeError, RuntimeError)  # the last: torch, of normed weights
THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA", "RAYON")  # each with _NUM_THREADS
GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(eq=False)
class _Worker:
    process: Any
    line: Connection
    place: int
    task: Task | None = None
    done: int = 0


class ProcessCrew:
    """See `Crew`; `workers` trials at a time. Raises `ConfigError` for an objective that can't be sent."""

    def __init__(self, orders: Orders, *, workers: int) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ConfigError(f"workers is a number of processes, 1 or more; got {workers!r}.")
        try:
            self._orders = pickle.dumps(orders)
        except UNPICKLED as error:
            raise ConfigError(
                f"the objective can't be sent to another process: {error}. Define what it is made of at the top of a "
                "module (no lambda, no function inside a function), or leave out workers."
            ) from error
        self._clock, self._size, self._prepare = orders.clock, workers, orders.prepare
        self._workers: list[_Worker] = []

    def begin(self, task: Task) -> None:
        """See `Crew`."""
        worker = next((one for one in self._workers if one.task is None), None) or self._hire()
        worker.task = task
        try:
            worker.line.send(task)
        except OSError:  # it is gone, and the next wait says so
            return

    @property
    def free(self) -> bool:
        """See `Crew`."""
        return sum(one.task is not None for one in self._workers) < self._size

    @property
    def busy(self) -> bool:
        """See `Crew`."""
        return any(one.task is not None for one in self._workers)

    def wait(self, hear: Hearing) -> Ended | Died:
        """See `Crew`. A trial that is still running when its task's `last` moment comes is ended with its process."""
        if self._prepare:  # while the first trials run, and not when one of them has ended
            self._prepare()
            self._prepare = None
        while True:
            busy = [one for one in self._workers if one.task is not None]
            lasts = [one.task.last for one in busy if one.task is not None and one.task.last is not None]
            timeout = max(0.0, min(lasts) - self._clock()) if lasts else None
            ready = wait([*(one.line for one in busy), *(one.process.sentinel for one in busy)], timeout)
            for worker in busy:
                over = self._listen(worker, ready, hear)
                if over is not None:
                    return over

    def close(self) -> None:
        """Leaves no process behind."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.line.close()
        self._workers.clear()

    def _listen(self, worker: _Worker, ready: list[Any], hear: Hearing) -> Ended | Died | None:
        task = worker.task
        assert task is not None, "it is busy"
        if worker.line not in ready and worker.process.sentinel not in ready:
            return self._end_late(worker, task)
        try:
            message = worker.line.recv()
        except (EOFError, OSError):
            return self._bury(worker, task)
        if isinstance(message, TidewrightError):
            raise message
        if isinstance(message, Ended):
            worker.task, worker.done = None, worker.done + 1
            return message
        if isinstance(message, tuple):
            hear.keep(task.trial.number, *message)
        else:
            hear.tell(message)
        return None

    def _end_late(self, worker: _Worker, task: Task) -> Ended | None:
        if task.last is None or self._clock() < task.last:
            return None
        self._dismiss(worker)
        return end_late(task)

    def _bury(self, worker: _Worker, task: Task) -> Died:
        worker.process.join()
        code = worker.process.exitcode
        self._dismiss(worker)
        if code > 0 and not worker.done:
            raise FitError(
                f"a worker ended with exit code {code} in its first trial; its own words are on stderr. A script must "
                "make its call under if __name__ == '__main__'."
            )
        return Died(task.trial.number)

    def _dismiss(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.line.close()
        self._workers.remove(worker)

    def _hire(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        place = min(set(range(self._size)) - {one.place for one in self._workers})
        process = context.Process(target=serve, args=(self._orders, theirs), name=f"tidewright-{place}", daemon=False)
        with environment(share_of(self._size, place)), _uninterrupted():
            process.start()
        theirs.close()  # or its end would not be heard
        worker = _Worker(process, ours, place)
        self._workers.append(worker)
        return worker


def share_of(workers: int, place: int) -> dict[str, str]:
    """What a worker of several is told: its share of the processor's threads, and a GPU where there are several."""
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    found = {f"{name}_NUM_THREADS": str(threads) for name in THREADS}
    found["POLARS_MAX_THREADS"] = str(threads)
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = [str(number) for number in range(len(list(GPUS.iterdir())))] if GPUS.is_dir() else []
    gpus = there if given is None else [name for name in given.split(",") if name.strip()]
    return found if len(gpus) < 2 else {**found, "CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]}


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """What is started in it never hears an interrupt, also before it can say so itself."""
    ensure_running()  # else it is started in here, and lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(orders: bytes, line: Connection) -> None:
    """What a worker does, as long as the process that started it lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the one who started it, who ends this one
    parent = parent_process()
    assert parent is not None, "a worker is started"
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    known: Orders = pickle.loads(orders)  # noqa: S301  (from the process that started this one)
    while True:
        task: Task = line.recv()
        try:
            trial, learned = carry_out(known, task, keep=lambda step, value: line.send((step, value)), tell=line.send)
        except TidewrightError as error:  # a package that is missing: no trial's fault
            line.send(error)
            continue
        line.send_bytes(_pack(trial, learned if _is_best(trial, task) else None))


def _is_best(trial: Trial, task: Task) -> bool:
    """Whether it may be the study's best, so that what it learned is worth sending."""
    best = best_trial(originals(task.others))
    return trial.value is not None and (best is None or best.value is None or trial.value <= best.value)


def _pack(trial: Trial, learned: Any) -> bytes:
    try:
        return pickle.dumps(Ended(trial, learned))
    except UNPICKLED:  # then the model is learned again from its checkpoint
        return pickle.dumps(Ended(trial, None))


def _end_with(parent: int) -> None:
    wait([parent])
    os._exit(1)
