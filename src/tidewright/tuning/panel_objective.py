"""The objective of a panel: a model learns on the training part and is judged on validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import FitError
from tidewright.models.fitted import Fitted
from tidewright.models.spec import kind_of
from tidewright.training.evaluate import evaluate
from tidewright.training.events import Callback, EpochEnded, Event, FitStarted
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.trade import Trading
from tidewright.tuning.goals import Judged, find_goal, judge, judge_positions
from tidewright.tuning.horizons import learn_candidate
from tidewright.tuning.ledger import StudyLedger
from tidewright.tuning.objective import Assignment, Outcome, Pruned
from tidewright.tuning.records import Candidate
from tidewright.tuning.trial import Trial, TrialState

CHECKPOINT = "checkpoint.safetensors"  # of a network, in its trial's folder


@dataclass(frozen=True, eq=False)
class PanelObjective:
    """The validation score of a candidate changed at a point; `split` has no test part and `panel` ends with the last
    validation label.

    `learn` is `training.fit.fit` or anything that is called like it; `clock` gives seconds, as `learn`'s deadline is.
    Training by the Sharpe ratio learns positions (`fit_positions`). For a metric of returns forecasts are traded as
    `trading` says. Every trial that was judged, pruned ones too, is kept in the `ledger`. A network in a trial with a
    folder keeps a checkpoint there, and goes on from it.
    """

    panel: Panel
    split: Split
    task: Task
    season: int | None
    default: Candidate
    metric: str
    learn: Callable[..., Fitted]
    clock: Callable[[], float]
    trading: Trading = field(default_factory=Trading)
    ledger: StudyLedger | None = None

    def __call__(self, assignment: Assignment) -> Outcome:
        """See `Objective`."""
        watch = _Watch(self, assignment)
        try:
            return self._judge(assignment, watch)
        except Pruned:
            self._keep(assignment, TrialState.PRUNED, self.default.change(assignment.point), None)
            raise
        finally:
            watch.announce()

    def learn_again(self, trial: Trial, *, folder: Path | None) -> tuple[Any, str]:
        """The model of a complete trial that was made elsewhere or before, from its checkpoint where there is one, and
        what is to be said where its score isn't the trial's; empty where it is."""
        candidate = self.default.change(trial.parameters)
        checkpoint = self._checkpoint(candidate, folder)
        here = checkpoint is not None and checkpoint.exists()
        deadline = -math.inf if trial.cut_short and here else None  # as far as it came, and no further
        fitted = self._learn(candidate, callbacks=(), deadline=deadline, folder=folder)
        value = self._score(fitted).value
        if trial.value is not None and math.isclose(value, trial.value, rel_tol=1e-9, abs_tol=1e-12):
            return fitted, ""
        return fitted, (
            f"the model of trial {trial.number} was learned again here, and its {self.metric} on validation is "
            f"{value:.6g}, not {trial.value:.6g}."
        )

    def _judge(self, assignment: Assignment, watch: _Watch) -> Outcome:
        candidate = self.default.change(assignment.point)
        self._replay(candidate, assignment)
        started = self.clock()
        limits: dict[str, Any] = {"deadline": assignment.deadline, "folder": assignment.folder}
        fitted = self._learn(candidate, callbacks=(watch,), **limits)
        ended = self.clock()
        judged = self._score(fitted)
        if not math.isfinite(judged.value):
            raise FitError(
                f"{self.metric} on validation is {judged.value}, no score (a strategy without positions has none). "
                "Take another metric, such as mae."
            )
        self._keep(assignment, TrialState.COMPLETE, candidate, judged)
        return Outcome(
            values=(judged.value,),
            scores=judged.scores,
            key=candidate.key,
            fit_seconds=ended - started,
            cut_short=assignment.deadline is not None and ended >= assignment.deadline,
            notes=tuple(str(record["fallback"]) for record in fitted.history if record.get("fallback")),
            learned=fitted,
        )

    def _learn(
        self, candidate: Candidate, *, callbacks: tuple[Callback, ...], deadline: float | None, folder: Path | None
    ) -> Any:
        asked: dict[str, Any] = {"panel": self.panel, "split": self.split}
        asked |= {"callbacks": callbacks, "deadline": deadline}
        if (checkpoint := self._checkpoint(candidate, folder)) is not None:
            asked["checkpoint"] = checkpoint
        if not candidate.positions:
            return learn_candidate(candidate, learn=self.learn, task=self.task, season=self.season, **asked)
        from tidewright.training.positions import fit_positions

        learn = fit_positions if self.learn is fit else self.learn
        asked |= {"view": candidate.view, "train": candidate.train}
        return learn(candidate.spec, sides=self.trading.sides, **asked)

    def _replay(self, candidate: Candidate, assignment: Assignment) -> None:
        """Reports the epochs of a run that goes on: the last one may be saved and not reported."""
        checkpoint = self._checkpoint(candidate, assignment.folder)
        if checkpoint is None or not checkpoint.exists():
            return
        from tidewright.training.checkpoint import saved_history

        for record in saved_history(checkpoint):
            assignment.report(record["epoch"], record["validation_loss"])

    def _checkpoint(self, candidate: Candidate, folder: Path | None) -> Path | None:
        """Where a network keeps how far it came; None where there is no place, or no network."""
        return folder / CHECKPOINT if folder is not None and kind_of(candidate.spec) == "torch" else None

    def _score(self, fitted: Any) -> Judged:
        goal, panel, split = find_goal(self.metric), self.panel, self.split
        if not hasattr(fitted, "predict"):
            return judge_positions(fitted, goal=goal, panel=panel, split=split, trading=self.trading)
        if self.default.others:  # models that take other covariates are searched together
            panel = keep_covariates(panel, fitted.spec.takes)
        judged = evaluate(fitted, panel=panel, split=split, cutoffs=split.validation, season=self.season)
        return judge(judged, goal=goal, panel=panel, trading=self.trading)

    def _keep(self, assignment: Assignment, state: TrialState, candidate: Candidate, judged: Judged | None) -> None:
        if self.ledger is None:
            return
        told: dict[str, Any] = {"state": str(state), "model": candidate.spec.name, "key": candidate.key, "score": None}
        if judged is not None:
            told |= {"score": judged.value, "positions": judged.positions, "parts": judged.parts}
        self.ledger.add(assignment.number, assignment.point, **told)


class _Watch:
    """Passes a fit's events on and reports its validation losses."""

    def __init__(self, objective: PanelObjective, assignment: Assignment) -> None:
        self._assignment, self._model, self._started = assignment, objective.default.spec.name, False

    def __call__(self, event: Event) -> None:
        self._assignment.tell(event)
        self._started |= isinstance(event, FitStarted)
        if isinstance(event, EpochEnded):
            self._assignment.report(event.epoch, event.validation_loss)

    def announce(self) -> None:
        """Says that a fit began, where it failed before it could say so."""
        if not self._started:
            self._assignment.tell(FitStarted(self._model, "", dict(self._assignment.point)))
