"""The objective of a panel: a model learns on the training part and is judged on validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import FitError
from tidewright.features.view import fit_static
from tidewright.models.fitted import Fitted, was_cut
from tidewright.models.spec import find_catalog, kind_of
from tidewright.runtime import Runtime
from tidewright.training.evaluate import evaluate
from tidewright.training.events import Callback
from tidewright.training.fit import fit, keep_covariates
from tidewright.training.trade import Trading
from tidewright.tuning.goals import Judged, Said, average, find_goal, hear_positions, join_said, judge
from tidewright.tuning.horizons import learn_candidate
from tidewright.tuning.keep_best import CHECKPOINT
from tidewright.tuning.ledger import StudyLedger
from tidewright.tuning.objective import Assignment, Outcome, Pruned, give_up_short, share_deadline
from tidewright.tuning.parts import Part, cut_parts
from tidewright.tuning.records import Candidate
from tidewright.tuning.repeats import split_point
from tidewright.tuning.trial import TRAINING, Trial, TrialState
from tidewright.tuning.watch import Watch

ON_GPU = {"torch", "trees", "foundation"}  # kinds of models
FOLLOWED, FOLLOWED_WINDOWS = ("mape", "rmse", "mae"), 1024  # of training
QUICK = ("torch", "trees")  # kinds that answer windows at once, and learn in steps
UNHEEDING = ("lear", "svr")  # of these: what is solved in one go


@dataclass(frozen=True, eq=False)
class PanelObjective:
    """The validation score of a candidate changed at a point; `split` has no test part and `panel` ends with the last
    validation label.

    Each trial learns on `folds` walk-forward folds, the last of which is the split itself, from each of `seeds` seeds;
    its score is taken over all folds together, and is the mean over seeds. Its model is the one of the split, from the
    candidate's own seed. `learn` is `training.fit.fit` or anything that is called like it; `clock` gives seconds, as
    `learn`'s deadline is; `runtime` says, where a trial learns, what it computes with. Training by the Sharpe ratio
    learns positions (`fit_positions`). For a metric of returns
    forecasts are traded as `trading` says. Every trial that was judged, pruned ones too, is kept in the `ledger`. A
    network in a trial with a folder keeps a checkpoint of each fit there, and goes on from it. Where it is `followed`,
    networks say scores of every epoch, and networks and trees those of training.
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
    folds: int = 1
    seeds: int = 1
    runtime: Callable[[], Runtime] | None = None
    followed: bool = False

    @property
    def gpu(self) -> bool:
        """Whether any of its models learns on a GPU where there is one."""
        kinds = {kind_of(one.spec) for one in (self.default, *self.default.others.values())}
        return bool(kinds & ON_GPU) and (self.runtime is None or self.runtime().device.requested != "cpu")

    def heeds(self, point: Mapping[str, Any]) -> bool:
        """Whether learning at a point is over soon after its deadline: after an epoch, a round or some trees."""
        name = str(point.get("model", self.default.spec.name))
        return self.learn is fit and find_catalog(name)[name].kind in QUICK and name not in UNHEEDING

    def prepare(self) -> None:
        """Loads what networks are made of, where some are: a process that opens what others taught need not wait."""
        if any(kind_of(one.spec) == "torch" for one in (self.default, *self.default.others.values())):
            import_module("tidewright.training.fit_torch")

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The fits of every trial, in their order."""
        return cut_parts(self.split, folds=self.folds, seeds=self.seeds)

    def __call__(self, assignment: Assignment) -> Outcome:
        """See `Objective`. One fit reports its epochs, several their scores."""
        watch = Watch(assignment, model=self.default.spec.name, fits=len(self.parts), wants_scores=self.followed)
        try:
            return self._judge(assignment, watch)
        except Pruned:
            self.give_up(assignment)
            raise
        finally:
            watch.announce()

    def learn_again(self, trial: Trial, *, folder: Path | None) -> tuple[Any, str]:
        """The model of a complete trial that was made elsewhere or before, from its checkpoint where there is one, and
        what is to be said where its score isn't the trial's; empty where it is."""
        candidate = self.default.change(trial.parameters)
        part = next(part for part in self.parts if part.kept)
        checkpoint = self.checkpoint(candidate, folder, part)
        here = checkpoint is not None and checkpoint.exists()
        deadline = -math.inf if trial.cut_short and here else None  # as far as it came, and no further
        fitted = self._learn(candidate, part, callbacks=(), deadline=deadline, folder=folder)
        value = self._value(self._hear(fitted, part.split))
        before = trial.value if len(self.parts) == 1 else dict(trial.steps).get(part.step)
        if before is not None and math.isclose(value, before, rel_tol=1e-9, abs_tol=1e-12):
            return fitted, ""
        return fitted, (
            f"the model of trial {trial.number} was learned again here, and its {self.metric} on validation is "
            f"{value:.6g}, not {before:.6g}."
        )

    def conclude(self, assignment: Assignment, fitted: Any) -> Outcome:
        """What a trial of one fit comes to that has learned, elsewhere, what it was to; its bet is kept. Raises
        `FitError`."""
        return self._end(assignment, [self._hear(fitted, self.split)], fitted)

    def give_up(self, assignment: Assignment) -> None:
        """Keeps the bet of a trial that was pruned."""
        self._keep(assignment, TrialState.PRUNED, self._read(assignment.point), None)

    def checkpoint(self, candidate: Candidate, folder: Path | None, part: Part) -> Path | None:
        """Where a network keeps how far it came; None where there is no place, or no network."""
        if folder is None or kind_of(candidate.spec) != "torch":
            return None
        return folder / (CHECKPOINT if part.kept else f"fit{part.step}.safetensors")

    def _judge(self, assignment: Assignment, watch: Watch) -> Outcome:
        candidate = self._read(assignment.point)
        self._replay(candidate, assignment)
        said: list[Said] = []
        notes: dict[str, None] = {}
        seconds, cut, learned = 0.0, False, None
        for part in self.parts:
            started = self.clock()
            deadline = share_deadline(assignment.deadline, now=started, fits=len(self.parts) - part.step + 1)
            fitted = self._learn(candidate, part, callbacks=(watch,), deadline=deadline, folder=assignment.folder)
            ended = self.clock()
            seconds, cut = seconds + ended - started, cut or was_cut(fitted)
            notes |= {str(record["fallback"]): None for record in fitted.history if record.get("fallback")}
            learned = fitted if part.kept else learned
            said.append(self._hear(fitted, part.split))
            if len(self.parts) > 1:
                assignment.report(part.step, self._value(said[-1]))
        if cut:
            give_up_short(assignment, seconds)
        outcome = self._end(assignment, said, learned)
        return replace(outcome, fit_seconds=seconds, cut_short=cut, notes=(*notes, *outcome.notes))

    def _end(self, assignment: Assignment, said: list[Said], learned: Any) -> Outcome:
        candidate, judged = self._read(assignment.point), self._pool(said)
        self._keep(assignment, TrialState.COMPLETE, candidate, judged)
        notes = () if self.ledger is None else self.ledger.notes  # it may be a worker's
        scores = {**judged.scores, **self._score_training(learned, candidate)}
        return Outcome(values=(judged.value,), scores=scores, key=candidate.key, notes=notes, learned=learned)

    def _pool(self, said: list[Said]) -> Judged:
        """What all fits come to: over the folds of a seed together, on average over seeds."""
        seeds = [self._weigh(join_said(said[first : first + self.folds])) for first in range(0, len(said), self.folds)]
        judged = average(seeds)
        if not math.isfinite(judged.value):
            raise FitError(
                f"{self.metric} on validation is {judged.value}, no score (a strategy without positions has none). "
                "Take another metric, such as mae."
            )
        return judged

    def _learn(
        self,
        candidate: Candidate,
        part: Part,
        *,
        callbacks: tuple[Callback, ...],
        deadline: float | None,
        folder: Path | None,
    ) -> Any:
        checkpoint = self.checkpoint(candidate, folder, part)
        candidate = self._at(candidate, part)
        asked: dict[str, Any] = {"panel": self.panel, "split": part.split}
        asked |= {"callbacks": callbacks, "deadline": deadline}
        if checkpoint is not None:
            asked["checkpoint"] = checkpoint
        if self.runtime is not None:
            asked["runtime"] = self.runtime()
        if not candidate.positions:
            return learn_candidate(candidate, learn=self.learn, task=self.task, season=self.season, **asked)
        from tidewright.training.positions import fit_positions

        learn = fit_positions if self.learn is fit else self.learn
        asked |= {"view": candidate.view, "train": candidate.train}
        return learn(candidate.spec, sides=self.trading.sides, **asked)

    def _read(self, point: Mapping[str, Any]) -> Candidate:
        """The candidate of a point, which may be an earlier one from another seed."""
        own, seed = split_point(point)
        return _move_seed(self.default.change(own), seed)

    def _at(self, candidate: Candidate, part: Part) -> Candidate:
        """The candidate as it learns one part: from its seed, and with what is known of static columns by then."""
        candidate = _move_seed(candidate, part.seed)
        if part.split.train.last == self.split.train.last or not candidate.view.static.columns:
            return candidate
        known = fit_static(keep_covariates(self.panel, candidate.spec.takes).until(part.split.train.last))
        return replace(candidate, view=replace(candidate.view, static=known))

    def _replay(self, candidate: Candidate, assignment: Assignment) -> None:
        """Reports the epochs of a run that goes on: the last one may be saved and not reported."""
        checkpoint = self.checkpoint(candidate, assignment.folder, self.parts[0])
        if len(self.parts) > 1 or checkpoint is None or not checkpoint.exists():
            return
        from tidewright.training.checkpoint import saved_history

        for record in saved_history(checkpoint):
            assignment.report(record["epoch"], record["validation_loss"])

    def _hear(self, fitted: Any, split: Split) -> Said:
        panel = self.panel
        if not hasattr(fitted, "predict"):
            return hear_positions(fitted, goal=find_goal(self.metric), panel=panel, split=split, trading=self.trading)
        if self.default.others:  # models that take other covariates are searched together
            panel = keep_covariates(panel, fitted.spec.takes)
        return evaluate(fitted, panel=panel, split=split, cutoffs=split.validation, season=self.season)

    def _score_training(self, fitted: Any, candidate: Candidate) -> dict[str, float]:
        """MAPE, RMSE and MAE (train_mae) on some training windows, where the search is followed and that is quick."""
        if not self.followed or not hasattr(fitted, "predict") or kind_of(candidate.spec) not in QUICK:
            return {}
        panel, train = keep_covariates(self.panel, fitted.spec.takes), self.split.train
        most = max(1, FOLLOWED_WINDOWS // panel.n_series)
        cutoffs = replace(train, stride=train.stride * max(1, -(-len(train) // most)))
        scores = evaluate(fitted, panel=panel, split=self.split, cutoffs=cutoffs, season=self.season).scores
        return {f"{TRAINING}{name}": scores[name] for name in FOLLOWED if name in scores}

    def _weigh(self, said: Said) -> Judged:
        return judge(said, goal=find_goal(self.metric), panel=self.panel, trading=self.trading)

    def _value(self, said: Said) -> float:
        return self._weigh(said).value

    def _keep(self, assignment: Assignment, state: TrialState, candidate: Candidate, judged: Judged | None) -> None:
        if self.ledger is None:
            return
        told: dict[str, Any] = {"state": str(state), "model": candidate.spec.name, "key": candidate.key, "score": None}
        if judged is not None:
            told |= {"score": judged.value, "positions": judged.positions, "parts": judged.parts}
        self.ledger.add(assignment.number, assignment.point, **told)


def _move_seed(candidate: Candidate, by: int) -> Candidate:
    train = candidate.train
    return replace(candidate, train=replace(train, seed=train.seed + by)) if by else candidate
