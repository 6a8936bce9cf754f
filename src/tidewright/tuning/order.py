"""In which order the options of a space are drawn, and how many points there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidewright.errors import ConfigError

if TYPE_CHECKING:
    from tidewright.tuning.ranges import Range
    from tidewright.tuning.rules import Rule
    from tidewright.tuning.space import SearchSpace

MOST_STEPS = 20_000  # of counting the points of a space


def arrange(ranges: Mapping[str, Range], rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """The options in their own order, but each after those that its rule names. Raises `ConfigError` for a circle."""
    placed: dict[str, None] = {}
    left = list(ranges)
    while left:
        ready = next((n for n in left if n not in rules or all(o in placed for o in rules[n].names)), None)
        if ready is None:
            raise ConfigError(f"the rules of {', '.join(left)} wait for each other. Take one of them out.")
        placed[ready] = None
        left.remove(ready)
    return tuple(placed)


def list_points(
    space: SearchSpace, *, values: Callable[[Range], Sequence[Any]] = lambda one: one.values()
) -> Iterator[dict[str, Any]]:
    """Every point of a space, the last option changing first; `values` gives those of a range."""
    return _walk(space, 0, {}, values)


def _walk(
    space: SearchSpace, place: int, point: Mapping[str, Any], values: Callable[[Range], Sequence[Any]]
) -> Iterator[dict[str, Any]]:
    if place == len(space.names):
        yield dict(point)
        return
    name = space.names[place]
    range_ = space.free(name, point)
    if range_ is None:
        yield from _walk(space, place + 1, point, values)
        return
    for value in values(range_):
        yield from _walk(space, place + 1, {**point, name: value}, values)


def count_points(space: SearchSpace) -> float:
    """How many points there are; the product of all sizes, a bound, where counting takes too many steps."""
    try:
        return _Count(space).count(0, {})
    except _Endless:
        return math.prod(one.size for one in space.ranges.values())


class _Endless(Exception):  # noqa: N818  (no error: it ends the counting)
    """Counting would take too long."""


class _Count:
    """Counts option by option; what no later option looks at is forgotten, so that equal branches are counted once."""

    def __init__(self, space: SearchSpace) -> None:
        self._space, self._steps = space, 0
        self._known: dict[tuple[Any, ...], float] = {}
        looks = {name: set(rule.names) for name, rule in space.rules.items()}
        for combination in space.forbidden:
            last = max(combination, key=space.names.index)
            looks.setdefault(last, set()).update(name for name in combination if name != last)
        names = space.names
        self._later = [set().union(*(looks.get(n, set()) for n in names[k:])) for k in range(len(names) + 1)]

    def count(self, place: int, point: Mapping[str, Any]) -> float:
        if place == len(self._space.names):
            return 1
        seen = {name: value for name, value in point.items() if name in self._later[place]}
        key = (place, *map(repr, seen.items()))
        if key not in self._known:
            self._steps += 1
            if self._steps > MOST_STEPS:
                raise _Endless
            self._known[key] = self._count(place, seen)
        return self._known[key]

    def _count(self, place: int, point: Mapping[str, Any]) -> float:
        name = self._space.names[place]
        range_ = self._space.free(name, point)
        if range_ is None:
            return self.count(place + 1, point)
        if name not in self._later[place + 1]:
            return range_.size * self.count(place + 1, point)
        if math.isinf(range_.size):
            return math.inf
        return sum(self.count(place + 1, {**point, name: value}) for value in range_.values())
