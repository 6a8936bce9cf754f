"""Whether the records take what a space would give them: each end and each choice is tried at a legal point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.training.spec import TrainSpec
from tidewright.tuning.ranges import Choice, FloatRange, Range
from tidewright.tuning.records import change_record, coerce_option, split_address
from tidewright.tuning.rules import Rule
from tidewright.tuning.space import NO_RULE, SearchSpace


def coerce_range(one: Range, *, address: str, model: str, place: str) -> Range:
    """The range, its choices as the option's own type has them. Raises `ConfigError` for values of another type."""
    owner, option = _owners(model)[address.partition(".")[0]], address.partition(".")[2]
    taken = []
    for key, value in _probes(one):
        try:
            taken.append(coerce_option(type(owner), option, value))
        except ConfigError as error:
            raise ConfigError(f"{place}/{key}: {error}") from error
    return Choice(tuple(taken)) if isinstance(one, Choice) else one


def probe_space(space: SearchSpace, *, model: str, source: str) -> None:
    """Raises `ConfigError` for a value that a record of the model refuses at a point where it can be had."""
    owners = _owners(model)
    for address in space.names:
        if address == "model":
            continue
        for key, value in _probes(space.ranges[address]):
            point = _point_with(space, address, value, owners)
            if point is None:
                continue
            try:
                _change(owners, point)
            except ConfigError as error:
                raise ConfigError(f"{source}: parameters/{address}/{key}: {error}") from error


def _owners(model: str) -> dict[str, Any]:
    return {"model": build_spec(model), "train": TrainSpec(), "view": View(1), "task": Task(1)}


def _probes(one: Range) -> Iterator[tuple[str, Any]]:
    """Values of a range, with the key of the file that each comes from."""
    if isinstance(one, Choice):
        yield from ((f"choices/{k}", choice) for k, choice in enumerate(one.choices))
        return
    yield from (("low", one.low), ("high", one.high))
    if isinstance(one, FloatRange) and one.size > 2:
        yield "type", one.low + (one.high - one.low) * 0.381966 if one.step is None else one.low + one.step


def _point_with(space: SearchSpace, address: str, value: Any, owners: Mapping[str, Any]) -> dict[str, Any] | None:
    """A legal point with that value, the rest being as usual where it may; None where none was found."""
    wanted = {**_reach(space, address), address: value, "model": owners["model"].name}

    def draw(name: str, free: Range) -> Any:
        if name in wanted and free.holds(wanted[name]):
            return wanted[name]
        record, option = split_address(name, model=owners["model"].name)
        usual = getattr(owners[record], option)
        if isinstance(free, Choice):
            return usual if free.holds(usual) else free.choices[0]
        number = isinstance(usual, (int, float)) and not isinstance(usual, bool)
        return free.nearest(usual) if number else free.low

    point = space.walk(draw)
    return point if point.get(address) == value else None


def _reach(space: SearchSpace, address: str) -> dict[str, Any]:
    """Values of other options with which this one is there, and widest."""
    rule: Rule = space.rules.get(address, NO_RULE)
    found: dict[str, Any] = {}
    for name, one in rule.when.items():
        found[name] = one.choices[0] if isinstance(one, Choice) else one.low
    for bound, upper in ((rule.low, False), (rule.high, True)):
        if bound is not None:
            values = space.ranges[bound.name]
            ends = values.choices if isinstance(values, Choice) else (values.low, values.high)
            found.setdefault(bound.name, (max if upper else min)(ends, key=bound.at))
    for name in rule.names:
        found = {**_reach(space, name), **found}
    return found


def _change(owners: Mapping[str, Any], point: Mapping[str, Any]) -> None:
    changes: dict[str, dict[str, Any]] = {}
    for address, value in point.items():
        if address != "model":
            record, option = split_address(address, model=owners["model"].name)
            changes.setdefault(record, {})[option] = value
    for record, options in changes.items():
        change_record(owners[record], options)
