"""`Rule`: how an option of a space depends on others: when there is one at all, and between what.

A point is walked option by option; those that a rule names come first, so a rule always knows their values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Any

from tidewright.errors import ConfigError
from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range, show_number

MOST_CHECKED = 10_000  # combinations of the values that a rule looks at; beyond, its corners are checked
SLACK = 1e-9  # what rounding may take from a bound that is a whole number


@dataclass(frozen=True, slots=True)
class Of:
    """A bound that another option sets: `times` its value, plus `plus`."""

    name: str
    times: float = 1.0
    plus: float = 0.0

    def at(self, value: float) -> float:
        """The bound at a value of that option."""
        return self.times * value + self.plus

    def __str__(self) -> str:
        scaled = self.name if self.times == 1.0 else f"{show_number(self.times)} {self.name}"
        sign = "+" if self.plus > 0 else "-"
        return scaled if not self.plus else f"{scaled} {sign} {show_number(abs(self.plus))}"


@dataclass(frozen=True, slots=True)
class Rule:
    """The option is there only while each option of `when` has a value of its range there; `low` and `high` narrow its
    range, and its values are multiples of each number or option of `multiple_of`.

    Where an option that it names isn't there, neither is this one.
    """

    when: Mapping[str, Range] = field(default_factory=dict, hash=False)
    low: Of | None = None
    high: Of | None = None
    multiple_of: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "when", MappingProxyType(dict(self.when)))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy can't be sent to another process
        return Rule, (dict(self.when), self.low, self.high, self.multiple_of)

    @property
    def names(self) -> tuple[str, ...]:
        """The options that it looks at."""
        bounds = [bound.name for bound in (self.low, self.high) if bound is not None]
        return tuple(dict.fromkeys([*self.when, *bounds, *(n for n in self.multiple_of if isinstance(n, str))]))

    @property
    def narrows(self) -> bool:
        """Whether it changes the range, beside saying when there is one."""
        return self.low is not None or self.high is not None or bool(self.multiple_of)

    def applies(self, point: Mapping[str, Any]) -> bool:
        """Whether the option is there at a point, which has those that come before it."""
        return all(name in point for name in self.names) and all(
            one.holds(point[name]) for name, one in self.when.items()
        )

    def narrow(self, widest: Range, point: Mapping[str, Any]) -> Range:
        """What is left of the widest range at a point. Raises `ConfigError` where that is nothing."""
        if isinstance(widest, Choice) or not self.narrows:
            return widest
        low, high = self._bounds(widest, point)
        if isinstance(widest, FloatRange):
            return _cut_floats(widest, low, high)
        return _cut_ints(widest, low, high, multiple=self._multiple(point))

    def _bounds(self, widest: FloatRange | IntRange, point: Mapping[str, Any]) -> tuple[float, float]:
        low = widest.low if self.low is None else max(widest.low, self.low.at(point[self.low.name]))
        high = widest.high if self.high is None else min(widest.high, self.high.at(point[self.high.name]))
        return low, high

    def _multiple(self, point: Mapping[str, Any]) -> int | None:
        if not self.multiple_of:
            return None
        return math.lcm(*(point[one] if isinstance(one, str) else one for one in self.multiple_of))


def check_rule(name: str, rule: Rule, ranges: Mapping[str, Range]) -> None:
    """Raises `ConfigError` for a rule that names what it can't use, or that leaves nothing of a range somewhere."""
    widest = ranges[name]
    if rule.narrows and isinstance(widest, Choice):
        raise ConfigError("low, high and multiple_of are for numbers, and this is a choice. Use when, or forbidden.")
    if rule.multiple_of:
        _check_multiple(rule, widest, ranges)
    for bound in (rule.low, rule.high):
        if bound is not None and not all(_number(value) for value in _ends(ranges[bound.name])):
            raise ConfigError(f"{bound.name} is no number, so it can be no bound. Name an option that is one.")
    for other, one in rule.when.items():
        check_condition(other, one, ranges[other])
    if rule.narrows:
        _check_room(rule, widest, ranges)


def check_condition(name: str, one: Range, widest: Range) -> None:
    """Raises `ConfigError` for a condition on an option that can't hold, or has more than values or two ends."""
    if not isinstance(one, Choice) and (one.log or one.step not in (None, 1)):
        raise ConfigError(f"a condition on {name} has two ends and neither log nor step; got {one}. List the values.")
    if not _overlaps(one, widest):
        raise ConfigError(f"{name} is never {show_values(one)}: its range is {widest}.")


def _overlaps(one: Range, widest: Range) -> bool:
    """Whether a condition on an option can hold; each of its choices must be a value of the range."""
    if isinstance(one, Choice):
        return all(widest.holds(choice) for choice in one.choices)
    if isinstance(widest, Choice):
        return any(one.holds(choice) for choice in widest.choices)
    return one.low <= widest.high and widest.low <= one.high


def widest_bound(bound: Of, other: Range, *, whole: bool, upper: bool) -> float:
    """The loosest that a bound can be, over all values of the option that sets it."""
    reached = [bound.at(value) for value in _ends(other)]
    found = max(reached) if upper else min(reached)
    if not whole:
        return found
    return math.floor(found + SLACK) if upper else math.ceil(found - SLACK)


def show_values(one: Range) -> str:
    """A condition in words.

    >>> show_values(Choice((2, 3))), show_values(IntRange(2, 9))
    ('2 or 3', '2 to 9')
    """
    return " or ".join(one.labels) if isinstance(one, Choice) else f"{show_number(one.low)} to {show_number(one.high)}"


def _check_multiple(rule: Rule, widest: Range, ranges: Mapping[str, Range]) -> None:
    if not isinstance(widest, IntRange) or widest.log or widest.step != 1:
        raise ConfigError("multiple_of is for whole numbers with neither log nor step. Leave one of them out.")
    for one in rule.multiple_of:
        values = _ends(ranges[one]) if isinstance(one, str) else (one,)
        if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 1 for value in values):
            raise ConfigError(f"multiple_of names whole numbers, 1 or more, or options that are such; got {one!r}.")


def _check_room(rule: Rule, widest: Range, ranges: Mapping[str, Range]) -> None:
    named = {name: ranges[name] for name in rule.names}
    exact = math.prod(one.size for one in named.values()) <= MOST_CHECKED
    values = [one.values() if exact else _ends(one) for one in named.values()]
    for chosen in product(*values):
        point = dict(zip(named, chosen, strict=True))
        if not rule.applies(point) and exact:
            continue
        try:
            found = rule.narrow(widest, point)
        except ConfigError as error:
            told = ", ".join(f"{name} = {value}" for name, value in point.items())
            raise ConfigError(f"at {told} nothing is left of {widest}: {error}") from error
        if not exact and not _roomy(found, rule, ranges):
            raise ConfigError(
                f"{' and '.join(named)} have too many values to check each, and between their ends nothing might be "
                f"left of {widest}. Leave it more room, or give the others a step."
            )


def _roomy(found: Range, rule: Rule, ranges: Mapping[str, Range]) -> bool:
    """Whether what is left at a corner is wide enough for something to be left between the corners too."""
    assert not isinstance(found, Choice)
    if isinstance(found, FloatRange) and found.step is None:
        return True
    if found.step in (None, 1) and not rule.multiple_of and (rule.low is None or rule.high is None):
        return True
    most = [max(_ends(ranges[one])) if isinstance(one, str) else one for one in rule.multiple_of]
    return found.high - found.low >= (math.prod(most) if most else found.step or 0)


def _cut_floats(widest: FloatRange, low: float, high: float) -> FloatRange:
    if widest.step is not None:
        low = widest.low + math.ceil((low - widest.low) / widest.step - SLACK) * widest.step
        high = widest.low + math.floor((high - widest.low) / widest.step + SLACK) * widest.step
    return FloatRange(low, high, widest.log, widest.step)


def _cut_ints(widest: IntRange, low: float, high: float, *, multiple: int | None) -> IntRange:
    step, start = (widest.step, widest.low) if multiple is None else (multiple, 0)
    least = start + math.ceil((low - start) / step - SLACK) * step
    most = start + math.floor((high - start) / step + SLACK) * step
    return IntRange(least, most, widest.log, step)


def _ends(one: Range) -> tuple[Any, ...]:
    return one.choices if isinstance(one, Choice) else (one.low, one.high)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
