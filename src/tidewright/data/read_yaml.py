"""`read_yaml`: YAML from a file that is only data: no tags, no anchors, no doubled keys, and small."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tidewright.errors import ConfigError

MOST_BYTES = 65_536
MOST_NODES = 5_000
MOST_DEPTH = 16
# YAML 1.1 as PyYAML reads it takes 1e-4 for text; everyone who writes it means a number.
_FLOAT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")


def read_yaml(text: str, *, source: str) -> Any:
    """The text as plain dicts, lists and values. `source` names it in messages. Raises `ConfigError`.

    >>> read_yaml("low: 1e-4", source="here")
    {'low': 0.0001}
    >>> read_yaml("a: 1\\na: 2", source="here")
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: here, line 2: the key 'a' is given twice. Keep one of them.
    """
    size = len(text.encode())
    if size > MOST_BYTES:
        raise ConfigError(f"{source} has {size} bytes, and at most {MOST_BYTES} are read. Make it shorter.")
    try:
        _check_events(text, source)
        return _build(yaml.compose(text, Loader=_Loader), source)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not YAML: {' '.join(str(error).split())}.") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, that also takes 1e-4 for a number."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _check_events(text: str, source: str) -> None:
    """Refuses what could grow or run, before anything is built."""
    nodes = depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = _line(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(f"{source}, line {line}: anchors and aliases are not read. Write the value out.")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise ConfigError(f"{source}, line {line}: the tag {tag!r} is not read. Write plain YAML.")
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if nodes > MOST_NODES or depth > MOST_DEPTH:
            raise ConfigError(
                f"{source}, line {line}: over {MOST_NODES} values or {MOST_DEPTH} levels. Make it smaller."
            )


def _build(node: yaml.Node | None, source: str) -> Any:
    if node is None:
        return None
    if isinstance(node, yaml.MappingNode):
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if key in found:
                raise ConfigError(
                    f"{source}, line {_line(key_node)}: the key {key!r} is given twice. Keep one of them."
                )
            found[key] = _build(value_node, source)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, source) for child in node.value]
    try:
        return _Loader("").construct_document(node)
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{source}, line {_line(node)}: {node.value!r} is no value.") from error


def _line(place: yaml.Node | yaml.Event) -> int:
    return 0 if place.start_mark is None else place.start_mark.line + 1
