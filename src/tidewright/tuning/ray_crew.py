"""Workers that are tasks of a Ray cluster. The process that asked claims and keeps; tasks tell it through one actor.

Every node has Tidewright installed, and sees the study's folder (checkpoints) and the trial ledger where there are any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidewright.errors import BackendError, TidewrightError
from tidewright.optional import require
from tidewright.tuning.crew import Died, Ended, Hearing
from tidewright.tuning.task import Orders, Task, carry_out

LISTEN_S = 0.2  # between two looks at what tasks said


class RayCrew:
    """See `Crew`; `workers` trials at a time (None: one a CPU of the cluster). Raises `BackendError`."""

    def __init__(self, orders: Orders, *, address: str, workers: int | None) -> None:
        self._ray = ray = require("ray", extra="ray", purpose="a search on a Ray cluster")
        self._own = not ray.is_initialized()
        if self._own:
            try:
                ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, ValueError) as error:
                raise BackendError(
                    f"no Ray cluster answers at '{address}': {error}. Start one with: ray start --head"
                ) from error
        self._size = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._orders = ray.put(orders)
        self._mail = ray.remote(num_cpus=0)(Mail).remote()
        self._work = ray.remote(num_cpus=1, max_retries=0)(work_on)
        self._running: dict[Any, Task] = {}

    def begin(self, task: Task) -> None:
        """See `Crew`."""
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
        """See `Crew`."""
        while True:
            done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=LISTEN_S)
            for number, message in self._ray.get(self._mail.take.remote()):
                if isinstance(message, tuple):
                    hear.keep(number, *message)
                else:
                    hear.tell(message)
            if done:
                return self._end(done[0])

    def close(self) -> None:
        """Ends its tasks, and leaves the cluster if it joined it."""
        for one in self._running:
            self._ray.cancel(one, force=True)
        self._running.clear()
        self._ray.kill(self._mail)
        if self._own:
            self._ray.shutdown()

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
    """What tasks have said and nobody has heard yet; an actor."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, Any]] = []

    def put(self, number: int, message: Any) -> None:
        """Keeps what a trial says."""
        self._messages.append((number, message))

    def take(self) -> list[tuple[int, Any]]:
        """All of it, once."""
        messages, self._messages = self._messages, []
        return messages


def work_on(orders: Orders, task: Task, mail: Any) -> Ended:
    """One trial, as a task of Ray's."""
    ray = require("ray", extra="ray", purpose="a search on a Ray cluster")
    number = task.trial.number

    def say(message: Any) -> None:
        ray.get(mail.put.remote(number, message))  # in order, and there before the trial ends

    keep: Callable[[int, float], None] = lambda step, value: say((step, value))  # noqa: E731
    return Ended(*carry_out(orders, task, keep=keep, tell=say))
