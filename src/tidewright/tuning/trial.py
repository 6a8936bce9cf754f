"""`Trial`: one point of a space that was tried, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TRAINING = "train_"  # before the names of scores on training windows


class TrialState(StrEnum):
    """How a trial ended; a running one has not."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial. Trial 0 is the default.

    `values` are what were made small, one an objective, and empty unless the trial is complete; `parameters` are the
    values of the space's options by address; `steps` what it reported: (epoch or fold from 1, value) in the order of
    the report; `scores` further metrics of its validation (and, as train_..., of training); `error` the last line of a
    failed trial's traceback, or why it was pruned; `notes` what was done differently from what was asked; `cut_short`
    says that the budget ended it before it was done learning; `expected_s` is how long it was to take by the trials
    before it, None where there were none. A running trial has only a number, its parameters and steps.
    """

    number: int
    state: TrialState
    values: tuple[float, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    seconds: float = 0.0
    fit_seconds: float = 0.0
    steps: tuple[tuple[int, float], ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()
    cut_short: bool = False
    expected_s: float | None = None

    @property
    def value(self) -> float | None:
        """The first objective's value; None unless the trial is complete."""
        return self.values[0] if self.values else None

    @property
    def losses(self) -> tuple[float, ...]:
        """The reported values, in order."""
        return tuple(value for _, value in self.steps)

    @property
    def finite_steps(self) -> dict[int, float]:
        """The reported values by step, without those that are no finite number."""
        return {step: value for step, value in self.steps if math.isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """The trial as plain data. `from_dict` reads it back."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain = {"state": str(self.state), "parameters": dict(self.parameters), "scores": dict(self.scores)}
        listed = {"values": list(self.values), "steps": [list(pair) for pair in self.steps], "notes": list(self.notes)}
        return {**found, **plain, **listed}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trial:
        """The trial that `to_dict` wrote.

        >>> trial = Trial(3, TrialState.COMPLETE, (0.5,), {"model.hidden": 8}, steps=((1, 0.7), (2, 0.5)))
        >>> Trial.from_dict(trial.to_dict()) == trial
        True
        """
        steps = tuple((int(step), float(value)) for step, value in data["steps"])
        state = TrialState(data["state"])
        whole = {"state": state, "values": tuple(data["values"]), "steps": steps, "notes": tuple(data["notes"])}
        return cls(**{**data, **whole, "parameters": read_point(data["parameters"])})


def read_point(data: Mapping[str, Any]) -> dict[str, Any]:
    """A point as JSON has it, its lists turned back into tuples.

    >>> read_point({"model.hidden": [256, 128]})
    {'model.hidden': (256, 128)}
    """
    return {name: _freeze(value) for name, value in data.items()}


def _freeze(value: Any) -> Any:
    return tuple(_freeze(one) for one in value) if isinstance(value, list) else value


def best_trial(trials: tuple[Trial, ...] | list[Trial]) -> Trial | None:
    """The complete trial whose first value is the smallest, the earliest of equals; None where none is complete."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return min(complete, key=lambda trial: (trial.values[0], trial.number), default=None)
