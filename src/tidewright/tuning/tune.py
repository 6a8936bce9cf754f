"""`tune`: the best options of a model that a budget finds, on train and validation only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, without_test
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View
from tidewright.metrics.accuracy import find_metric, seasonal_scale
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import ModelSpec
from tidewright.training.distributed import refuse_group
from tidewright.training.events import Callback, EpochEnded
from tidewright.training.fit import fit, view_of
from tidewright.training.spec import TrainSpec
from tidewright.tuning.attempt import Work, attempt
from tidewright.tuning.records import Candidate
from tidewright.tuning.space import IntRange, SearchSpace
from tidewright.tuning.study import Study, Trial, TrialState
from tidewright.tuning.suggest import Suggestions

FAILURES_IN_A_ROW = 10
WARMUP_EPOCHS = 10  # of a trial that may take 50 epochs or more; a fifth of a shorter one


def tune(
    space: SearchSpace,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    model: ModelSpec | str,
    budget_s: float | None = None,
    trials: int | None = None,
    view: View | None = None,
    train: TrainSpec | None = None,
    season: int | None = None,
    seed: int = 42,
    metric: str = "mase",
    callbacks: Sequence[Callback] = (),
    learn: Callable[..., Fitted] = fit,
    clock: Callable[[], float] = time.monotonic,
) -> Study:
    """The best of the trials that fit into `budget_s` seconds, or of `trials` trials, whichever ends first.

    Trial 0 is the default: `model`, `train` and `view` as they are given. The others change only what the
    space names (TPE, multivariate; Bergstra et al. 2011); from the sixth complete one on, a trial whose
    validation loss stays above the median of the earlier ones is pruned, unless the loss itself is searched.
    Learning ends at the budget's end and no trial begins that would probably not be done by then. The test
    part is taken off the split and off the panel first. The same seed and number of trials give the same
    study. Raises `ConfigError` and, when every trial failed, `FitError`.
    """
    refuse_group("a search")
    spec = build_spec(model) if isinstance(model, str) else model
    _check(space, spec=spec, budget_s=budget_s, trials=trials)
    limits = _Limits(clock(), budget_s, trials, clock)
    split = without_test(split)
    panel = panel.until(int(split.validation.positions[-1]) + split.horizon)
    view = view or view_of(spec, panel=panel, split=split, task=task, season=season)
    default = Candidate(spec, train or TrainSpec(), view)
    metric, notes = _usable_metric(metric, panel=panel, split=split, season=season)
    work = Work(panel, split, task, season, default, metric, tuple(callbacks), learn, clock)
    return _conclude(space, work=work, limits=limits, seed=seed, notes=notes)


@dataclass(frozen=True)
class _Limits:
    started: float
    budget_s: float | None
    trials: int | None
    clock: Callable[[], float]

    def deadline(self, done: Sequence[Trial]) -> float | None:
        """When a trial must be done learning: time to judge it, the longest that it took so far, is left."""
        if self.budget_s is None:
            return None
        return self.started + self.budget_s - max((t.seconds - t.fit_seconds for t in done), default=0.0)

    def why_stop(self, done: Sequence[Trial]) -> str:
        """Why no further trial is begun; empty when one is. The first one always is."""
        if not done:
            return ""
        return self._why_no_more(done) or self._why_no_time(done)

    def _why_no_more(self, done: Sequence[Trial]) -> str:
        if self.trials is not None and len(done) >= self.trials:
            return f"all {self.trials} trials were run"
        if len(done) >= FAILURES_IN_A_ROW and all(t.state is TrialState.FAILED for t in done[-FAILURES_IN_A_ROW:]):
            return f"the last {FAILURES_IN_A_ROW} trials failed"
        return ""

    def _why_no_time(self, done: Sequence[Trial]) -> str:
        if self.budget_s is None:
            return ""
        left = self.started + self.budget_s - self.clock()
        whole = [t.seconds for t in done if t.state is TrialState.COMPLETE] or [t.seconds for t in done]
        if left <= 0:
            return f"the budget of {self.budget_s:g} s is spent"
        if left < median(whole):
            return f"{left:.1f} of {self.budget_s:g} s are left, and a trial takes {median(whole):.1f} s"
        return ""


def _conclude(space: SearchSpace, *, work: Work, limits: _Limits, seed: int, notes: tuple[str, ...]) -> Study:
    done, fitted, reason = _search(space, work=work, limits=limits, seed=seed)
    best = min((t for t in done if t.state is TrialState.COMPLETE), key=_value)
    found = work.default.change(best.parameters)
    return Study(
        space=space,
        metric=work.metric,
        seed=seed,
        spec=found.spec,
        train=found.train,
        view=found.view,
        fitted=fitted,
        best=best,
        trials=tuple(done),
        seconds=limits.clock() - limits.started,
        reason=reason,
        notes=notes,
    )


def _search(space: SearchSpace, *, work: Work, limits: _Limits, seed: int) -> tuple[list[Trial], Fitted, str]:
    """Every trial, what the best one learned, and why there is no further one."""
    first = {name: work.default.value(name) for name in space.names}
    suggestions = Suggestions(space, default=first, seed=seed, warmup=_warmup(space, work.default.train))
    may_prune = "train.loss" not in space.names
    done: list[Trial] = []
    best: tuple[float, Fitted] | None = None
    while not (reason := limits.why_stop(done)):
        asked = suggestions.ask()
        if asked is None:
            reason = "every point of the space that the sampler finds was tried"
            break

        def hopeless(event: EpochEnded, asked=asked) -> bool:  # type: ignore[no-untyped-def]
            return may_prune and suggestions.hopeless(asked, epoch=event.epoch, loss=event.validation_loss)

        trial, fitted = attempt(
            work, number=len(done), point=asked.point, hopeless=hopeless, deadline=limits.deadline(done)
        )
        suggestions.tell(asked, trial)
        done.append(trial)
        if fitted is not None and trial.value is not None and (best is None or trial.value < best[0]):
            best = trial.value, fitted
    if best is None:
        raise FitError(f"none of {len(done)} trials of {space.model} could be completed; the last: {done[-1].error}")
    return done, best[1], reason


def _check(space: SearchSpace, *, spec: ModelSpec, budget_s: float | None, trials: int | None) -> None:
    if spec.name != space.model:
        raise ConfigError(f"the space is one of {space.model}, but the model is {spec.name}. Bring its own space.")
    if budget_s is None and trials is None:
        raise ConfigError("a search needs an end: give budget_s (seconds), trials, or both.")
    if budget_s is not None and not (math.isfinite(budget_s) and budget_s > 0):
        raise ConfigError(
            f"budget_s is a number of seconds above 0; got {budget_s}. Leave the search out, or give it time."
        )
    if trials is not None and (isinstance(trials, bool) or not isinstance(trials, int) or trials < 1):
        raise ConfigError(f"trials is a whole number, 1 or more; got {trials!r}.")


def _usable_metric(metric: str, *, panel: Panel, split: Split, season: int | None) -> tuple[str, tuple[str, ...]]:
    """The metric, or mae with a note when no series moves over a season of the training part."""
    if "scale" not in "".join(find_metric(metric).needs):
        return metric, ()
    season = panel.frequency.season if season is None else season
    past = np.where(panel.positions <= split.train.last + split.horizon, panel.target, np.nan)
    scale = seasonal_scale(past, offsets=panel.offsets, season=season)
    if np.any(scale > 0):
        return metric, ()
    return "mae", (f"no series moves over a season ({season} rows) of training, so mae replaced {metric}.",)


def _warmup(space: SearchSpace, train: TrainSpec) -> int:
    """Epochs before a trial may be pruned."""
    searched = space.ranges.get("train.epochs")
    most = searched.high if isinstance(searched, IntRange) else train.epochs
    return min(WARMUP_EPOCHS, max(1, most // 5))


def _value(trial: Trial) -> float:
    return math.inf if trial.value is None else trial.value
