"""`Crew`: who carries out the trials of a search, one at a time in this process or several elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tidewright.training.events import Event
from tidewright.tuning.task import Orders, Task, carry_out
from tidewright.tuning.trial import Trial, TrialState

if TYPE_CHECKING:
    from tidewright.tuning.process_crew import ProcessCrew
    from tidewright.tuning.ray_crew import RayCrew


@dataclass(frozen=True, eq=False, slots=True)
class Ended:
    """A trial is over, and what it learned; `learned` is None also where only the worker has it."""

    trial: Trial
    learned: Any


@dataclass(frozen=True, slots=True)
class Died:
    """The worker of a trial is gone."""

    number: int


@dataclass(frozen=True, eq=False, slots=True)
class Hearing:
    """What is done with what a trial says while it runs: `keep(number, step, value)` and `tell(event)`."""

    keep: Callable[[int, int, float], None]
    tell: Callable[[Event], None]


class Crew(Protocol):
    """Carries out trials."""

    def begin(self, task: Task) -> None:
        """Takes a trial on; only where one is `free`."""
        ...

    @property
    def free(self) -> bool:
        """Whether another trial can be begun."""
        ...

    @property
    def busy(self) -> bool:
        """Whether a trial is running."""
        ...

    def wait(self, hear: Hearing) -> Ended | Died:
        """Waits for the end of one of its trials."""
        ...


def end_late(task: Task) -> Ended:
    """A trial that was still running when its task's `last` moment came."""
    error = "it was still running 3 % after the end of the budget, and was ended"
    number, point = task.trial.number, task.trial.parameters
    state = TrialState.PRUNED if task.least_s else TrialState.FAILED  # it was heeding the deadline, or was not
    return Ended(Trial(number, state, parameters=point, error=error), None)


@contextmanager
def hire(orders: Orders, *, workers: int | None, ray: str | None) -> Iterator[Crew]:
    """The crew that is asked for; none of it is left afterwards."""
    if ray is None and workers in (None, 1):
        yield Alone(orders)
        return
    crew: ProcessCrew | RayCrew
    if ray is not None:
        from tidewright.tuning.ray_crew import RayCrew

        crew = RayCrew(orders, address=ray, workers=workers)
    else:
        from tidewright.tuning.process_crew import ProcessCrew

        crew = ProcessCrew(orders, workers=1 if workers is None else workers)
    try:
        yield crew
    finally:
        crew.close()


class Alone:
    """This process, one trial at a time."""

    def __init__(self, orders: Orders) -> None:
        self._orders, self._task = orders, list[Task]()

    def begin(self, task: Task) -> None:
        """See `Crew`."""
        self._task.append(task)

    @property
    def free(self) -> bool:
        """See `Crew`."""
        return not self._task

    @property
    def busy(self) -> bool:
        """See `Crew`."""
        return bool(self._task)

    def wait(self, hear: Hearing) -> Ended | Died:
        """See `Crew`."""
        task = self._task.pop()
        number = task.trial.number

        def keep(step: int, value: float) -> None:
            hear.keep(number, step, value)

        return Ended(*carry_out(self._orders, task, keep=keep, tell=hear.tell))
