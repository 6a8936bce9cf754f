"""What the parameters of a space say of each other: `when`, `low: {of: ...}`, `multiple_of`, and `forbidden`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError
from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range
from tidewright.tuning.rules import Of, Rule, widest_bound

RULE_KEYS = ("when", "multiple_of")


class Find(Protocol):
    """Gives the range of another option of the space. Raises `ConfigError` for one that isn't there."""

    def __call__(self, address: str, *, place: str) -> Range: ...


def read_rule(described: Mapping[str, Any], *, find: Find, place: str) -> tuple[dict[str, Any], Rule]:
    """A parameter without its rule, each bound a number, and the rule. Raises `ConfigError`."""
    plain = {key: value for key, value in described.items() if key not in RULE_KEYS}
    bounds: dict[str, Of] = {}
    for key in ("low", "high"):
        if isinstance(plain.get(key), Mapping):
            bound, loosest = _read_bound(plain[key], key=key, find=find, place=f"{place}/{key}")
            whole = plain.get("type") == "int"
            other = find(bound.name, place=f"{place}/{key}/of")
            plain[key] = widest_bound(bound, other, whole=whole, upper=key == "high") if loosest is None else loosest
            bounds[key] = bound
    when = _read_conditions(described.get("when", {}), find=find, place=f"{place}/when")
    multiple = described.get("multiple_of", ())
    multiple = tuple(multiple) if isinstance(multiple, (list, tuple)) else (multiple,)
    for one in multiple:
        if isinstance(one, str):
            find(one, place=f"{place}/multiple_of")
    return plain, Rule(when, bounds.get("low"), bounds.get("high"), multiple)


def read_combinations(data: Any, ranges: Mapping[str, Range], *, place: str) -> tuple[Mapping[str, Range], ...]:
    """The forbidden combinations of a space. Raises `ConfigError`."""
    if not isinstance(data, (list, tuple)):
        raise ConfigError(f"{place}: a list of combinations is needed; got {data!r}.")

    def find(address: str, *, place: str) -> Range:
        if address not in ranges:
            raise ConfigError(f"{place}: {explain_unknown('option', address, ranges)}")
        return ranges[address]

    return tuple(_read_conditions(one, find=find, place=f"{place}/{k}") for k, one in enumerate(data))


def _read_conditions(data: Any, *, find: Find, place: str) -> dict[str, Range]:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{place}: options with their values are needed, {{model.layers: [2, 3]}}; got {data!r}.")
    return {name: _read_condition(one, find(name, place=place), place=f"{place}/{name}") for name, one in data.items()}


def _read_condition(data: Any, widest: Range, *, place: str) -> Range:
    """Values, one or a list of them, or {low: ..., high: ...} of a number."""
    if isinstance(data, Mapping):
        return _read_span(data, widest, place=place)
    values = [_like(value, widest) for value in (data if isinstance(data, (list, tuple)) else [data])]
    whole = _like(data, widest)
    if isinstance(data, (list, tuple)) and isinstance(widest, Choice) and widest.holds(whole):
        values = [whole]  # one choice that is itself a list
    for value in values:
        if not widest.holds(value):
            raise ConfigError(f"{place}: {value!r} is no value of it: its range is {widest}. Name one that it has.")
    return Choice(tuple(values))


def _read_span(data: Mapping[str, Any], widest: Range, *, place: str) -> Range:
    if isinstance(widest, Choice):
        raise ConfigError(f"{place}: low and high are for numbers, and this is {widest}. Give a list of values.")
    numbers: dict[str, Any] = {"low": widest.low, "high": widest.high}
    for key, value in data.items():
        if key not in numbers:
            raise ConfigError(f"{place}: {explain_unknown('key of a condition', key, numbers)}")
        whole = isinstance(widest, IntRange)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ConfigError(f"{place}/{key}: a {'whole ' if whole else ''}number is needed; got {value!r}.")
        numbers[key] = value
    try:
        if isinstance(widest, IntRange):
            return IntRange(numbers["low"], numbers["high"])
        return FloatRange(float(numbers["low"]), float(numbers["high"]))
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _read_bound(data: Mapping[str, Any], *, key: str, find: Find, place: str) -> tuple[Of, float | None]:
    """The bound, and the number that it never passes, where one is given."""
    limit = "most" if key == "high" else "least"
    known = ("of", "times", "plus", limit)
    for name in data:
        if name not in known:
            raise ConfigError(f"{place}: {explain_unknown('key of a bound', name, known)}")
    if "of" not in data:
        raise ConfigError(f"{place}: the key 'of' is missing: the option that sets the bound.")
    for name in known[1:]:
        value = data.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{place}/{name}: a number is needed; got {value!r}.")
    other = find(data["of"], place=f"{place}/of")
    if isinstance(other, Choice) and not all(type(value) in (int, float) for value in other.choices):
        raise ConfigError(f"{place}/of: {data['of']} is {other}, no number. Name an option that is one.")
    return Of(data["of"], float(data.get("times", 1.0)), float(data.get("plus", 0.0))), data.get(limit)


def _like(value: Any, widest: Range) -> Any:
    """A value as the range has it: lists as tuples, 1 as 1.0 among fractions."""
    if isinstance(value, (list, tuple)):
        return tuple(_like(part, widest) for part in value)
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    fractions = isinstance(widest, FloatRange) or (isinstance(widest, Choice) and not widest.holds(value))
    return float(value) if fractions else value
