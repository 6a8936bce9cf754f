"""Workers that are tasks of a Ray cluster. The process that asked claims and keeps; tasks tell it through one actor.

Clocks of two machines have nothing in common, so a task asks the actor how much time it has left.
Every node has Tidewright installed, and sees the study's folder (checkpoints) and the trial ledger where there are any.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tidewright.errors import BackendError, TidewrightError
from tidewright.optional import require
from tidewright.tuning.crew import Died, Ended, Hearing, end_late
from tidewright.tuning.process_crew import UNPICKLED
from tidewright.tuning.task import Orders, Task, carry_out

KNOCK_S = 5.0
LISTEN_S = 0.2  # between two looks at what tasks said


class RayCrew:
    """See `Crew`; `workers` trials at a time (None: one a CPU of the cluster). Raises `BackendError`."""

    def __init__(self, orders: Orders, *, address: str, workers: int | None) -> None:
        self._ray = ray = require("ray", extra="ray", purpose="a search on a Ray cluster")
        self._own = not ray.is_initialized()
        if self._own:
            try:
                knock(address)
                ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            except (OSError, ValueError) as error:
                raise BackendError(
                    f"no Ray cluster answers at '{address}': {error}. Start one with: ray start --head"
                ) from error
        self._size, gpus = share_cluster(ray.cluster_resources(), workers=workers, gpu=orders.gpu)
        self._orders, self._clock, self._prepare = ray.put(orders), orders.clock, orders.prepare
        self._mail = ray.remote(num_cpus=0)(Mail).remote()
        self._work = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(work_on)
        self._running: dict[Any, Task] = {}

    def begin(self, task: Task) -> None:
        """See `Crew`."""
        if task.deadline is not None:
            left = task.deadline - self._clock()
            self._ray.get(self._mail.give_time.remote(task.trial.number, left))
        self._running[self._work.remote(self._orders, task, self._mail)] = task

    @property
    def free(self) -> bool:
        """See `Crew`."""
        return len(self._running) < self._size

    @property
    def busy(self) -> bool:
        """See `Crew`."""
        return bool(self._running)

    def wait(self, hear: Hearing) -> Ended | Died:
        """See `Crew`. A trial that is still running when its task's `last` moment comes is ended."""
        if self._prepare:
            self._prepare()
            self._prepare = None
        while True:
            done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=LISTEN_S)
            for number, message in self._ray.get(self._mail.take.remote()):
                if isinstance(message, tuple):
                    hear.keep(number, *message)
                else:
                    hear.tell(message)
            if done:
                return self._end(done[0])
            if (late := self._find_late()) is not None:
                self._ray.cancel(late, force=True)
                return end_late(self._running.pop(late))

    def close(self) -> None:
        """Ends its tasks, and leaves the cluster if it joined it."""
        for one in self._running:
            self._ray.cancel(one, force=True)
        self._running.clear()
        self._ray.kill(self._mail)
        if self._own:
            self._ray.shutdown()

    def _find_late(self) -> Any | None:
        now = self._clock()
        lasts = ((one, task.last) for one, task in self._running.items())
        return next((one for one, last in lasts if last is not None and now >= last), None)

    def _end(self, one: Any) -> Ended | Died:
        task = self._running.pop(one)
        try:
            ended: Ended = self._ray.get(one)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TidewrightError):
                raise error.cause from error
            raise
        except self._ray.exceptions.RayError:  # its process or its machine is gone
            return Died(task.trial.number)
        return ended


class Mail:
    """What tasks have said and nobody has heard yet, and how long each may learn; an actor."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, Any]] = []
        self._until: dict[int, float] = {}

    def put(self, number: int, message: Any) -> None:
        """Keeps what a trial says."""
        self._messages.append((number, message))

    def take(self) -> list[tuple[int, Any]]:
        """All of it, once."""
        messages, self._messages = self._messages, []
        return messages

    def give_time(self, number: int, seconds: float) -> None:
        """From now on a trial has so many seconds."""
        self._until[number] = time.monotonic() + seconds

    def time_left(self, number: int) -> float | None:
        """The seconds that are left to a trial; None where nobody gave it any."""
        return self._until[number] - time.monotonic() if number in self._until else None


def knock(address: str) -> None:
    """Raises `OSError` where nobody listens at an address of a host: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def share_cluster(resources: Mapping[str, float], *, workers: int | None, gpu: bool) -> tuple[int, float]:
    """How many trials run at a time and the share of a GPU that each has: one each where nothing was asked for.

    >>> share_cluster({"CPU": 16.0, "GPU": 4.0}, workers=None, gpu=True)
    (4, 1.0)
    >>> share_cluster({"CPU": 16.0, "GPU": 3.0}, workers=8, gpu=True)
    (8, 0.3333)
    >>> share_cluster({"CPU": 16.0, "GPU": 4.0}, workers=None, gpu=False)
    (16, 0.0)
    """
    gpus = int(resources.get("GPU", 0.0)) if gpu else 0
    size = workers or gpus or max(1, int(resources.get("CPU", 1.0)))
    return size, (math.floor(1e4 / math.ceil(size / gpus)) / 1e4 if gpus else 0.0)  # no trial is split over two


def work_on(orders: Orders, task: Task, mail: Any) -> Ended:
    """One trial, as a task of Ray's."""
    ray = require("ray", extra="ray", purpose="a search on a Ray cluster")
    number = task.trial.number
    left = ray.get(mail.time_left.remote(number))
    task = replace(task, deadline=None if left is None else orders.clock() + left, last=None)

    def say(message: Any) -> None:
        ray.get(mail.put.remote(number, message))  # in order, and there before the trial ends

    keep: Callable[[int, float], None] = lambda step, value: say((step, value))  # noqa: E731
    trial, learned = carry_out(orders, task, keep=keep, tell=say)
    try:
        ray.cloudpickle.dumps(learned)
    except UNPICKLED:  # then the model is learned again from its checkpoint
        return Ended(trial, None)
    return Ended(trial, learned)
