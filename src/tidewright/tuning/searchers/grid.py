"""Every point of a space, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tidewright.errors import ConfigError
from tidewright.tuning.order import list_points
from tidewright.tuning.ranges import Range
from tidewright.tuning.searchers.searcher import History
from tidewright.tuning.searchers.shares import is_continuous, value_at
from tidewright.tuning.searchers.untried import Tried, label_of
from tidewright.tuning.space import SearchSpace

MOST_POINTS = 100_000


@dataclass(frozen=True, eq=False)
class GridSearcher:
    """Goes through the grid, the last option changing first; continuous options take `resolution` values, evenly apart.

    Raises `ConfigError` for a continuous option without a resolution, and for a grid of more than 100,000 points.
    """

    resolution: int | None = None
    _tried: Tried = field(default_factory=Tried, repr=False)

    def __post_init__(self) -> None:
        if self.resolution is not None and self.resolution < 2:
            raise ConfigError(
                f"resolution is the number of values of a continuous option, 2 or more; got {self.resolution}."
            )

    def count(self, space: SearchSpace) -> int:
        """How many points the grid has."""
        counted = sum(1 for _ in islice(self._points(space), MOST_POINTS + 1))
        if counted > MOST_POINTS:
            raise ConfigError(
                f"a grid of {space.model} has more than {MOST_POINTS:,} points ({space.size:g} by the ranges alone). "
                "Give the ranges wider steps, or take another search, such as random."
            )
        return counted

    def suggest(self, history: History) -> Mapping[str, Any] | None:
        """See `Searcher`."""
        if not history.trials:
            self.count(history.space)
        tried = self._tried.labels(history)
        return next(
            (point for point in self._points(history.space) if label_of(history.space, point) not in tried), None
        )

    def _points(self, space: SearchSpace) -> Iterator[dict[str, Any]]:
        self._check(space)
        return list_points(space, values=self._values)

    def _check(self, space: SearchSpace) -> None:
        endless = next((name for name, one in space.ranges.items() if is_continuous(one)), None)
        if endless is not None and self.resolution is None:
            raise ConfigError(
                f"{endless} is continuous, so a grid has no end. Give it a step in the space, give the grid a "
                "resolution (how many values of each continuous option), or take another search, such as auto."
            )

    def _values(self, one: Range) -> Sequence[Any]:
        if not is_continuous(one):
            return one.values()
        assert self.resolution is not None
        return tuple(value_at(one, k / (self.resolution - 1)) for k in range(self.resolution))
