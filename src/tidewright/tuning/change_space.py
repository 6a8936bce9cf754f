"""`change_space`: single ranges of a space changed, as a user writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.data.read_yaml import read_yaml
from tidewright.errors import ConfigError
from tidewright.models.specs.tabular import OF_NUMBERS
from tidewright.tuning.parse_space import parse_space
from tidewright.tuning.space import SearchSpace

_SPAN = re.compile(r"^\s*(\S+?)\s*\.\.\s*(\S+)\s*(.*)$")


def change_space(space: SearchSpace, changes: Mapping[str, Any]) -> SearchSpace:
    """The space with other ranges, checked as one that is read. Raises `ConfigError`.

    A change is a text, "8..64", "1e-4..1e-2 log", "8..64 step 8" or "adam, sgd", a list of values, one value, a table
    as in YAML, or None, which leaves the option as the model has it. Numbers keep the option's scale, step and rules
    ("linear" takes a log scale off); values keep when it is there; a table brings its own. An option that the space
    doesn't have is added. Where the model is searched, `model` keeps the models that are named.

    >>> from tidewright.tuning.read_space import find_space
    >>> space = find_space("elastic_net")
    >>> print("\\n".join(space.diff(change_space(space, {"model.l1_share": "0.5..1", "model.weigh": None}))))
    ~ model.l1_share: 0 to 1 -> 0.5 to 1
    - model.weigh: one of "window", "target"
    """
    data = space.to_dict()
    for name, change in changes.items():
        place = f"the changes: {name}"
        if name == "model" and "models" in data:
            data["models"] = _keep(data["models"], _values(change, place=place), place=place)
            continue
        options, local = _options(data, name)
        if change is None:
            if local not in options:
                raise ConfigError(f"the changes: {explain_unknown('option', name, list(space.ranges))}")
            del options[local]
        else:
            options[local] = _edit(options.get(local, {}), change, place=place)
    return parse_space(data, source="the changes")


def drop_numbers(space: SearchSpace) -> SearchSpace:
    """The space without options that count the target as a number, which have no say where it holds classes.

    >>> from tidewright.tuning.read_space import find_space
    >>> drop_numbers(find_space("elastic_net")).names, drop_numbers(find_space("svr")).names
    (('model.l1_share',), ('model.cost', 'model.width'))
    """
    return change_space(space, {name: None for name in space.names if name.removeprefix("model.") in OF_NUMBERS})


def _options(data: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """The table that an option stands in, and its name there."""
    model, _, local = name.partition(".")
    if model in data.get("models", {}):
        return data["models"][model].setdefault("parameters", {}), local
    return data.setdefault("parameters", {}), name


def _edit(old: Mapping[str, Any], change: Any, *, place: str) -> dict[str, Any]:
    if isinstance(change, Mapping):
        return dict(change)
    span = _SPAN.match(change) if isinstance(change, str) else None
    if span is not None:
        return _edit_span(old, *span.groups(), place=place)
    kept = {"when": old["when"]} if "when" in old else {}
    return {"type": "choice", "choices": _values(change, place=place), **kept}


def _edit_span(old: Mapping[str, Any], low: str, high: str, rest: str, *, place: str) -> dict[str, Any]:
    ends = dict(zip(("low", "high"), (read_yaml(end, source=place) for end in (low, high)), strict=True))
    for key, value in ends.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{place}: {value!r} is no number. Write LOW..HIGH, such as 8..64 or 1e-4..1e-2.")
        if isinstance(old.get(key), Mapping):
            ends[key] = {**old[key], "least" if key == "low" else "most": value}
    whole = all(isinstance(read_yaml(end, source=place), int) for end in (low, high))
    number = old.get("type") in ("int", "float")
    kept = {key: value for key, value in old.items() if number or key == "when"}
    scale = _read_scale(rest, kept, place=place)
    return {"type": "int" if whole else "float", **kept, **ends, **scale}


def _read_scale(rest: str, kept: dict[str, Any], *, place: str) -> dict[str, Any]:
    """What stands behind the ends; a scale that is said takes the place of the old one."""
    words = rest.split()
    if not words:
        return {}
    for key in ("log", "step"):
        kept.pop(key, None)
    if words == ["log"]:
        return {"log": True}
    if words == ["linear"]:
        return {}
    if len(words) == 2 and words[0] == "step":
        return {"step": read_yaml(words[1], source=place)}
    raise ConfigError(f"{place}: behind LOW..HIGH stands log, linear or step N; got {rest!r}.")


def _values(change: Any, *, place: str) -> list[Any]:
    if isinstance(change, str):
        return list(read_yaml(f"[{change}]", source=place))
    return list(change) if isinstance(change, (list, tuple)) else [change]


def _keep(models: Mapping[str, Any], wanted: list[Any], *, place: str) -> dict[str, Any]:
    for name in wanted:
        if name not in models:
            raise ConfigError(f"{place}: {explain_unknown('model', name, models)}")
    return {name: models[name] for name in wanted}
