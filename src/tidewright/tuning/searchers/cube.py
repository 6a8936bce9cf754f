"""The points of a space as numbers in a unit cube, for methods that model or move them.

O options, those that can vary; C columns, of which a choice has one a value. A place is an option's share of its range;
an option that isn't there at a point has no place (NaN).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.tuning.ranges import Choice, IntRange, Range
from tidewright.tuning.searchers.shares import is_continuous, share_of, value_at
from tidewright.tuning.space import SearchSpace

Doubles = npt.NDArray[np.float64]


class Cube:
    """A space's options as O coordinates in [0, 1] and as C columns for a kernel."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.options = tuple(name for name, one in space.ranges.items() if one.size > 1)
        self.ranges = tuple(space.ranges[name] for name in self.options)
        self.ruled = bool(space.rules or space.forbidden)

    @cached_property
    def continuous(self) -> npt.NDArray[np.bool_]:
        """Which options are continuous [O]."""
        return np.array([is_continuous(one) for one in self.ranges], dtype=bool)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Each option's first column, and the number of all."""
        return tuple(int(n) for n in np.cumsum([0, *(_width(one) for one in self.ranges)]))

    @cached_property
    def groups(self) -> npt.NDArray[np.int64]:
        """The option of each column [C]."""
        return np.repeat(np.arange(len(self.options)), [_width(one) for one in self.ranges])

    def places(self, point: Mapping[str, Any]) -> Doubles:
        """A point's places [O]."""
        return np.array(
            [
                share_of(one, point[name]) if name in point else np.nan
                for name, one in zip(self.options, self.ranges, strict=True)
            ]
        )

    def point(self, places: Doubles) -> dict[str, Any]:
        """The legal point at some places [O], which may lie between values; NaN is the middle."""
        values = {name: one.values()[0] for name, one in self.space.ranges.items() if one.size == 1}
        for name, one, place in zip(self.options, self.ranges, places, strict=True):
            values[name] = value_at(one, 0.5 if np.isnan(place) else float(place))
        return self.space.settle(values) if self.ruled else {name: values[name] for name in self.space.names}

    def snap(self, places: Doubles) -> Doubles:
        """The places [N, O] of the legal points there."""
        places = np.clip(places, 0.0, 1.0)
        if self.ruled:
            return np.array([self.places(self.point(row)) for row in places]).reshape(places.shape)
        found = places.copy()
        for option, one in enumerate(self.ranges):
            if not self.continuous[option]:
                found[:, option] = _snap(one, places[:, option])
        return found

    def columns(self, places: Doubles) -> Doubles:
        """What a kernel sees [N, C]: places of legal points as they are, a choice as 0.7 in the column of its value.

        So two different choices are 1 apart. What isn't there is in the middle.
        """
        found = np.zeros((len(places), self.starts[-1]))
        for option, one in enumerate(self.ranges):
            start, shares = self.starts[option], places[:, option]
            if isinstance(one, Choice):
                there = np.flatnonzero(~np.isnan(shares))
                which = np.minimum((shares[there] * len(one.choices)).astype(int), len(one.choices) - 1)
                found[there, start + which] = np.sqrt(0.5)
            else:
                found[:, start] = np.where(np.isnan(shares), 0.5, shares)
        return found

    def neighbours(self, places: Doubles) -> Doubles:
        """Places [M, O] one move of a discrete option away from a legal point's [O]: a step, an eighth of the range, or
        another choice."""
        moved: list[Doubles] = []
        for option in np.flatnonzero(~self.continuous & ~np.isnan(places)):
            for place in _moves(self.ranges[option], float(places[option])):
                row = places.copy()
                row[option] = place
                moved.append(row)
        return self.snap(np.array(moved)) if moved else np.empty((0, len(places)))


def _width(one: Range) -> int:
    return len(one.choices) if isinstance(one, Choice) else 1


def _snap(one: Range, shares: Doubles) -> Doubles:
    if isinstance(one, IntRange) and one.log:
        low, ratio = one.low - 0.5, np.log((one.high + 0.5) / (one.low - 0.5))
        values = np.clip(np.round(low * np.exp(shares * ratio)), one.low, one.high)
        return np.asarray(np.log(values / low) / ratio)
    size = one.size
    return np.asarray((np.minimum(np.floor(shares * size), size - 1) + 0.5) / size)


def _moves(one: Range, place: float) -> Sequence[float]:
    if isinstance(one, Choice):
        size = len(one.choices)
        return [(k + 0.5) / size for k in range(size) if k != int(place * size)]
    if isinstance(one, IntRange) and one.log:
        value = value_at(one, place)
        near = [share_of(one, v) for v in (value - 1, value + 1) if one.holds(v)]
    else:
        near = [place - 1 / one.size, place + 1 / one.size]
    return [p for p in (*near, place - 0.125, place + 0.125) if 0.0 < p < 1.0]
