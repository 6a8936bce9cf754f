"""Trials of one form that are made in one step: many points at once, pruned inside the batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from tidewright.errors import ConfigError, FitError
from tidewright.training.events import of_trial
from tidewright.tuning.attempt import attempt
from tidewright.tuning.crew import Died, Ended, Hearing
from tidewright.tuning.keep_step import find_step, keep_step
from tidewright.tuning.objective import Assignment, Objective, Outcome
from tidewright.tuning.task import Orders, Reporter, Task, carry_out
from tidewright.tuning.trial import Trial, TrialState

Result = Callable[[], Outcome]  # gives what came of a trial, or raises: `Pruned` where it was given up


class Together(Protocol):
    """An objective that can make many trials in one step, or one alone."""

    def __call__(self, assignment: Assignment) -> Outcome:
        """See `Objective`."""
        ...

    def form(self, point: Mapping[str, Any]) -> Hashable:
        """Trials whose points have one form can be made in one step. Raises `ConfigError` for a point of none."""
        ...

    def make(self, assignments: Sequence[Assignment], *, hopeless: Callable[[int], str]) -> Sequence[Result]:
        """What came of each, in order. `hopeless` says after each round of reports why one of them (by its place) is
        not worth going on with."""
        ...


class Batch:
    """This process, `size` trials at a time: those of one form in one step, and pruned by what all of them report.

    Steps go by the trials' numbers, from one multiple of `size` to the next, so that a search that goes on has the
    steps of one that was not interrupted. With a deadline the first trial is made alone, and no more are begun at once
    than would be done by then, at what the ended ones took. A trial alone in its form is made as `Alone` does. A trial
    of a step has its share of the step's seconds. Where trials have folders, what came of a step is kept there at once:
    a step that was killed begins anew, with all its trials, and none is made twice.
    """

    def __init__(self, objective: Together, orders: Orders, *, size: int) -> None:
        self._objective, self._orders, self._size = objective, orders, size
        self._tasks: list[Task] = []
        self._groups: list[list[Task]] = []
        self._ended: list[Ended] = []
        self._kept: list[Path] = []

    def begin(self, task: Task) -> None:
        """See `Crew`."""
        self._tasks.append(task)

    @property
    def free(self) -> bool:
        """See `Crew`."""
        if self._ended or self._groups or len(self._tasks) >= self._size:
            return False
        return not self._tasks or (self._is_open() and self._has_time())

    @property
    def busy(self) -> bool:
        """See `Crew`."""
        return bool(self._tasks or self._groups or self._ended)

    def wait(self, hear: Hearing) -> Ended | Died:
        """See `Crew`."""
        if not self._ended:
            if not self._groups:
                self._groups, self._tasks = self._divide(self._tasks), []
            self._ended = self._make(self._groups.pop(0), hear)
        return self._ended.pop(0)

    def forget(self) -> None:
        """Removes what was kept of steps, all of which have been told."""
        for path in self._kept:
            path.unlink(missing_ok=True)
        self._kept = []

    def _is_open(self) -> bool:
        """Whether the trial that comes next is of the same step: one that goes on, or a new one."""
        own, last = {task.trial.number for task in self._tasks}, self._tasks[-1]
        step = self._step(last.trial)
        waiting = (t.number for t in last.others if t.state is TrialState.RUNNING and t.number not in own)
        new = 1 + max({*own, *(trial.number for trial in last.others)})
        return new // self._size == step or any(number // self._size == step for number in waiting)

    def _has_time(self) -> bool:
        first, more = self._tasks[0], len(self._tasks) + 1
        if first.deadline is None:
            return True
        ended = [trial for trial in first.others if trial.state is not TrialState.RUNNING]
        whole = [trial.seconds for trial in ended if trial.state is TrialState.COMPLETE]
        known = whole or [trial.seconds for trial in ended]
        return bool(known) and more * median(known) <= first.deadline - self._orders.clock()

    def _step(self, trial: Trial) -> int:
        return trial.number // self._size

    def _divide(self, tasks: Sequence[Task]) -> list[list[Task]]:
        """The trials by form."""
        self.forget()
        groups: dict[Hashable, list[Task]] = {}
        for task in tasks:
            try:
                form = self._objective.form(task.trial.parameters)
            except ConfigError:  # it fails alone, and says so
                form = task.trial.number
            groups.setdefault(form, []).append(task)
        return list(groups.values())

    def _make(self, tasks: list[Task], hear: Hearing) -> list[Ended]:
        """How some trials of one form end; those of a step that was over, and killed before it was told, have."""
        kept = find_step(tasks[0].folder, tasks[0].trial.number)
        if kept is not None:
            self._kept.append(kept[0])
            known = {trial.number: trial for trial in kept[1]}
            ended = [Ended(known[t.trial.number], None) for t in tasks if t.trial.number in known]
            left = [task for task in tasks if task.trial.number not in known]
            return ended + (self._make(left, hear) if left else [])
        if len(tasks) == 1:
            (task,) = tasks
            number, others = task.trial.number, self._earlier(task)
            made = carry_out(
                self._orders, replace(task, others=others), keep=partial(hear.keep, number), tell=hear.tell
            )
            return [Ended(*made)]
        made_together = self._make_together(tasks, hear)
        path = keep_step(tasks[0].folder, [ended.trial for ended in made_together])
        self._kept += [] if path is None else [path]
        return made_together

    def _earlier(self, task: Task) -> tuple[Trial, ...]:
        """The ended trials of the steps before a trial's: the same ones however often it is begun."""
        own = self._step(task.trial)
        return tuple(t for t in task.others if t.state is not TrialState.RUNNING and self._step(t) < own)

    def _make_together(self, tasks: Sequence[Task], hear: Hearing) -> list[Ended]:
        reporters = [
            Reporter(task.trial, hopeless=lambda trial: "", keep=partial(hear.keep, task.trial.number))
            for task in tasks
        ]
        earlier = self._earlier(tasks[0])

        def hopeless(place: int) -> str:
            trial = reporters[place].trial
            mates = [one.trial for one in reporters if one.trial is not trial]
            return self._orders.pruner.hopeless(trial, [*earlier, *mates]) if trial.finite_steps else ""

        deadline = _share_deadline(tasks)
        assignments = [
            Assignment(
                number=task.trial.number,
                point=task.trial.parameters,
                seed=self._orders.seed,
                deadline=deadline,
                folder=task.folder,
                report=reporter,
                tell=lambda event, number=task.trial.number: hear.tell(of_trial(event, number)),  # type: ignore[misc]  # bound here
            )
            for task, reporter in zip(tasks, reporters, strict=True)
        ]
        return self._attempt(_Step(self._objective, assignments, hopeless=hopeless, clock=self._orders.clock))

    def _attempt(self, step: _Step) -> list[Ended]:
        """How each trial of a step ended, with its share of the step's seconds, its own judging apart."""
        clock, count = self._orders.clock, len(step.assignments)
        started = clock()
        ended = [attempt(step.give(place), one, clock=clock) for place, one in enumerate(step.assignments)]
        share = (clock() - started) / count
        found = []
        for place, (trial, learned) in enumerate(ended):
            judging = max(trial.seconds - (step.seconds if place == 0 else 0.0), 0.0)
            notes = (*trial.notes, f"made in one step of {count} trials")
            told = replace(trial, notes=notes, seconds=share, fit_seconds=max(share - judging, 0.0))
            found.append(Ended(told, learned))
        return found


def _share_deadline(tasks: Sequence[Task]) -> float | None:
    """When all of them must be done learning: each one's judging comes after that, and one's is left for already."""
    first = tasks[0]
    if first.deadline is None:
        return None
    judging = max((trial.seconds - trial.fit_seconds for trial in first.others), default=0.0)
    return first.deadline - (len(tasks) - 1) * judging


class _Step:
    """What came of a group, made when the first of it is asked for; `seconds` is how long that took."""

    def __init__(
        self,
        objective: Together,
        assignments: Sequence[Assignment],
        *,
        hopeless: Callable[[int], str],
        clock: Callable[[], float],
    ) -> None:
        self._objective, self.assignments, self._hopeless, self._clock = objective, assignments, hopeless, clock
        self._begun, self.seconds = False, 0.0
        self._results: Sequence[Result] | None = None

    def give(self, place: int) -> Objective:
        """The objective of one of them."""
        return lambda assignment: self._find()[place]()

    def _find(self) -> Sequence[Result]:
        if self._results is None:
            if self._begun:
                raise FitError("the step that it was to be made in failed; the first trial of it says why.")
            self._begun = True
            started = self._clock()
            self._results = self._objective.make(self.assignments, hopeless=self._hopeless)
            self.seconds = self._clock() - started
        return self._results
