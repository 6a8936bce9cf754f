"""`AdaptiveHyperparameterOptimizer`: a search of any function of some options, that adapts and remembers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError, FitError
from tidewright.tuning.choose import choose_searcher
from tidewright.tuning.limits import Limits
from tidewright.tuning.objective import Assignment, Objective, Outcome
from tidewright.tuning.patterns import Direction, PerformanceTracker
from tidewright.tuning.ranges import Range
from tidewright.tuning.search import Plan, search
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.stops import Convergence
from tidewright.tuning.store import Noted, TrialStore
from tidewright.tuning.trial import Trial, best_trial
from tidewright.tuning.warm import FIRST, pick_best

BACKENDS = {"optuna": "tpe", "hyperopt": "hyperopt", "skopt": "skopt"}  # and the searcher that each is


class OptimizationStrategy(StrEnum):
    """Where points come from: all of them, even draws, the backend's model of the trials, or the same in a space that
    adapts."""

    GRID_SEARCH = "grid_search"
    RANDOM_SEARCH = "random_search"
    BAYESIAN_OPTIMIZATION = "bayesian_optimization"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True, eq=False, slots=True)
class Optimized:
    """The best options that a search found, with their value; `trials` have values in the objective's own direction.

    `reason` says why it ended, `notes` what was done beside what was asked.
    """

    best_parameters: Mapping[str, Any]
    best_value: float
    trials: tuple[Trial, ...]
    tracker: PerformanceTracker
    reason: str
    notes: tuple[str, ...]


class AdaptiveHyperparameterOptimizer:
    """Makes functions small, or large, one search after the other.

    `backend` is "optuna", "hyperopt" or "skopt". With the strategy "adaptive" and `adaptive_search_space` the space
    narrows to where trials were good (`AdaptiveSearchSpace`). A search ends after `max_trials`, or when `patience`
    trials in a row gained nothing (None: not before). With `warm_start` it begins with the best points of the search
    before it that lie in its space. The same seed and calls give the same trials. Raises `ConfigError`.

    >>> from tidewright.tuning.ranges import FloatRange
    >>> optimizer = AdaptiveHyperparameterOptimizer(max_trials=30, strategy="random_search")
    >>> optimizer.optimize(lambda options: (options["x"] - 2.0) ** 2, {"x": FloatRange(0.0, 4.0)}).best_value < 0.1
    True
    >>> len(optimizer.get_optimization_history())
    30
    """

    def __init__(
        self,
        *,
        backend: str = "optuna",
        strategy: OptimizationStrategy | str = OptimizationStrategy.ADAPTIVE,
        adaptive_search_space: bool = True,
        max_trials: int = 100,
        direction: Direction = "minimize",
        patience: int | None = 30,
        warm_start: bool = True,
        seed: int = 42,
    ) -> None:
        if backend not in BACKENDS:
            raise ConfigError(explain_unknown("backend", backend, BACKENDS))
        known = [str(one) for one in OptimizationStrategy]
        if strategy not in known:
            raise ConfigError(explain_unknown("strategy", str(strategy), known))
        if direction not in ("minimize", "maximize"):
            raise ConfigError(f"direction is minimize or maximize; got {direction!r}.")
        self.strategy, self.direction, self.seed = OptimizationStrategy(strategy), direction, seed
        self.backend, self.max_trials, self.warm_start = backend, max_trials, warm_start
        self.adaptive_search_space = adaptive_search_space
        self._stops = () if patience is None else (Convergence(patience),)
        self._history: list[dict[str, Any]] = []
        self._before: tuple[Trial, ...] = ()
        self._searches = 0

    def optimize(
        self, objective: Callable[[dict[str, Any]], float], space: SearchSpace | Mapping[str, Range]
    ) -> Optimized:
        """The best of the trials. One that raises has failed and has no value; raises `FitError` where all have."""
        whole = space if isinstance(space, SearchSpace) else SearchSpace("function", space)
        searcher, notes = choose_searcher(
            self._searcher,
            space=whole,
            trials=self.max_trials,
            adaptive=self.adaptive_search_space and self.strategy is OptimizationStrategy.ADAPTIVE,
        )
        limits = Limits(time.monotonic(), None, self.max_trials, time.monotonic)
        plan = Plan(whole, searcher, limits, self.seed, first=self._first(whole), stops=self._stops)
        found = search(self._turn(objective), plan, store=TrialStore.in_memory())
        best = best_trial(found.trials)
        trials = tuple(replace(one, values=tuple(self._sign * value for value in one.values)) for one in found.trials)
        self._searches += 1
        self._remember(trials)
        if best is None:
            raise FitError(f"none of {len(trials)} trials was complete; the last: {trials[-1].error}")
        self._before = found.trials
        tracker = PerformanceTracker(whole, trials, self.direction)
        value = self._sign * best.values[0]
        return Optimized(dict(best.parameters), value, trials, tracker, found.reason, notes)

    def get_optimization_history(self) -> list[dict[str, Any]]:
        """Every trial of every search, in order: its search and number, how it ended, value, the best so far in that
        search, options, seconds, and what was noted (what the space did, and where a first point is from)."""
        return [dict(row) for row in self._history]

    @property
    def _sign(self) -> float:
        return 1.0 if self.direction == "minimize" else -1.0

    @property
    def _searcher(self) -> str:
        plain = {OptimizationStrategy.GRID_SEARCH: "grid", OptimizationStrategy.RANDOM_SEARCH: "random"}
        return plain.get(self.strategy, BACKENDS[self.backend])

    def _turn(self, objective: Callable[[dict[str, Any]], float]) -> Objective:
        def judge(assignment: Assignment) -> Outcome:
            return Outcome((self._sign * float(objective(dict(assignment.point))),))

        return judge

    def _first(self, space: SearchSpace) -> tuple[Noted, ...]:
        best = pick_best(self._before, space)[:FIRST] if self.warm_start else ()
        return tuple(Noted(point, (f"warm start: trial {number} of the search before",)) for number, _, point in best)

    def _remember(self, trials: tuple[Trial, ...]) -> None:
        best: float | None = None
        for trial in trials:
            value = trial.value
            if value is not None and (best is None or self._sign * value < self._sign * best):
                best = value
            row = {"search": self._searches, "trial": trial.number, "state": str(trial.state), "value": value}
            row |= {"best": best, "parameters": dict(trial.parameters), "seconds": trial.seconds}
            self._history.append({**row, "notes": trial.notes, "error": trial.error})
