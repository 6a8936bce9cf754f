"""One trial: learn, judge on validation, say how it ended. Here, and nowhere else, any failure is caught."""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import FitError, MissingExtraError
from tidewright.metrics.accuracy import find_metric
from tidewright.models.fitted import Fitted
from tidewright.training.evaluate import evaluate
from tidewright.training.events import Callback, EpochEnded, Event, FitStarted, TrialEnded, emit
from tidewright.tuning.records import Candidate
from tidewright.tuning.study import Trial, TrialState

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Work:
    """What every trial of a study shares; `split` has no test part and `panel` ends with the last validation
    label.

    `learn` is `training.fit.fit` or anything that is called like it; `clock` gives seconds, as `learn`'s
    deadline is.
    """

    panel: Panel
    split: Split
    task: Task
    season: int | None
    default: Candidate
    metric: str
    callbacks: tuple[Callback, ...]
    learn: Callable[..., Fitted]
    clock: Callable[[], float]


Judge = Callable[[EpochEnded], bool]


class _Pruned(Exception):  # noqa: N818  (no error: it ends a fit from inside a callback)
    """The trial is not worth going on with."""


def attempt(
    work: Work, *, number: int, point: Mapping[str, Any], hopeless: Judge, deadline: float | None
) -> tuple[Trial, Fitted | None]:
    """The trial of a point of the space and, when it is complete, what it learned.

    `hopeless` says after each epoch whether the trial is to be ended. A trial that raises, or whose score is
    no finite number, has failed: it has no value. A package that is missing is no trial's fault and is
    raised.
    """
    started = work.clock()
    watch = _Watch(work, hopeless)
    blank = Trial(number, TrialState.FAILED, None, dict(point), "", 0.0, 0.0)
    fitted: Fitted | None = None
    try:
        trial, fitted = _learn(work, blank, watch=watch, deadline=deadline)
    except _Pruned:
        trial = replace(blank, state=TrialState.PRUNED)
    except MissingExtraError:
        raise
    except Exception as error:
        _LOGGER.info("trial %d failed", number, exc_info=True)
        trial = replace(blank, error=traceback.format_exception_only(error)[-1].strip())
    seconds = work.clock() - started
    trial = replace(
        trial,
        key=trial.key or watch.key,
        seconds=seconds,
        fit_seconds=trial.fit_seconds or seconds,
        losses=tuple(watch.losses),
    )
    _report(work, trial, announced=watch.started)
    return trial, fitted


def _learn(work: Work, blank: Trial, *, watch: _Watch, deadline: float | None) -> tuple[Trial, Fitted]:
    candidate = work.default.change(blank.parameters)
    started = work.clock()
    fitted = work.learn(
        candidate.spec,
        panel=work.panel,
        split=work.split,
        task=work.task,
        view=candidate.view,
        train=candidate.train,
        season=work.season,
        callbacks=(watch,),
        deadline=deadline,
    )
    ended = work.clock()
    judged = evaluate(fitted, panel=work.panel, split=work.split, cutoffs=work.split.validation, season=work.season)
    value = find_metric(work.metric).badness(judged.scores[work.metric], scored=judged.scored)
    if not math.isfinite(value):
        raise FitError(f"{work.metric} on validation is {value}, no score. Take another metric, such as mae.")
    trial = replace(
        blank,
        state=TrialState.COMPLETE,
        value=float(value),
        key=candidate.key,
        fit_seconds=ended - started,
        scores=judged.scores,
        cut_short=deadline is not None and ended >= deadline,
    )
    return trial, fitted


class _Watch:
    """Passes a fit's events on, keeps its losses and ends it when it is hopeless."""

    def __init__(self, work: Work, hopeless: Judge) -> None:
        self._callbacks, self._hopeless = work.callbacks, hopeless
        self.started, self.key = False, ""
        self.losses: list[float] = []

    def __call__(self, event: Event) -> None:
        emit(self._callbacks, event)
        if isinstance(event, FitStarted):
            self.started, self.key = True, event.key
        if isinstance(event, EpochEnded):
            self.losses.append(event.validation_loss)
            if self._hopeless(event):
                raise _Pruned


def _report(work: Work, trial: Trial, *, announced: bool) -> None:
    """Tells the callbacks how the trial ended, after its `FitStarted`, whether or not the fit came so far."""
    name = work.default.spec.name
    if not announced:
        emit(work.callbacks, FitStarted(name, trial.key, dict(trial.parameters)))
    ended = TrialEnded(
        study=name,
        number=trial.number,
        state=str(trial.state),
        value=trial.value,
        parameters=trial.parameters,
        seconds=trial.seconds,
        metrics={f"validation_{metric}": value for metric, value in trial.scores.items()},
        error=trial.error,
    )
    emit(work.callbacks, ended)
