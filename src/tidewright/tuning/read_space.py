"""A `SearchSpace` from a file (`read_space`), from the package (`find_space`) or from plain data.

Every message names the place in the file (`lstm.yaml: parameters/model.hidden/low`) and the near miss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.models.spec import MODELS
from tidewright.training.spec import TrainSpec
from tidewright.tuning.probe_space import coerce_range, probe_space
from tidewright.tuning.read_rules import read_combinations, read_rule
from tidewright.tuning.read_yaml import read_yaml
from tidewright.tuning.records import RECORDS_OF_KIND
from tidewright.tuning.rules import Rule
from tidewright.tuning.space import Choice, FloatRange, IntRange, Range, SearchSpace

_KEYS = {
    "float": ("low", "high", "log", "step"),
    "int": ("low", "high", "log", "step"),
    "choice": ("choices",),
}


def spaces() -> tuple[str, ...]:
    """The names of the spaces in the package.

    >>> spaces()[:2]
    ('adaptive_cnn', 'adaptive_transformer')
    """
    folder = files("tidewright.tuning") / "spaces"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def find_space(name: str) -> SearchSpace:
    """A space of the package, by its name. Raises `UnknownNameError`.

    >>> find_space("lstm").names[:2]
    ('model.hidden', 'model.layers')
    """
    known = spaces()
    if name not in known:
        raise UnknownNameError(explain_unknown("search space", name, known))
    text = (files("tidewright.tuning") / "spaces" / f"{name}.yaml").read_text("utf-8")
    return parse_space(read_yaml(text, source=f"{name}.yaml"), source=f"{name}.yaml")


def read_space(path: str | Path) -> SearchSpace:
    """The space in a YAML file. Raises `ConfigError`."""
    file = Path(path)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the search space {file} can't be read: {error}. Give the path of a YAML file.") from error
    return parse_space(read_yaml(text, source=file.name), source=file.name)


def parse_space(data: Any, *, source: str = "the search space") -> SearchSpace:
    """The space that plain data (what YAML holds, or `SearchSpace.to_dict`) describe. Raises `ConfigError`.

    >>> parse_space({"model": "lstm", "parameters": {"model.hiden": {"type": "int", "low": 8, "high": 16}}})
    Traceback (most recent call last):
        ...
    tidewright.errors.ConfigError: the search space: parameters/model.hiden: no option of lstm is called
    'hiden'. Did you mean 'hidden'? There are: ...
    """
    _check_keys(data, ("model", "parameters", "forbidden"), noun="key of a space", place=source)
    _need(data, ("model", "parameters"), place=source)
    model = data["model"]
    if model not in MODELS:
        raise ConfigError(f"{source}: model: {explain_unknown('model', model, MODELS)}")
    parameters = data["parameters"]
    if not isinstance(parameters, Mapping) or not parameters:
        raise ConfigError(f"{source}: parameters: one option or more is needed; got {parameters!r}.")
    ranges, rules = _Parameters(parameters, model=model, source=source).read()
    forbidden = read_combinations(data.get("forbidden", []), ranges, place=f"{source}: forbidden")
    try:
        space = SearchSpace(model, ranges, rules, forbidden)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    probe_space(space, source=source)
    return space


class _Parameters:
    """The parameters of one model as they are read, those that others are bound by first."""

    def __init__(self, parameters: Mapping[str, Any], *, model: str, source: str) -> None:
        self._parameters, self._model, self._source = parameters, model, source
        self._ranges: dict[str, Range] = {}
        self._rules: dict[str, Rule] = {}
        self._open: list[str] = []

    def read(self) -> tuple[dict[str, Range], dict[str, Rule]]:
        """The widest range of each option, and the rules."""
        for address in self._parameters:
            self._find(address, place=self._source)
        return {address: self._ranges[address] for address in self._parameters}, self._rules

    def _find(self, address: str, *, place: str) -> Range:
        if address not in self._parameters:
            raise ConfigError(f"{place}: {explain_unknown('option', address, self._parameters)}")
        if address in self._ranges:
            return self._ranges[address]
        here = f"{self._source}: parameters/{address}"
        if address in self._open:
            raise ConfigError(f"{here}: {', '.join(self._open)} wait for each other. Take one of their rules out.")
        self._open.append(address)
        _check_address(address, model=self._model, place=here)
        described, rule = self._split(self._parameters[address], place=here)
        found = _read_range(described, here)
        self._ranges[address] = coerce_range(found, address=address, model=self._model, place=here)
        self._rules[address] = rule
        self._open.remove(address)
        return self._ranges[address]

    def _split(self, described: Any, *, place: str) -> tuple[Any, Rule]:
        """What the range alone is, its bounds as numbers, and its rule."""
        if not isinstance(described, Mapping):
            return described, Rule()
        return read_rule(described, find=self._find, place=place)


def _check_address(address: Any, *, model: str, place: str) -> None:
    record, dot, option = str(address).partition(".")
    records = RECORDS_OF_KIND[MODELS[model].kind]
    if not dot:
        raise ConfigError(f"{place}: an option is written as record.option, such as model.hidden or train.epochs.")
    if record in ("model", "train", "view") and record not in records:
        raise ConfigError(f"{place}: {model} takes nothing from '{record}'. It has: {', '.join(records)}.")
    if record not in records:
        raise ConfigError(f"{place}: {explain_unknown('record', record, records)}")
    known: list[str] = ["lookback"]
    if record != "view":
        owner = MODELS.load(model) if record == "model" else TrainSpec
        known = [field.name for field in fields(owner) if field.name != "name"]
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
