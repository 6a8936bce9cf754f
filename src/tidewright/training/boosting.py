"""Boosting a round at a time, each goal on its own thread, stopped on the cells of validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tidewright.training.cells import Goal, Learning

PATIENCE = 25  # rounds without a better validation loss that end a goal's boosting
EVERY = 10  # rounds between two events


class Booster(Protocol):
    """One goal's model in a library's own hands."""

    def update(self) -> bool:
        """One more round; whether it found nothing more to split."""
        ...

    def train_loss(self) -> float:
        """The loss on the cells that it learns from."""
        ...

    def validation_loss(self) -> float:
        """The loss on the cells of validation."""
        ...


@dataclass(eq=False, slots=True)
class Course:
    """One goal's boosting as it goes."""

    booster: Booster
    goal: Goal
    least_gain: float
    losses: list[float] = field(default_factory=list)
    best_round: int = 0
    best_loss: float = float("inf")
    reason: str = ""

    def train_loss(self) -> float:
        """The loss on the cells that it learns from."""
        return self.booster.train_loss()

    def step(self) -> None:
        """One more round."""
        stuck = self.booster.update()
        loss = self.booster.validation_loss()
        self.losses.append(loss)
        if loss < self.best_loss * (1.0 - self.least_gain):
            self.best_round, self.best_loss = len(self.losses), loss
        if stuck:
            self.reason = "no split left"
        elif len(self.losses) - self.best_round >= PATIENCE:
            self.reason = "no better on validation"


def boost(
    courses: Sequence[Course],
    *,
    rounds: int,
    learning: Learning,
    together: int,
    prepare: Callable[[], None] | None = None,
) -> tuple[Mapping[str, Any], ...]:
    """Boosts every goal a round at a time, `together` of them at once, so that a deadline leaves them alike.

    Gives the history. `prepare` is called once in each thread, before its first round.
    """
    history: list[Mapping[str, Any]] = []
    late = False
    with ThreadPoolExecutor(together, initializer=prepare) as pool:
        for number in range(1, rounds + 1):
            list(pool.map(Course.step, [course for course in courses if not course.reason]))
            late = learning.deadline is not None and time.monotonic() > learning.deadline
            over = late or all(course.reason for course in courses) or number == rounds
            if over or number % EVERY == 0:
                # in the threads that boost: XGBoost keeps what it has answered by thread
                learned = float(np.mean(list(pool.map(Course.train_loss, courses))))
                judged = float(np.mean([course.losses[-1] for course in courses]))
                history.append(learning.tell(number, learned, judged))
            if over:
                break
    return (*history, *(_conclude(course, late=late) for course in courses))


def _conclude(course: Course, *, late: bool) -> Mapping[str, Any]:
    goal = {"quantile": course.goal.level} if course.goal.kind == "quantile" else {"goal": course.goal.kind}
    reason = course.reason or ("deadline" if late else "all rounds")
    return {**goal, "rounds": course.best_round, "validation_loss": course.best_loss, "stopped": reason}
