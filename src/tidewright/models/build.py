"""`build`: a spec and the options a user types, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError
from tidewright.models.spec import ModelSpec, find_catalog


def build_spec(name: str, options: Mapping[str, Any] | None = None) -> ModelSpec:
    """The spec of a model of the catalog with some of its options set. Raises `UnknownNameError` and `ConfigError`.

    >>> build_spec("lstm", {"hidden": 32}).hidden
    32
    >>> build_spec("lstm", {"hiden": 32})
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: no option of lstm is called 'hiden'. Did you mean 'hidden'? There are: ...
    """
    from pydantic import TypeAdapter, ValidationError

    record = find_catalog(name).load(name)
    known = [field.name for field in fields(record) if field.name != "name"]
    for option in options or {}:
        if option not in known:
            raise ConfigError(explain_unknown(f"option of {name}", option, known))
    try:
        spec: ModelSpec = TypeAdapter(record).validate_python(dict(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # the record's own check, in its own words
            raise ConfigError(first["msg"].removeprefix("Value error, ")) from error
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{name}.{place}: {first['msg']}; got {first['input']!r}.") from error
    return spec
