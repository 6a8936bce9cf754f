"""One trial: ask the objective, say how it ended. Here, and nowhere else in tuning, any failure is caught."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable
from typing import Any

from tidewright.errors import FitError, MissingExtraError
from tidewright.tuning.objective import Assignment, Objective, Outcome, Pruned
from tidewright.tuning.trial import Trial, TrialState

_LOGGER = logging.getLogger(__name__)


def attempt(objective: Objective, assignment: Assignment, *, clock: Callable[[], float]) -> tuple[Trial, Any]:
    """The trial of an assignment, without its steps, and what it learned (None unless it is complete).

    A trial that raises, or whose values are no finite numbers, has failed: it has no value. A package that is missing
    is no trial's fault and is raised.
    """
    started = clock()
    ended: dict[str, Any]
    learned = None
    try:
        outcome = objective(assignment)
        ended, learned = _read(outcome), outcome.learned
    except Pruned as pruned:
        ended = {"state": TrialState.PRUNED, "error": str(pruned)}
    except MissingExtraError:
        raise
    except Exception as error:
        _LOGGER.info("trial %d failed", assignment.number, exc_info=True)
        ended = {"state": TrialState.FAILED, "error": traceback.format_exception_only(error)[-1].strip()}
    seconds = clock() - started
    ended.setdefault("fit_seconds", seconds)
    return Trial(number=assignment.number, parameters=dict(assignment.point), seconds=seconds, **ended), learned


def _read(outcome: Outcome) -> dict[str, Any]:
    if not outcome.values or not all(math.isfinite(value) for value in outcome.values):
        raise FitError(f"the objective gave {outcome.values}, no finite values.")
    found = {
        "state": TrialState.COMPLETE,
        "values": tuple(float(value) for value in outcome.values),
        "scores": dict(outcome.scores),
        "key": outcome.key,
        "notes": outcome.notes,
        "cut_short": outcome.cut_short,
    }
    return found if outcome.fit_seconds is None else {**found, "fit_seconds": outcome.fit_seconds}
