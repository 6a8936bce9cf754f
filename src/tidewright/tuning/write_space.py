"""A space as plain data (`describe_space`) and as the text of a YAML file (`write_space`), which are read again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tidewright.tuning.join_spaces import part_space
from tidewright.tuning.ranges import Choice, IntRange, Range
from tidewright.tuning.rules import Of, Rule, widest_bound
from tidewright.tuning.space import Combination, SearchSpace

_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_.]*$")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}  # what YAML takes for something else


def describe_space(space: SearchSpace) -> dict[str, Any]:
    """The space as `parse_space` reads it."""
    found: dict[str, Any] = {}
    kept, forbidden = list(space.ranges), list(space.forbidden)
    if "model" in space.ranges:
        parts = {model: part_space(space, model) for model in space.models}
        found["models"] = {model: _without_model(describe_space(part)) for model, part in parts.items()}
        own = [{f"{model}.{name}" for name in part.ranges} for model, part in parts.items()]
        kept = [name for name in kept if name != "model" and not any(name in names for names in own)]
        forbidden = [one for one in forbidden if not any(names >= one.keys() for names in own)]
    else:
        found["model"] = space.model
    if kept:
        found["parameters"] = {name: describe_option(space, name) for name in kept}
    if forbidden:
        found["forbidden"] = [describe_conditions(one) for one in forbidden]
    return found


def _without_model(described: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key != "model"}


def describe_option(space: SearchSpace, name: str) -> dict[str, Any]:
    """An option with its rule."""
    one, rule = space.ranges[name], space.rules.get(name, Rule())
    found = one.to_dict()
    for key, bound in (("low", rule.low), ("high", rule.high)):
        if bound is not None:
            found[key] = _describe_bound(bound, one, space.ranges, upper=key == "high")
    if rule.multiple_of:
        found["multiple_of"] = rule.multiple_of[0] if len(rule.multiple_of) == 1 else list(rule.multiple_of)
    if rule.when:
        found["when"] = describe_conditions(rule.when)
    return found


def describe_conditions(conditions: Combination) -> dict[str, Any]:
    """Options with their values, or with the ends between which these lie."""
    return {
        name: one.to_dict()["choices"] if isinstance(one, Choice) else {"low": one.low, "high": one.high}
        for name, one in conditions.items()
    }


def write_space(space: SearchSpace) -> str:
    """The text of a YAML file that is read as this very space.

    >>> from tidewright.tuning.read_space import find_space
    >>> print(write_space(find_space("elastic_net")).splitlines()[2])
      model.l1_share: {type: float, low: 0.0, high: 1.0}
    """
    return "".join(f"{line}\n" for line in _write(space.to_dict(), depth=0))


def _write(data: Mapping[str, Any], *, depth: int) -> list[str]:
    lines, indent = [], "  " * depth
    for key, value in data.items():
        if isinstance(value, Mapping) and value and "type" not in value:
            lines += [f"{indent}{_word(key)}:", *_write(value, depth=depth + 1)]
        elif key == "forbidden":
            lines += [f"{indent}{key}:", *(f"{indent}  - {_flow(one)}" for one in value)]
        else:
            lines.append(f"{indent}{_word(key)}: {_flow(value)}")
    return lines


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_word(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _word(value) if isinstance(value, str) else json.dumps(value)


def _word(text: str) -> str:
    return text if _PLAIN.match(text) and text.lower() not in _WORDS else json.dumps(text)


def _describe_bound(bound: Of, one: Range, ranges: Mapping[str, Range], *, upper: bool) -> dict[str, Any]:
    assert not isinstance(one, Choice)
    found: dict[str, Any] = {"of": bound.name}
    if bound.times != 1.0:
        found["times"] = bound.times
    if bound.plus:
        found["plus"] = bound.plus
    end = one.high if upper else one.low
    if end != widest_bound(bound, ranges[bound.name], whole=isinstance(one, IntRange), upper=upper):
        found["most" if upper else "least"] = end
    return found
