"""`Searcher`: the next point of a space, as a function of what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tidewright.errors import ConfigError
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial


@dataclass(frozen=True, eq=False, slots=True)
class History:
    """What a searcher may know: the space, every trial so far in the order of its number, running ones too, the
    number of the trial that is asked for, and the study's seed."""

    space: SearchSpace
    trials: tuple[Trial, ...]
    number: int
    seed: int


class Searcher(Protocol):
    """Suggests points. The same history gives the same point, whatever else this object was asked before."""

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """A point that no trial of the history has; None where it finds none."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A searcher that has something to say of the point that it suggests."""

    def explain(self, history: History) -> tuple[str, ...]:
        """What is noted with the trial of the point that it suggests after this history."""
        ...


def need_one_objective(history: History, name: str) -> None:
    """Raises `ConfigError` where the trials have several objectives."""
    several = next((len(trial.values) for trial in history.trials if len(trial.values) > 1), 0)
    if several:
        raise ConfigError(f"{name} makes one objective small; the trials have {several}. Take nsga2, tpe or gp.")
