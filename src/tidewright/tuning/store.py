"""`TrialStore`: the record of a study's trials, on a storage of Optuna's. What is in it is all that a study is."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tidewright.optional import require
from tidewright.tuning.searchers.optuna_study import quiet
from tidewright.tuning.trial import Trial, TrialState, read_point

POINT, TOLD = "point", "told"  # attributes of a trial in the storage: its parameters, and what came of it

Point = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stop:
    """No further trial is begun, and why."""

    reason: str


class TrialStore:
    """The trials of one study. Several threads or processes may hold stores on the same storage.

    `claiming` is held while a point is chosen, so that no two workers choose from the same history; `folder` is where
    trials keep files of their own, None in memory.
    """

    def __init__(
        self,
        storage: Any,
        *,
        name: str,
        objectives: int = 1,
        claiming: AbstractContextManager[Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._optuna = require("optuna", extra="tuning", purpose="tuning")
        self._storage, self._claiming, self.folder = storage, claiming or threading.Lock(), folder
        self._ended: dict[int, Trial] = {}
        self._ids: dict[int, int] = {}
        minimise = self._optuna.study.StudyDirection.MINIMIZE
        with quiet(self._optuna):
            try:
                self._study = storage.create_new_study([minimise] * objectives, name)
            except self._optuna.exceptions.DuplicatedStudyError:
                self._study = storage.get_study_id_from_name(name)

    @classmethod
    def in_memory(cls, *, objectives: int = 1) -> TrialStore:
        """A store that ends with the process."""
        optuna = require("optuna", extra="tuning", purpose="tuning")
        return cls(optuna.storages.InMemoryStorage(), name="study", objectives=objectives)

    def trials(self) -> tuple[Trial, ...]:
        """Every trial so far, in the order of its number."""
        return tuple(self._read(frozen) for frozen in self._storage.get_all_trials(self._study, deepcopy=False))

    def claim(self, choose: Callable[[tuple[Trial, ...]], Point | Stop]) -> Trial | Stop:
        """A new running trial at the point that `choose` takes, given every trial so far; or why there is none."""
        with self._claiming:
            chosen = choose(self.trials())
            if isinstance(chosen, Stop):
                return chosen
            frozen = self._optuna.trial.create_trial(
                state=self._optuna.trial.TrialState.RUNNING, user_attrs={POINT: json.dumps(dict(chosen))}
            )
            made = self._storage.create_new_trial(self._study, template_trial=frozen)
            number = self._storage.get_trial_number_from_id(made)
            self._ids[number] = made
        return Trial(number, TrialState.RUNNING, parameters=dict(chosen))

    def report(self, number: int, *, step: int, value: float) -> None:
        """Keeps what a running trial reported."""
        self._storage.set_trial_intermediate_value(self._id(number), step, value)

    def finish(self, trial: Trial) -> Trial:
        """Keeps how a trial ended; gives it back with the steps that it reported."""
        one = self._id(trial.number)
        self._storage.set_trial_user_attr(one, TOLD, json.dumps(replace(trial, steps=()).to_dict()))
        states = self._optuna.trial.TrialState
        state = {TrialState.COMPLETE: states.COMPLETE, TrialState.PRUNED: states.PRUNED, TrialState.FAILED: states.FAIL}
        self._storage.set_trial_state_values(one, state[trial.state], list(trial.values) or None)
        return self._read(self._storage.get_trial(one))

    def _id(self, number: int) -> int:
        if number not in self._ids:
            self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(self._study, number)
        return self._ids[number]

    def _read(self, frozen: Any) -> Trial:
        if frozen.number in self._ended:
            return self._ended[frozen.number]
        steps = tuple(sorted(frozen.intermediate_values.items()))
        if not frozen.state.is_finished():
            point = read_point(json.loads(frozen.user_attrs[POINT]))
            return Trial(frozen.number, TrialState.RUNNING, parameters=point, steps=steps)
        told = Trial.from_dict(json.loads(frozen.user_attrs[TOLD]))
        self._ended[frozen.number] = replace(told, steps=steps)
        return self._ended[frozen.number]


class Reporter:
    """What a trial reports, kept in the store; the same step is kept once."""

    def __init__(self, store: TrialStore, trial: Trial, *, hopeless: Callable[[Trial], str]) -> None:
        self._store, self._trial, self._hopeless = store, trial, hopeless

    def __call__(self, step: int, value: float) -> str:
        """Why the trial is hopeless, empty where it is not."""
        if step in dict(self._trial.steps):
            return ""
        self._store.report(self._trial.number, step=step, value=value)
        self._trial = replace(self._trial, steps=(*self._trial.steps, (step, value)))
        return self._hopeless(self._trial) if math.isfinite(value) else ""
