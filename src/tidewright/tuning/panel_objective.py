"""The objective of a panel: a model learns on the training part and is judged on validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import FitError
from tidewright.metrics.accuracy import find_metric
from tidewright.models.fitted import Fitted
from tidewright.training.evaluate import evaluate
from tidewright.training.events import Callback, EpochEnded, Event, FitStarted, emit
from tidewright.tuning.objective import Assignment, Outcome
from tidewright.tuning.records import Candidate


@dataclass(frozen=True, eq=False)
class PanelObjective:
    """The validation score of a candidate changed at a point; `split` has no test part and `panel` ends with the last
    validation label.

    `learn` is `training.fit.fit` or anything that is called like it; `clock` gives seconds, as `learn`'s deadline is.
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

    def __call__(self, assignment: Assignment) -> Outcome:
        """See `Objective`."""
        watch = _Watch(self, assignment)
        try:
            return self._judge(assignment, watch)
        finally:
            watch.announce()

    def _judge(self, assignment: Assignment, watch: _Watch) -> Outcome:
        candidate = self.default.change(assignment.point)
        started = self.clock()
        fitted = self.learn(
            candidate.spec,
            panel=self.panel,
            split=self.split,
            task=self.task,
            view=candidate.view,
            train=candidate.train,
            season=self.season,
            callbacks=(watch,),
            deadline=assignment.deadline,
        )
        ended = self.clock()
        judged = evaluate(fitted, panel=self.panel, split=self.split, cutoffs=self.split.validation, season=self.season)
        value = find_metric(self.metric).badness(judged.scores[self.metric], scored=judged.scored)
        if not math.isfinite(value):
            raise FitError(f"{self.metric} on validation is {value}, no score. Take another metric, such as mae.")
        return Outcome(
            values=(float(value),),
            scores=judged.scores,
            key=candidate.key,
            fit_seconds=ended - started,
            cut_short=assignment.deadline is not None and ended >= assignment.deadline,
            learned=fitted,
        )


class _Watch:
    """Passes a fit's events on and reports its validation losses."""

    def __init__(self, objective: PanelObjective, assignment: Assignment) -> None:
        self._callbacks, self._assignment = objective.callbacks, assignment
        self._model, self._started = objective.default.spec.name, False

    def __call__(self, event: Event) -> None:
        emit(self._callbacks, event)
        self._started |= isinstance(event, FitStarted)
        if isinstance(event, EpochEnded):
            self._assignment.report(event.epoch, event.validation_loss)

    def announce(self) -> None:
        """Says that a fit began, where it failed before it could say so."""
        if not self._started:
            emit(self._callbacks, FitStarted(self._model, "", dict(self._assignment.point)))
