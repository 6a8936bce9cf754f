"""`SearchSpace`: which options a search may change, and between what, as frozen data.

An option is addressed by its record and its name: `model.hidden`, `train.learning_rate`, `view.lookback`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tidewright.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FloatRange:
    """Numbers from low to high, both included. `log`: equal ratios are equally likely; `step`: low + k
    step."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _check_bounds(self, step=self.step)

    @property
    def size(self) -> float:
        """How many different values there are."""
        if self.low == self.high:
            return 1
        return math.inf if self.step is None else round((self.high - self.low) / self.step) + 1

    def holds(self, value: Any) -> bool:
        """Whether the range has that value."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (self.step is None or _divides(self.step, value - self.low))

    def to_dict(self) -> dict[str, Any]:
        """The range as it is written in YAML."""
        return _describe("float", self, step=self.step)


@dataclass(frozen=True, slots=True)
class IntRange:
    """Whole numbers from low to high, both included; `log` and `step` as for `FloatRange`."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        _check_bounds(self, step=None if self.step == 1 else self.step)

    @property
    def size(self) -> float:
        """How many different values there are."""
        return (self.high - self.low) // self.step + 1

    def holds(self, value: Any) -> bool:
        """Whether the range has that value."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def to_dict(self) -> dict[str, Any]:
        """The range as it is written in YAML."""
        return _describe("int", self, step=None if self.step == 1 else self.step)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values, with no order among them."""

    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.choices:
            raise ConfigError("choices is empty. Give one value or more.")
        labels = self.labels
        double = next((label for i, label in enumerate(labels) if label in labels[:i]), None)
        if double is not None:
            raise ConfigError(f"choices holds {double} twice. Keep one of them.")

    @property
    def labels(self) -> tuple[str, ...]:
        """Each value as text, in order."""
        return tuple(json.dumps(choice) for choice in self.choices)

    @property
    def size(self) -> float:
        """How many different values there are."""
        return len(self.choices)

    def holds(self, value: Any) -> bool:
        """Whether the value is one of the choices."""
        return json.dumps(value) in self.labels

    def to_dict(self) -> dict[str, Any]:
        """The choice as it is written in YAML."""
        return {"type": "choice", "choices": [json.loads(label) for label in self.labels]}


Range = FloatRange | IntRange | Choice


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The options of one model that a search may change, made and checked by `read_space`. Prints as a table.

    >>> space = SearchSpace("lstm", {"model.hidden": IntRange(16, 64, step=16)})
    >>> space.names, space.size
    (('model.hidden',), 4)
    >>> print(space)
    lstm
      model.hidden  16 to 64, whole, step 16
    """

    model: str
    ranges: Mapping[str, Range]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", MappingProxyType(dict(self.ranges)))

    @property
    def names(self) -> tuple[str, ...]:
        """The addresses of the options, in the order of the file."""
        return tuple(self.ranges)

    @property
    def size(self) -> float:
        """How many different points there are; infinite when an option is continuous."""
        return math.prod(one.size for one in self.ranges.values())

    def holds(self, point: Mapping[str, Any]) -> bool:
        """Whether every option of the space has a value in the point that lies in its range."""
        return all(name in point and one.holds(point[name]) for name, one in self.ranges.items())

    def to_dict(self) -> dict[str, Any]:
        """The space as it is written in YAML."""
        return {
            "model": self.model,
            "parameters": {name: one.to_dict() for name, one in self.ranges.items()},
        }

    def __str__(self) -> str:
        width = max(map(len, self.names), default=0)
        lines = [f"  {name:<{width}}  {_show(one)}" for name, one in self.ranges.items()]
        return "\n".join([self.model, *lines])

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict()))


def _check_bounds(bounds: FloatRange | IntRange, *, step: float | None) -> None:
    low, high = bounds.low, bounds.high
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigError(f"low {low:g} and high {high:g} are no range. Give finite numbers, low at most high.")
    if bounds.log and low <= 0:
        raise ConfigError(f"a log scale needs a low above 0; got {low:g}. Raise it, or leave log out.")
    if step is None:
        return
    if bounds.log:
        raise ConfigError(f"step {step:g} and log don't go together. Leave one of them out.")
    if not (math.isfinite(step) and step > 0):
        raise ConfigError(f"step is the distance between two values, above 0; got {step:g}.")
    if not _divides(step, high - low):
        nearest = low + math.floor((high - low) / step) * step
        raise ConfigError(
            f"high {high:g} is not low {low:g} plus steps of {step:g}. Take {nearest:g} or {nearest + step:g}."
        )


def _divides(step: float, distance: float) -> bool:
    return abs(distance / step - round(distance / step)) < 1e-9


def _describe(kind: str, bounds: FloatRange | IntRange, *, step: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "low": bounds.low, "high": bounds.high}
    if bounds.log:
        found["log"] = True
    if step is not None:
        found["step"] = step
    return found


def _show(one: Range) -> str:
    if isinstance(one, Choice):
        return "one of " + ", ".join(one.labels)
    notes = [", whole"] if isinstance(one, IntRange) else []
    notes += [", log scale"] if one.log else []
    notes += [f", step {one.step:g}"] if one.step not in (None, 1) else []
    return f"{one.low:g} to {one.high:g}" + "".join(notes)
