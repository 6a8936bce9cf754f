"""What a search makes small: a function from an assignment to an outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidewright.training.events import Event


class Pruned(Exception):  # noqa: N818  (no error: it ends a trial from inside a report)
    """The trial is not worth going on with; the message says why."""


def no_one(event: Event) -> None:
    """Hears an event that nobody listens to."""


@dataclass(frozen=True, eq=False, slots=True)
class Assignment:
    """One trial to be made.

    `seed` is the study's; `deadline` the time of the search's clock by which learning must be over, None without a
    budget; `folder` the trial's own place on disk, for checkpoints, None where the study is kept in memory. Call
    `report(step, value)` after each epoch or fold, with what is to be made small: it raises `Pruned`, which the
    objective lets through, when the trial is hopeless. After a trial's worker died the objective is called again, and
    what it reports again is kept once. `tell` hands events to the search's callbacks. A trial that the deadline ends
    after less than `least_s` seconds of learning is given up (`give_up_short`).
    """

    number: int
    point: Mapping[str, Any]
    seed: int
    deadline: float | None
    folder: Path | None
    report: Callable[[int, float], None]
    tell: Callable[[Event], None] = no_one
    least_s: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """What a trial came to.

    `values` are to be made small, one an objective, and finite; `scores` further metrics by name; `key` names the
    records that were learned; `fit_seconds` is the part of the time that learning took, None where all of it did;
    `learned` is what the best trial's caller gets (a `Fitted`).
    """

    values: tuple[float, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    key: str = ""
    fit_seconds: float | None = None
    cut_short: bool = False
    notes: tuple[str, ...] = ()
    learned: Any = None


def give_up_short(assignment: Assignment, seconds: float) -> None:
    """Raises `Pruned` where a deadline ended a trial after too few `seconds` of learning for it to be judged."""
    if seconds < assignment.least_s:
        raise Pruned(
            f"the budget ended it after {seconds:.1f} s of learning; it takes {assignment.least_s:.1f} s for it to be "
            "judged"
        )


def share_deadline(deadline: float | None, *, now: float, fits: int) -> float | None:
    """When the next of so many fits must be done, so that each has as much time."""
    return deadline if deadline is None or fits == 1 else now + (deadline - now) / fits


Objective = Callable[[Assignment], Outcome]
