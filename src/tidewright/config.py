"""Options by Hydra's grammar over config groups that the package gives, checked before anything runs.

`model=lstm,ridge train.learning_rate=1e-3`: a group takes one or more of its names; a key with dots sets one option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Group:
    """A config group: its names, the options of each, and the names taken by default.

    The options of a chosen name appear under `<plural>.<name>`, so that `models.lstm.hidden=32` sets one.
    """

    options: Mapping[str, Mapping[str, Any]]
    default: tuple[str, ...]
    plural: str


@dataclass(frozen=True, slots=True)
class Schema:
    """What can be set: plain options (nested mappings with their defaults) and groups by name."""

    base: Mapping[str, Any]
    groups: Mapping[str, Group] = field(default_factory=dict)


def compose(schema: Schema, overrides: Sequence[str]) -> dict[str, Any]:
    """The nested options with every override applied. Raises `ConfigError` that names the near miss and its path.

    >>> schema = Schema({"train": {"rate": 0.1}}, {"model": Group({"a": {"size": 1}, "b": {}}, ("a",), "models")})
    >>> compose(schema, ["train.rate=0.5", "model=a,b", "models.a.size=3"])
    {'train': {'rate': 0.5}, 'models': {'a': {'size': 3}, 'b': {}}}
    >>> compose(schema, ["train.rat=0.5"])
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: no option is called 'train.rat'. Did you mean 'train.rate'? ...
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigError(
            f"'{error.override}' is no override. Write one as key=value, such as train.learning_rate=1e-3."
        ) from error
    values = [(item.key_or_group, _value(item)) for item in parsed]
    chosen = {name: list(group.default) for name, group in schema.groups.items()}
    for key, value in values:
        if key in schema.groups:
            chosen[key] = _names(key, value, schema.groups[key])
    options: dict[str, Any] = _copy(schema.base)
    for name, group in schema.groups.items():
        options[group.plural] = {item: _copy(group.options[item]) for item in chosen[name]}
    known = list(_paths(options))
    for key, value in values:
        if key not in schema.groups:
            _set(options, key, value, known, schema)
    return options


def _value(item: Any) -> Any:
    if item.is_delete() or item.is_add() or item.is_force_add():
        raise ConfigError(f"'{item.input_line}': options are set, never added or removed. Write key=value.")
    if item.is_sweep_override():
        sweep = (
            list(item.sweep_string_iterator())
            if not item.is_choice_sweep()
            else [_unquote(v) for v in item.value().list]
        )
        return sweep
    return _unquote(item.value())


def _unquote(value: Any) -> Any:
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_unquote(v) for v in value]
    return {str(_unquote(k)): _unquote(v) for k, v in value.items()} if isinstance(value, dict) else value


def _names(noun: str, value: Any, group: Group) -> list[str]:
    names = [str(v) for v in (value if isinstance(value, list) else [value])]
    for name in names:
        if name not in group.options:
            raise ConfigError(explain_unknown(noun, name, group.options))
    return list(dict.fromkeys(names))


def _set(options: dict[str, Any], key: str, value: Any, known: Sequence[str], schema: Schema) -> None:
    *path, last = key.split(".")
    place = options
    for part in path:
        place = place.get(part, {}) if isinstance(place, dict) else {}
    if key not in known:
        raise ConfigError(_explain(key, known, schema))
    place[last] = value


def _explain(key: str, known: Sequence[str], schema: Schema) -> str:
    for name, group in schema.groups.items():
        parts = key.split(".")
        if (
            parts[0] == group.plural
            and len(parts) > 1
            and parts[1] in group.options
            and not any(k.startswith(f"{group.plural}.{parts[1]}.") for k in known)
        ):
            return f"'{key}' sets an option of '{parts[1]}', which is not among the chosen. Add {name}={parts[1]}."
    near = get_close_matches(key, [*known, *schema.groups], n=1, cutoff=0.5)
    head = key.rpartition(".")[0]
    beside = sorted(k for k in known if head and k.rpartition(".")[0] == head) or sorted(
        {k if "." not in k else f"{k.partition('.')[0]}.*" for k in known} | set(schema.groups)
    )
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"no option is called '{key}'.{hint} There are: {', '.join(beside)}."


def _paths(options: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping) and value:
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _copy(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in options.items()}
