"""A `SearchSpace` of plain data: what YAML holds, or `SearchSpace.to_dict` gives.

Every message names the place (`lstm.yaml: parameters/model.hidden/low`) and the near miss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError
from tidewright.models.spec import MODELS
from tidewright.training.spec import TrainSpec
from tidewright.tuning.probe_space import coerce_range, probe_space
from tidewright.tuning.read_rules import read_combinations, read_rule
from tidewright.tuning.records import RECORDS, RECORDS_OF_KIND, SEARCHED
from tidewright.tuning.rules import Rule
from tidewright.tuning.space import Choice, FloatRange, IntRange, Range, SearchSpace

_KEYS = {
    "float": ("low", "high", "log", "step"),
    "int": ("low", "high", "log", "step"),
    "choice": ("choices",),
}


def parse_space(data: Any, *, source: str = "the search space", folder: str | Path | None = None) -> SearchSpace:
    """The space that plain data describe. Raises `ConfigError`.

    Where they name several `models`, one space is joined of theirs: those of the package or of the user's `folder` for
    a list of names, or the `parameters` and `forbidden` of each; what stands beside `models` is shared by all.

    >>> parse_space({"model": "lstm", "parameters": {"model.hiden": {"type": "int", "low": 8, "high": 16}}})
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: the search space: parameters/model.hiden: no option of lstm is called
    'hiden'. Did you mean 'hidden'? There are: ...
    """
    first = "models" if isinstance(data, Mapping) and "models" in data else "model"
    _check_keys(data, (first, "parameters", "forbidden"), noun="key of a space", place=source)
    if first == "models":
        return _parse_models(data, source=source, folder=folder)
    _need(data, ("model", "parameters"), place=source)
    parameters = data["parameters"]
    if not isinstance(parameters, Mapping) or not parameters:
        _check_model(data["model"], place=source)
        raise ConfigError(f"{source}: parameters: one option or more is needed; got {parameters!r}.")
    return _parse_model(data["model"], data, source=source)


def _parse_model(model: Any, data: Any, *, source: str) -> SearchSpace:
    """The space of one model, which may have no options at all."""
    _check_model(model, place=source)
    ranges, rules = _Parameters(data.get("parameters", {}), models=(model,), source=source).read()
    forbidden = read_combinations(data.get("forbidden", []), ranges, place=f"{source}: forbidden")
    try:
        space = SearchSpace(model, ranges, rules, forbidden)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    probe_space(space, model=model, source=source)
    return space


def _parse_models(data: Mapping[str, Any], *, source: str, folder: str | Path | None) -> SearchSpace:
    parts = _read_models(data["models"], source=source, folder=folder)
    names = tuple(part.model for part in parts)
    try:
        given = {"model": SearchSpace.of_models(parts).ranges["model"]}
    except ConfigError as error:
        raise ConfigError(f"{source}: models: {error}") from error
    ranges, rules = _Parameters(data.get("parameters", {}), models=names, source=source, given=given).read()
    try:
        alone = SearchSpace.of_models(parts, shared=ranges, rules=rules)
        forbidden = read_combinations(data.get("forbidden", []), alone.ranges, place="forbidden")
        space = SearchSpace.of_models(parts, shared=ranges, rules=rules, forbidden=forbidden)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    for model in names:
        probe_space(space, model=model, source=source)
    return space


def _read_models(models: Any, *, source: str, folder: str | Path | None) -> list[SearchSpace]:
    from tidewright.tuning.read_space import find_space

    if isinstance(models, (list, tuple)):
        return [find_space(str(name), folder=folder) for name in models]
    if not isinstance(models, Mapping):
        raise ConfigError(f"{source}: models: a list of spaces, or a table of models, is needed; got {models!r}.")
    parts = []
    for model, described in models.items():
        place = f"{source}: models/{model}"
        _check_keys(described or {}, ("parameters", "forbidden"), noun="key of a model's space", place=place)
        parts.append(_parse_model(model, described or {}, source=place))
    return parts


class _Parameters:
    """The parameters of a model, or of several, as they are read: those that others are bound by first."""

    def __init__(
        self, parameters: Any, *, models: tuple[str, ...], source: str, given: Mapping[str, Range] | None = None
    ) -> None:
        if not isinstance(parameters, Mapping):
            raise ConfigError(f"{source}: parameters: a table of options is needed; got {parameters!r}.")
        self._parameters, self._models, self._source = parameters, models, source
        self._ranges: dict[str, Range] = dict(given or {})
        self._rules: dict[str, Rule] = {}
        self._open: list[str] = []

    def read(self) -> tuple[dict[str, Range], dict[str, Rule]]:
        """The widest range of each option, and the rules."""
        for address in self._parameters:
            self._find(address, place=self._source)
        return {address: self._ranges[address] for address in self._parameters}, self._rules

    def _find(self, address: str, *, place: str) -> Range:
        if address in self._ranges:
            return self._ranges[address]
        if address not in self._parameters:
            raise ConfigError(f"{place}: {explain_unknown('option', address, [*self._ranges, *self._parameters])}")
        here = f"{self._source}: parameters/{address}"
        if address in self._open:
            raise ConfigError(f"{here}: {', '.join(self._open)} wait for each other. Take one of their rules out.")
        self._open.append(address)
        described = self._parameters[address]
        if isinstance(described, Mapping):
            described, self._rules[address] = read_rule(described, find=self._find, place=here)
        owners = self._owners(address)
        for model in owners:
            _check_address(address, model=model, place=here)
        one = _read_range(described, here)
        self._ranges[address] = coerce_range(one, address=address, model=owners[0], place=here)
        self._open.remove(address)
        return self._ranges[address]

    def _owners(self, address: str) -> tuple[str, ...]:
        """The models that have the option."""
        asked = self._rules.get(address, Rule()).when.get("model")
        return self._models if asked is None else tuple(model for model in self._models if asked.holds(model))


def _check_model(model: Any, *, place: str) -> None:
    if model not in MODELS:
        raise ConfigError(f"{place}: model: {explain_unknown('model', model, MODELS)}")


def _check_address(address: Any, *, model: str, place: str) -> None:
    record, dot, option = str(address).partition(".")
    records = RECORDS_OF_KIND[MODELS[model].kind]
    if not dot:
        raise ConfigError(f"{place}: an option is written as record.option, such as model.hidden or train.epochs.")
    if record in RECORDS and record not in records:
        raise ConfigError(f"{place}: {model} takes nothing from '{record}'. It has: {', '.join(records)}.")
    if record not in records:
        raise ConfigError(f"{place}: {explain_unknown('record', record, records)}")
    known = SEARCHED.get(record)
    if known is None:
        owner = MODELS.load(model) if record == "model" else TrainSpec
        known = tuple(field.name for field in fields(owner) if field.name != "name")
    if option not in known:
        noun = f"option of {model}" if record == "model" else f"option of '{record}' that can be searched"
        raise ConfigError(f"{place}: {explain_unknown(noun, option, known)}")


def _read_range(described: Any, place: str) -> Range:
    if not isinstance(described, Mapping):
        raise ConfigError(
            f"{place}: a range is written as {{type: float, low: 0.1, high: 0.9}} or "
            f"{{type: choice, choices: [1, 2]}}; got {described!r}."
        )
    _need(described, ("type",), place=place)
    kind = described["type"]
    if kind not in _KEYS:
        raise ConfigError(f"{place}/type: {explain_unknown('type of range', kind, _KEYS)}")
    _check_keys(described, ("type", *_KEYS[kind]), noun=f"key of a {kind} range", place=place)
    _need(described, ("choices",) if kind == "choice" else ("low", "high"), place=place)
    try:
        return _make_range(kind, described, place=place)
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith(place) else f"{place}: {message}") from error


def _make_range(kind: str, described: Mapping[str, Any], *, place: str) -> Range:
    if kind == "choice":
        choices = described["choices"]
        if not isinstance(choices, (list, tuple)):
            raise ConfigError(f"{place}/choices: a list is needed; got {choices!r}.")
        return Choice(tuple(_tuple(choice) for choice in choices))
    whole = kind == "int"
    numbers = {key: described[key] for key in ("low", "high", "step") if key in described}
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ConfigError(f"{place}/{key}: a {'whole ' if whole else ''}number is needed; got {value!r}.")
    log = described.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{place}/log: true or false is needed; got {log!r}.")
    if whole:
        return IntRange(numbers["low"], numbers["high"], log=log, step=numbers.get("step", 1))
    step = numbers.get("step")
    return FloatRange(float(numbers["low"]), float(numbers["high"]), log, None if step is None else float(step))


def _check_keys(data: Any, known: Iterable[str], *, noun: str, place: str) -> None:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{place}: a table of keys is needed; got {data!r}.")
    for key in data:
        if key not in known:
            raise ConfigError(f"{place}: {explain_unknown(noun, key, known)}")


def _need(data: Mapping[str, Any], keys: Iterable[str], *, place: str) -> None:
    for key in keys:
        if key not in data:
            raise ConfigError(f"{place}: the key '{key}' is missing.")


def _tuple(value: Any) -> Any:
    return tuple(_tuple(part) for part in value) if isinstance(value, (list, tuple)) else value
