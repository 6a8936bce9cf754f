"""`TrialStore`: the record of a study's trials, on a storage of Optuna's. What is in it is all that a study is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from tidewright.errors import ConfigError
from tidewright.optional import require
from tidewright.tuning.alive import Holds, OwnHolds
from tidewright.tuning.searchers.optuna_study import quiet
from tidewright.tuning.trial import Trial, TrialState, read_point

POINT, NOTES, TOLD, SPENT, DEATHS = "point", "notes", "told", "spent", "deaths"  # attributes of a trial in the storage
IDENTITY, KEY, FIRST = "identity", "key", "first"  # attributes of the study
RETRIES = 3  # times in a row that a trial is taken up again without a new step

Point = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stop:
    """No further trial is begun, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A point, and what is to be noted with its trial from the start."""

    point: Point
    notes: tuple[str, ...]


class TrialStore:
    """The trials of one study. Several threads or processes may hold stores on the same storage.

    `claiming` is held while a point is chosen, so that no two workers choose from the same history; `holds` know whose
    workers are alive; `folder` is where trials keep files of their own, None in memory. A trial whose worker died is
    taken up again; where the searches around it lived on, at most `retries` times in a row without a new step, and then
    it has failed. `close` ends what it holds open.
    """

    def __init__(
        self,
        storage: Any,
        *,
        name: str,
        objectives: int = 1,
        claiming: AbstractContextManager[Any] | None = None,
        holds: Holds | None = None,
        folder: Path | None = None,
        retries: int = RETRIES,
        closing: Callable[[], None] = lambda: None,
    ) -> None:
        self._optuna = require("optuna", extra="tuning", purpose="tuning")
        self._storage, self._claiming = storage, claiming or threading.Lock()
        self._holds, self.name, self._retries = holds or OwnHolds(), name, retries
        self.folder = None if folder is None else folder.absolute()  # a worker may be elsewhere
        self.close = closing
        self._ended: dict[int, Trial] = {}
        self._ids: dict[int, int] = {}
        self._mine: dict[int, tuple[int, dict[int, float]]] = {}  # of trials it holds: deaths, steps
        self._alive: set[int] = set()  # trials whose workers it saw at work
        self.seen: tuple[Trial, ...] = ()
        minimise = self._optuna.study.StudyDirection.MINIMIZE
        with quiet(self._optuna), self._claiming:
            try:
                self._study = storage.get_study_id_from_name(name)
            except KeyError:
                self._study = storage.create_new_study([minimise] * objectives, name)

    @classmethod
    def in_memory(cls, *, objectives: int = 1) -> TrialStore:
        """A store that ends with the process."""
        optuna = require("optuna", extra="tuning", purpose="tuning")
        return cls(optuna.storages.InMemoryStorage(), name="study", objectives=objectives)

    def identify(self, facts: Mapping[str, str]) -> None:
        """Says what is searched; the first one to say so is the one who is right. Raises `ConfigError`."""
        with self._claiming:
            known = self._storage.get_study_user_attrs(self._study).get(IDENTITY)
            if known is None:
                self._storage.set_study_user_attr(self._study, IDENTITY, dict(facts))
                return
        names = [name for name in {**known, **facts} if known.get(name) != facts.get(name)]
        if names:
            others = "; ".join(f"its {name} is {known.get(name)}, not {facts.get(name)}" for name in names)
            raise ConfigError(
                f"the study '{self.name}' that is kept there is another one: {others}. Ask for the same, or give "
                "another name or folder."
            )

    def begin_with(self, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What the study began with, as plain data: that which `make` gave the first time somebody asked."""
        with self._claiming:
            known = self._storage.get_study_user_attrs(self._study).get(FIRST)
            if known is None:
                known = json.loads(json.dumps(make()))
                self._storage.set_study_user_attr(self._study, FIRST, known)
        return dict(known)

    def begun(self) -> Mapping[str, Any] | None:
        """What `begin_with` gave; None where nobody asked."""
        return self._storage.get_study_user_attrs(self._study).get(FIRST)  # type: ignore[no-any-return]  # plain data

    def facts(self) -> dict[str, str]:
        """What is searched, as `identify` was told; empty where it was not."""
        return dict(self._storage.get_study_user_attrs(self._study).get(IDENTITY, {}))

    @property
    def key(self) -> str:
        """Twelve digits that name this study and no other one."""
        with self._claiming:
            known = self._storage.get_study_user_attrs(self._study).get(KEY)
            if known is None:
                known = uuid4().hex[:12]
                self._storage.set_study_user_attr(self._study, KEY, known)
        return str(known)

    def trials(self) -> tuple[Trial, ...]:
        """Every trial so far, in the order of its number."""
        return tuple(self._read(frozen) for frozen in self._storage.get_all_trials(self._study, deepcopy=False))

    def spent(self) -> float:
        """The seconds that the study took until the last sign of life of any of its trials."""
        return max(map(self._when, self._storage.get_all_trials(self._study, deepcopy=False)), default=0.0)

    def claim(
        self, choose: Callable[[tuple[Trial, ...]], Point | Noted | Stop], *, spent: float = 0.0, late: bool = False
    ) -> Trial | Stop:
        """A running trial that is this worker's until it ends it or lets it go, or why there is none: one whose worker
        died, with what it had reported, but not where it is too `late`; else a new one at the point that `choose`
        takes, given every trial so far. `spent` are the seconds that the study took up to now.
        """
        with self._claiming:
            self.seen = self.trials()
            if not late and (again := self._take_up()) is not None:
                return again
            chosen = choose(self.seen)
            if isinstance(chosen, Stop):
                return chosen
            point, notes = (chosen.point, chosen.notes) if isinstance(chosen, Noted) else (chosen, ())
            told = {POINT: json.dumps(dict(point)), SPENT: spent} | ({NOTES: list(notes)} if notes else {})
            running = self._optuna.trial.TrialState.RUNNING
            frozen = self._optuna.trial.create_trial(state=running, user_attrs=told)
            made = self._storage.create_new_trial(self._study, template_trial=frozen)
            number = self._storage.get_trial_number_from_id(made)
            self._ids[number] = made
            self._holds.take(number)
            self._mine[number] = 0, {}
        return Trial(number, TrialState.RUNNING, parameters=dict(point), notes=notes)

    def report(self, number: int, *, step: int, value: float, spent: float = 0.0) -> None:
        """Keeps what a running trial reported, as long as it is this worker's."""
        if self.owns(number, spent=spent):
            self._storage.set_trial_intermediate_value(self._id(number), step, value)
            self._mine[number][1][step] = value

    def owns(self, number: int, *, spent: float = 0.0) -> bool:
        """Gives a sign of life; whether the trial is still this worker's."""
        self._holds.note(number, spent)
        return self._holds.owns(number)

    def finish(self, trial: Trial, *, spent: float = 0.0) -> Trial:
        """Keeps how a trial ended; gives it back with the steps that it reported."""
        one = self._id(trial.number)
        died, steps = self._mine.pop(trial.number)
        notes = (f"taken up again {died} times after its worker died",) if died else ()
        told = replace(trial, steps=(), notes=(*trial.notes, *notes))
        self._storage.set_trial_user_attr(one, TOLD, json.dumps({"trial": told.to_dict(), SPENT: spent}))
        self._end(one, trial)
        self._holds.drop(trial.number, ended=True)
        self._ended[trial.number] = replace(told, steps=tuple(sorted(steps.items())))
        return self._ended[trial.number]

    def let_go(self, number: int, *, died: bool) -> None:
        """Gives up a running trial, which another may take up; that its worker `died` counts against it."""
        if died:
            self._alive.add(number)
        else:
            one = self._id(number)
            deaths = self._storage.get_trial_user_attrs(one).get(DEATHS, {"row": 0, "all": 0, "steps": 0})
            self._storage.set_trial_user_attr(one, DEATHS, {**deaths, "all": deaths["all"] - 1})
        self._holds.drop(number, ended=False)

    def _take_up(self) -> Trial | None:
        """The first running trial that nobody holds and that may be tried again; this worker's from now on."""
        for trial in self.seen:
            if trial.state is not TrialState.RUNNING:
                continue
            if not self._holds.take(trial.number):
                self._alive.add(trial.number)
            elif self._is_open(trial):
                return trial
        if any(trial.state is TrialState.RUNNING for trial in self.seen):  # some may have been ended here
            self.seen = self.trials()
        return None

    def _is_open(self, trial: Trial) -> bool:
        """Whether a trial whose worker died is to be done; else it is ended here."""
        one = self._id(trial.number)
        now = self._storage.get_trial(one)
        if now.state.is_finished():  # since it was read
            self._holds.drop(trial.number, ended=True)
            return False
        known = now.user_attrs
        if TOLD in known:  # it died between saying how it ended and ending it
            self._end(one, Trial.from_dict(json.loads(known[TOLD])["trial"]))
            self._holds.drop(trial.number, ended=True)
            return False
        before = known.get(DEATHS, {"row": 0, "all": 0, "steps": 0})
        row = before["row"] if before["steps"] == len(trial.steps) else 0
        row += trial.number in self._alive  # one that died with its whole search is not to blame
        if row > self._retries:
            error = f"its worker died {row} times in a row, the last time after {len(trial.steps)} steps"
            self._mine[trial.number] = before["all"], dict(trial.steps)
            failed = replace(trial, state=TrialState.FAILED, steps=(), error=error)
            self.finish(failed, spent=self._holds.last(trial.number))
            return False
        deaths = {"row": row, "all": before["all"] + 1, "steps": len(trial.steps)}
        self._storage.set_trial_user_attr(one, DEATHS, deaths)
        self._mine[trial.number] = deaths["all"], dict(trial.steps)
        return True

    def _end(self, one: int, trial: Trial) -> None:
        states = self._optuna.trial.TrialState
        state = {TrialState.COMPLETE: states.COMPLETE, TrialState.PRUNED: states.PRUNED, TrialState.FAILED: states.FAIL}
        self._storage.set_trial_state_values(one, state[trial.state], list(trial.values) or None)

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
            notes = tuple(frozen.user_attrs.get(NOTES, ()))
            return Trial(frozen.number, TrialState.RUNNING, parameters=point, steps=steps, notes=notes)
        told = Trial.from_dict(json.loads(frozen.user_attrs[TOLD])["trial"])
        self._ended[frozen.number] = replace(told, steps=steps)
        return self._ended[frozen.number]

    def _when(self, frozen: Any) -> float:
        """The seconds that the study took until the last sign of life of a trial."""
        attributes = frozen.user_attrs
        if TOLD in attributes:
            return float(json.loads(attributes[TOLD])[SPENT])
        return max(float(attributes[SPENT]), self._holds.last(frozen.number))
