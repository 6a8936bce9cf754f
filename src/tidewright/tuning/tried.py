"""`Tried`: the trials of a space and what they were judged by, all that pictures of a search are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidewright.errors import ConfigError
from tidewright.metrics.accuracy import METRICS
from tidewright.metrics.returns import OBJECTIVES
from tidewright.tuning.goals import Goal, find_goal
from tidewright.tuning.repeats import best_of, judge_best
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.study import Study
from tidewright.tuning.trial import Trial, TrialState


@dataclass(frozen=True, eq=False, slots=True)
class Tried:
    """Trials of a space, running and failed ones too, with a goal for each of their values."""

    space: SearchSpace
    trials: tuple[Trial, ...]
    goals: tuple[Goal, ...]

    @classmethod
    def of(cls, study: Study | Tried) -> Tried:
        """Those of a study."""
        return study if isinstance(study, Tried) else cls(study.space, study.trials, (study.goal,))

    @property
    def scored(self) -> tuple[Trial, ...]:
        """The complete trials whose every value is finite."""
        return tuple(
            trial
            for trial in self.trials
            if trial.state is TrialState.COMPLETE and all(math.isfinite(value) for value in trial.values)
        )

    @property
    def best(self) -> Trial | None:
        """The best one by the first value, as a search says it (`judge_best`); None where none is complete."""
        return best_of(self.scored)

    @property
    def value(self) -> float | None:
        """What the best one is worth, to be made small, as a search says it."""
        found = judge_best(self.scored)
        return None if found is None else found[1]

    def count(self, state: TrialState) -> int:
        """How many ended that way."""
        return sum(trial.state is state for trial in self.trials)


def read_tried(
    storage: str | Path, *, space: SearchSpace, metrics: Sequence[str] = ("mase",), name: str | None = None
) -> Tried:
    """The trials that are kept at an address (see `open_store`), also while others add to them.

    `metrics` names their values; a name that is no metric is something that is made small. Raises `ConfigError` where
    no trial is kept there.
    """
    from tidewright.tuning.open_store import SQLITE, open_store

    name = name or space.model
    text = str(storage)
    place = Path(text.removeprefix(SQLITE))
    if (SQLITE in text or "://" not in text) and not place.exists():
        raise ConfigError(f"there is no study at '{text}'. Give the folder or address that it was kept at.")
    store = open_store(storage, name=name, objectives=len(metrics))
    try:
        trials = store.trials()
    finally:
        store.close()
    if not trials:
        raise ConfigError(f"no trial of the study '{name}' is kept at '{text}'. Give its own name.")
    return Tried(space, trials, tuple(map(_goal_of, metrics)))


def _goal_of(name: str) -> Goal:
    known = name in METRICS or name in OBJECTIVES
    return find_goal(name) if known else Goal(name, "forecasts", "lower", "")
