"""Tree-structured Parzen estimators (Bergstra et al. 2011), multivariate, of Optuna."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tidewright.optional import require
from tidewright.tuning.searchers.searcher import History, label_point
from tidewright.tuning.space import Choice, IntRange, Range, SearchSpace
from tidewright.tuning.trial import Trial, TrialState

MOST_REPEATS = 100
STARTUP_TRIALS = 10


class TPESearcher:
    """Suggests by TPE; the first `STARTUP_TRIALS` points are drawn evenly."""

    def __init__(self) -> None:
        self._mirror: Mirror | None = None

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        optuna = require("optuna", extra="tuning", purpose="tuning")
        mirror = self._mirror = Mirror.follow(self._mirror, history)
        for turn in range(MOST_REPEATS):
            if len(mirror.tried) >= history.space.size:
                return None
            sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=seed_of(history, turn))
            point = mirror.sample(sampler)
            if label_point(point) not in mirror.tried:
                return point
        return None


class Mirror:
    """The ended trials of a history as an Optuna study in memory; grows as the history does."""

    def __init__(self, space: SearchSpace) -> None:
        self.space, self.tried = space, set[str]()
        self._optuna = require("optuna", extra="tuning", purpose="tuning")
        self._ranges = {name: distribution_of(one, self._optuna) for name, one in space.ranges.items()}
        self._told: dict[int, Trial] = {}
        with quiet(self._optuna):
            self._study = self._optuna.create_study()

    @classmethod
    def follow(cls, mirror: Mirror | None, history: History) -> Mirror:
        """The mirror brought up to a history; a new one where the old one is of another."""
        ended = [trial for trial in history.trials if trial.state is not TrialState.RUNNING]
        if mirror is None or not mirror._is_of(history.space, ended):
            mirror = cls(history.space)
        for trial in ended:
            if trial.number not in mirror._told:
                mirror._tell(trial)
        held = [trial.parameters for trial in history.trials if history.space.holds(trial.parameters)]
        names = history.space.names
        mirror.tried |= {label_point({name: point[name] for name in names if name in point}) for point in held}
        return mirror

    def sample(self, sampler: Any) -> dict[str, Any]:
        """A point that the sampler draws. The draw stays in the study as a failure, which no sampler heeds."""
        with quiet(self._optuna):
            self._study.sampler = sampler
            handle = self._study.ask(self._ranges)
            self._study.tell(handle, state=self._optuna.trial.TrialState.FAIL)
        drawn = {name: decode(self.space.ranges[name], value) for name, value in handle.params.items()}
        return self.space.settle(drawn)

    def _is_of(self, space: SearchSpace, ended: list[Trial]) -> bool:
        by_number = {trial.number: trial for trial in ended}
        return self.space is space and all(by_number.get(number) is told for number, told in self._told.items())

    def _tell(self, trial: Trial) -> None:
        self._told[trial.number] = trial
        if not self.space.holds(trial.parameters):
            return
        states = self._optuna.trial.TrialState
        state = {
            TrialState.COMPLETE: states.COMPLETE,
            TrialState.PRUNED: states.PRUNED,
            TrialState.FAILED: states.FAIL,
        }[trial.state]
        there = {name: one for name, one in self.space.ranges.items() if name in trial.parameters}
        with quiet(self._optuna):
            told = self._optuna.trial.create_trial(
                state=state,
                values=list(trial.values[:1]) or None,
                params={name: encode(one, trial.parameters[name]) for name, one in there.items()},
                distributions={name: self._ranges[name] for name in there},
                intermediate_values=trial.finite_steps,
            )
            self._study.add_trial(told)


def seed_of(history: History, turn: int = 0) -> int:
    """A seed that depends on the study's seed, the number of the trial and the turn alone."""
    return int(np.random.SeedSequence([history.seed, history.number, turn]).generate_state(1)[0])


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Optuna's own logger says warnings only, for a while; no handler is touched."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def distribution_of(one: Range, optuna: Any) -> Any:
    """A range as Optuna has it; choices go by their labels, for it takes no tuples."""
    kinds = optuna.distributions
    if isinstance(one, Choice):
        return kinds.CategoricalDistribution(one.labels)
    kind = kinds.IntDistribution if isinstance(one, IntRange) else kinds.FloatDistribution
    return kind(one.low, one.high, log=one.log, step=one.step)


def encode(one: Range, value: Any) -> Any:
    """A value as Optuna has it."""
    return json.dumps(value) if isinstance(one, Choice) else value


def decode(one: Range, value: Any) -> Any:
    """A value of Optuna's as the space has it."""
    return one.choices[one.labels.index(value)] if isinstance(one, Choice) else value
