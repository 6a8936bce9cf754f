"""A history as an Optuna study in memory, for searchers of Optuna's."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tidewright.optional import require
from tidewright.tuning.ranges import Choice, IntRange, Range
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial, TrialState


class Mirror:
    """The trials of a history, those inside its space, as a study; grows as the history does.

    A running trial stands there as a pruned one that reported nothing, which is the worst of all.
    """

    def __init__(self, space: SearchSpace, *, objectives: int) -> None:
        self.space, self.objectives = space, objectives
        self._optuna = require("optuna", extra="tuning", purpose="tuning")
        self._ranges = {name: distribution_of(one, self._optuna) for name, one in space.ranges.items()}
        self._told: list[Trial] = []
        with quiet(self._optuna):
            self._storage = self._optuna.storages.InMemoryStorage()
            self._study = self._optuna.create_study(storage=self._storage, directions=["minimize"] * objectives)

    @classmethod
    def follow(cls, mirror: Mirror | None, history: History) -> Mirror:
        """The mirror brought up to a history; a new one unless the history only goes on where the mirror ends."""
        objectives = max((len(trial.values) for trial in history.trials), default=1) or 1
        if mirror is None or not mirror._begins(history, objectives):
            mirror = cls(history.space, objectives=objectives)
        for trial in history.trials[len(mirror._told) :]:
            mirror._told.append(trial)
            if history.space.holds(trial.parameters):
                with quiet(mirror._optuna):
                    mirror._study.add_trial(mirror._freeze(trial))
        return mirror

    def sample(self, sampler: Any) -> dict[str, Any]:
        """A legal point that the sampler draws; the study is left as it was."""
        with quiet(self._optuna):
            asked = self._optuna.trial.create_trial(state=self._optuna.trial.TrialState.WAITING)
            # a study object keeps the trials that it first read, so each sample has one of its own
            study = self._optuna.load_study(study_name=self._study.study_name, storage=self._storage)
            drawn = sampler.sample_relative(study, asked, sampler.infer_relative_search_space(study, asked))
            for name, one in self._ranges.items():
                if name not in drawn:
                    drawn[name] = sampler.sample_independent(study, asked, name, one)
        return self.space.settle({name: decode(one, drawn[name]) for name, one in self.space.ranges.items()})

    def _begins(self, history: History, objectives: int) -> bool:
        told = self._told
        alike = history.space is self.space and objectives == self.objectives and len(told) <= len(history.trials)
        return alike and all(known is trial for known, trial in zip(told, history.trials, strict=False))

    def _freeze(self, trial: Trial) -> Any:
        states = self._optuna.trial.TrialState
        state = {TrialState.COMPLETE: states.COMPLETE, TrialState.FAILED: states.FAIL}.get(trial.state, states.PRUNED)
        there = {name: one for name, one in self.space.ranges.items() if name in trial.parameters}
        running = trial.state is TrialState.RUNNING
        return self._optuna.trial.create_trial(
            state=state,
            values=list(trial.values) or None,
            params={name: encode(one, trial.parameters[name]) for name, one in there.items()},
            distributions={name: self._ranges[name] for name in there},
            intermediate_values={} if running else trial.finite_steps,
        )


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Optuna's own logger says warnings only, for a while, and none of what is experimental; no handler is touched."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
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
