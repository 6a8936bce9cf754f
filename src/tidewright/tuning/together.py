"""Trials of one form that are made in one step: many points at once, pruned inside the batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from tidewright.errors import FitError
from tidewright.tuning.attempt import attempt
from tidewright.tuning.crew import Died, Ended, Hearing
from tidewright.tuning.objective import Assignment, Objective, Outcome
from tidewright.tuning.task import Orders, Reporter, Task
from tidewright.tuning.trial import TrialState

Result = Outcome | Exception  # `Pruned` of a trial that was given up


class Together(Protocol):
    """An objective that can make many trials in one step, or one alone."""

    def __call__(self, assignment: Assignment) -> Outcome:
        """See `Objective`."""
        ...

    def form(self, point: Mapping[str, Any]) -> Hashable:
        """Trials whose points have one form can be made in one step."""
        ...

    def make(self, assignments: Sequence[Assignment], *, hopeless: Callable[[int], str]) -> Sequence[Result]:
        """What came of each, in order. `hopeless` says after each round of reports why one of them (by its place) is
        not worth going on with."""
        ...


class Batch:
    """This process, `size` trials at a time: those of one form in one step, and pruned by what all of them report.

    A trial's seconds are those of its step. A trial whose worker died begins anew.
    """

    def __init__(self, objective: Together, orders: Orders, *, size: int) -> None:
        self._objective, self._orders, self._size = objective, orders, size
        self._tasks: list[Task] = []
        self._ended: list[Ended] = []

    def begin(self, task: Task) -> None:
        """See `Crew`."""
        self._tasks.append(task)

    @property
    def free(self) -> bool:
        """See `Crew`."""
        return len(self._tasks) < self._size and not self._ended

    @property
    def busy(self) -> bool:
        """See `Crew`."""
        return bool(self._tasks or self._ended)

    def wait(self, hear: Hearing) -> Ended | Died:
        """See `Crew`."""
        if not self._ended:
            groups: dict[Hashable, list[Task]] = {}
            for task in self._tasks:
                groups.setdefault(self._objective.form(task.trial.parameters), []).append(task)
            self._tasks = []
            self._ended = [ended for group in groups.values() for ended in self._make(group, hear)]
        return self._ended.pop(0)

    def _make(self, tasks: Sequence[Task], hear: Hearing) -> list[Ended]:
        reporters = [
            Reporter(task.trial, hopeless=lambda trial: "", keep=partial(hear.keep, task.trial.number))
            for task in tasks
        ]
        earlier = [trial for trial in tasks[0].others if trial.state is not TrialState.RUNNING]

        def hopeless(place: int) -> str:
            trial = reporters[place].trial
            mates = [one.trial for one in reporters if one.trial is not trial]
            return self._orders.pruner.hopeless(trial, [*earlier, *mates]) if trial.finite_steps else ""

        assignments = [
            Assignment(
                number=task.trial.number,
                point=task.trial.parameters,
                seed=self._orders.seed,
                deadline=task.deadline,
                folder=task.folder,
                report=reporter,
                tell=hear.tell,
            )
            for task, reporter in zip(tasks, reporters, strict=True)
        ]
        step = _Step(self._objective, assignments, hopeless=hopeless)
        note = (f"made in one step with {len(tasks) - 1} others",) if len(tasks) > 1 else ()
        clock = self._orders.clock
        started = clock()
        ended = [attempt(step.give(place), one, clock=clock) for place, one in enumerate(assignments)]
        seconds = clock() - started
        return [
            Ended(replace(trial, seconds=seconds, fit_seconds=seconds, notes=(*trial.notes, *note)), learned)
            for trial, learned in ended
        ]


class _Step:
    """What came of a group, made when the first of it is asked for."""

    def __init__(
        self, objective: Together, assignments: Sequence[Assignment], *, hopeless: Callable[[int], str]
    ) -> None:
        self._objective, self._assignments, self._hopeless = objective, assignments, hopeless
        self._begun = False
        self._results: Sequence[Result] | None = None

    def give(self, place: int) -> Objective:
        """The objective of one of them."""

        def objective(assignment: Assignment) -> Outcome:
            result = self._find()[place]
            if isinstance(result, Exception):
                raise result
            return result

        return objective

    def _find(self) -> Sequence[Result]:
        if self._results is None:
            if self._begun:
                raise FitError("the step that it was to be made in failed; the first trial of it says why.")
            self._begun = True
            self._results = self._objective.make(self._assignments, hopeless=self._hopeless)
        return self._results
