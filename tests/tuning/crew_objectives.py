"""Objectives that worker processes import; the test adds this folder to their path."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tidewright.errors import MissingExtraError
from tidewright.training.events import EpochEnded
from tidewright.tuning.objective import Assignment, Outcome


def bowl(assignment: Assignment) -> Outcome:
    x = assignment.point["x"]
    for step in (1, 2):
        assignment.tell(EpochEnded("bowl", "", step, x, x, 0.0))
        assignment.report(step, x**2 + 1.0 / step)
    return Outcome((x**2,), learned=("learned by", assignment.number, os.getpid()))


def unsendable(assignment: Assignment) -> Outcome:
    return Outcome((assignment.point["x"] ** 2,), learned=threading.Lock())


def deadly_once(assignment: Assignment) -> Outcome:
    """Its process dies in the middle of trial 1, the first time."""
    assert assignment.folder is not None
    mark = assignment.folder / "mark"
    if assignment.number == 1 and not mark.exists():
        assignment.folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        assignment.report(1, 0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return bowl(assignment)


def deadly(assignment: Assignment) -> Outcome:
    if assignment.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return bowl(assignment)


def endless(assignment: Assignment) -> Outcome:
    threading.Event().wait()
    raise AssertionError


def own_clock() -> float:
    """Seconds of this process alone."""
    return time.monotonic() + float(os.environ.get("CLOCK_SHIFT", "0"))


def time_left(assignment: Assignment) -> Outcome:
    assert assignment.deadline is not None
    return Outcome((assignment.deadline - own_clock(),))


def lacking(assignment: Assignment) -> Outcome:
    raise MissingExtraError("this needs the package 'nothing'")


def threads(assignment: Assignment) -> Outcome:
    return Outcome((float(os.environ["OMP_NUM_THREADS"]),))


def exits(assignment: Assignment) -> Outcome:
    os._exit(3)


def note_process(folder: Path, assignment: Assignment) -> Any:
    (folder / f"{assignment.number}-{os.getpid()}").touch()
    return bowl(assignment)
