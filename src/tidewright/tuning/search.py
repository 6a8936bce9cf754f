"""`search`: the one loop of every study. Claim a point, ask the objective, keep what came of it, until a stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidewright.training.events import Callback, TrialEnded, emit
from tidewright.tuning.attempt import attempt
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Objective, Pruned
from tidewright.tuning.pruners import NoPruner, Pruner
from tidewright.tuning.searchers.searcher import History, Searcher
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.store import Point, Reporter, Stop, TrialStore
from tidewright.tuning.trial import Trial

StopRule = Callable[[Sequence[Trial]], str]


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """Every trial, what the best of this process's trials learned (None where another process made it), and why there
    is no further trial."""

    trials: tuple[Trial, ...]
    learned: Any
    reason: str


@dataclass(frozen=True, eq=False)
class Plan:
    """How a study goes: where points come from, which trials are ended early, and when it is over.

    `first` are the points of the first trials, wherever they lie; `stops` further rules, each the reason to stop or
    an empty text.
    """

    space: SearchSpace
    searcher: Searcher
    limits: Limits
    seed: int
    pruner: Pruner = field(default_factory=NoPruner)
    first: tuple[Point, ...] = ()
    stops: tuple[StopRule, ...] = ()
    callbacks: tuple[Callback, ...] = ()

    def choose(self, trials: tuple[Trial, ...]) -> Point | Stop:
        """The next point, or why there is none."""
        reason = self.limits.why_stop(trials) or next(filter(None, (rule(trials) for rule in self.stops)), "")
        if reason:
            return Stop(reason)
        number = len(trials)
        if number < len(self.first):
            return self.first[number]
        point = self.searcher.suggest(History(self.space, trials, number, self.seed))
        return Stop("every point of the space that the sampler finds was tried") if point is None else point


def search(objective: Objective, plan: Plan, *, store: TrialStore) -> Found:
    """Makes trials until the plan stops. Failed trials are kept as such; an interrupt is raised."""
    best: tuple[float, Any] | None = None
    while not isinstance(claimed := store.claim(plan.choose), Stop):
        trial, learned = _make(objective, plan, store=store, claimed=claimed)
        if trial.value is not None and (best is None or trial.value < best[0]):
            best = trial.value, learned
    trials = store.trials()
    return Found(trials, None if best is None else best[1], claimed.reason)


def _make(objective: Objective, plan: Plan, *, store: TrialStore, claimed: Trial) -> tuple[Trial, Any]:
    """One trial, kept and told of."""
    others = [trial for trial in store.trials() if trial.number != claimed.number]
    tell = Reporter(store, claimed, hopeless=lambda trial: plan.pruner.hopeless(trial, others))

    def report(step: int, value: float) -> None:
        if reason := tell(step, value):
            raise Pruned(reason)

    assignment = Assignment(
        number=claimed.number,
        point=claimed.parameters,
        seed=plan.seed,
        deadline=plan.limits.deadline(others),
        folder=None if store.folder is None else store.folder / f"{claimed.number:05d}",
        report=report,
    )
    ended, learned = attempt(objective, assignment, clock=plan.limits.clock)
    trial = store.finish(ended)
    emit(plan.callbacks, _event(plan, trial))
    return trial, learned


def _event(plan: Plan, trial: Trial) -> TrialEnded:
    return TrialEnded(
        study=plan.space.model,
        number=trial.number,
        state=str(trial.state),
        value=trial.value,
        parameters=trial.parameters,
        seconds=trial.seconds,
        metrics={f"validation_{metric}": value for metric, value in trial.scores.items()},
        error=trial.error,
    )
