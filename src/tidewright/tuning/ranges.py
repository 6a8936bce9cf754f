"""The values that an option of a search may take: numbers, whole numbers, or one of a few values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
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

    def values(self) -> Sequence[float]:
        """Every value, ascending. Raises `ConfigError` where there is no end of them."""
        if self.low == self.high:
            return (self.low,)
        if self.step is None:
            raise ConfigError(
                f"the numbers from {self.low:g} to {self.high:g} can't be listed. Give a step, or search at random."
            )
        return tuple(min(self.low + k * self.step, self.high) for k in range(int(self.size)))

    def holds(self, value: Any) -> bool:
        """Whether the range has that value."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (self.step is None or _divides(self.step, value - self.low))

    def nearest(self, value: float) -> float:
        """The value of the range that is nearest to a number."""
        if self.step is not None:
            value = self.low + round((value - self.low) / self.step) * self.step
        return float(min(max(value, self.low), self.high))

    def to_dict(self) -> dict[str, Any]:
        """The range as it is written in YAML."""
        return _describe("float", self, step=self.step)

    def __str__(self) -> str:
        return _show(self, step=self.step)


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

    def values(self) -> Sequence[int]:
        """Every value, ascending."""
        return range(self.low, self.high + 1, self.step)

    def holds(self, value: Any) -> bool:
        """Whether the range has that value."""
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def nearest(self, value: float) -> int:
        """The value of the range that is nearest to a number."""
        found = self.low + round((value - self.low) / self.step) * self.step
        return min(max(found, self.low), self.high)

    def to_dict(self) -> dict[str, Any]:
        """The range as it is written in YAML."""
        return _describe("int", self, step=None if self.step == 1 else self.step)

    def __str__(self) -> str:
        return _show(self, step=None if self.step == 1 else self.step)


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

    def values(self) -> Sequence[Any]:
        """Every value, in order."""
        return self.choices

    def holds(self, value: Any) -> bool:
        """Whether the value is one of the choices."""
        return json.dumps(value) in self.labels

    def to_dict(self) -> dict[str, Any]:
        """The choice as it is written in YAML."""
        return {"type": "choice", "choices": [json.loads(label) for label in self.labels]}

    def __str__(self) -> str:
        return "one of " + ", ".join(self.labels)


Range = FloatRange | IntRange | Choice


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


def _show(bounds: FloatRange | IntRange, *, step: float | None) -> str:
    notes = [", whole"] if isinstance(bounds, IntRange) else []
    notes += [", log scale"] if bounds.log else []
    notes += [f", step {show_number(step)}"] if step is not None else []
    return f"{show_number(bounds.low)} to {show_number(bounds.high)}" + "".join(notes)


def show_number(value: float) -> str:
    """The shortest text that is this very number.

    >>> show_number(0.5), show_number(3), show_number(0.12345678)
    ('0.5', '3', '0.12345678')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
