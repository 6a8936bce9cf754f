"""A trial as it is handed to whoever carries it out, in this process or another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tidewright.training.events import Event, of_trial
from tidewright.tuning.attempt import attempt
from tidewright.tuning.objective import Assignment, Objective, Pruned
from tidewright.tuning.pruners import Pruner
from tidewright.tuning.trial import Trial

Keep = Callable[[int, float], None]


@dataclass(frozen=True, eq=False, slots=True)
class Orders:
    """What every trial of a study has alike; `gpu` says that it learns on a GPU where there is one. `prepare` loads
    what it takes to open what a trial learned elsewhere."""

    objective: Objective
    pruner: Pruner
    seed: int
    clock: Callable[[], float]
    gpu: bool = False
    prepare: Callable[[], None] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Task:
    """One running trial, with what it reported before its worker died, and the trials that it is compared with.

    It should be done learning by the `deadline`; where its worker is another process it is ended at the `last` moment.
    One that heeds its deadline is given up where that comes after less than `least_s` seconds of learning.
    """

    trial: Trial
    others: tuple[Trial, ...]
    deadline: float | None
    folder: Path | None
    last: float | None = None
    least_s: float = 0.0


def carry_out(orders: Orders, task: Task, *, keep: Keep, tell: Callable[[Event], None]) -> tuple[Trial, Any]:
    """How the trial ended, and what it learned; what it reports goes to `keep`, its events to `tell`."""
    reporter = Reporter(task.trial, hopeless=lambda trial: orders.pruner.hopeless(trial, task.others), keep=keep)
    assignment = Assignment(
        number=task.trial.number,
        point=task.trial.parameters,
        seed=orders.seed,
        deadline=task.deadline,
        folder=task.folder,
        report=reporter,
        tell=lambda event: tell(of_trial(event, task.trial.number)),
        least_s=task.least_s,
    )
    return attempt(orders.objective, assignment, clock=orders.clock)


class Reporter:
    """What a trial reports. A step is kept once; what was kept before its worker died prunes it as it did then.

    `trial` is the trial with all that it has reported.
    """

    def __init__(self, trial: Trial, *, hopeless: Callable[[Trial], str], keep: Keep) -> None:
        self._kept, self.trial = dict(trial.steps), replace(trial, steps=())
        self._hopeless, self._keep = hopeless, keep

    def __call__(self, step: int, value: float) -> None:
        """Raises `Pruned` where the trial is hopeless."""
        if step in dict(self.trial.steps):
            return
        if step not in self._kept:
            self._keep(step, value)
        value = self._kept.get(step, value)
        self.trial = replace(self.trial, steps=(*self.trial.steps, (step, value)))
        if math.isfinite(value) and (reason := self._hopeless(self.trial)):
            raise Pruned(reason)


def others_of(trial: Trial, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials of a study but for one."""
    return tuple(one for one in trials if one.number != trial.number)
