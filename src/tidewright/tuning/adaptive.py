"""`AdaptiveSearchSpace`: a space that narrows about its best trial, and widens again where that gains nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tidewright.errors import ConfigError
from tidewright.tuning.patterns import Direction, PerformanceTracker
from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range
from tidewright.tuning.searchers.shares import share_of, value_at
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.trial import Trial

Region = tuple[float, float]  # the first and the last place of an option, shares of its range
WHOLE: Region = (0.0, 1.0)
SPREADS = 0.5, 1.5  # between which an option's width is changed by how widely the good trials are spread


@dataclass(frozen=True, slots=True)
class Focus:
    """The part of a space that is searched now. `revision` counts how often it was set, 0 for the whole space;
    `changes` say what the last time did, an option each."""

    space: SearchSpace
    revision: int
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdaptiveSearchSpace:
    """A space and how it adapts: a pure function of the complete trials.

    After `start` trials, and after every `every` further ones, the ranges are set anew about the best trial, in
    logarithms on a logarithmic scale. They are `width` of the whole at first, and `narrow` times as wide after every
    time without a gain; less than `least`, and it is the whole again. An option in which the good trials agree
    (`PerformanceTracker`) gets down to half that width, one that doesn't matter up to one and a half times. Choices
    keep all their values; options that are bound to others, or bind them, keep their ranges. `explore` is the share of
    trials that are taken from the whole space all the same. `direction` says which values are good. Raises
    `ConfigError`.
    """

    space: SearchSpace
    direction: Direction = "minimize"
    start: int = 10
    every: int = 3
    width: float = 0.7
    narrow: float = 0.8
    least: float = 0.05
    explore: float = 0.2
    good_share: float = 0.2

    def __post_init__(self) -> None:
        if self.start < 1 or self.every < 1:
            raise ConfigError(f"start and every are numbers of trials, 1 or more; got {self.start} and {self.every}.")
        if not 0.0 < self.least <= self.width <= 1.0:
            raise ConfigError(
                f"least and width are shares of a range, 0 < least <= width <= 1; got {self.least} and {self.width}."
            )
        if not (0.0 < self.narrow < 1.0 and 0.0 <= self.explore <= 1.0):
            raise ConfigError(
                f"narrow is above 0 and below 1, and explore from 0 to 1; got {self.narrow} and {self.explore}."
            )
        self._track(())  # checks the others

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The options that may be narrowed: numbers that no rule binds and that bind none."""
        rules = self.space.rules
        bound = {name for name, rule in rules.items() if rule.narrows}
        bound |= {other for rule in rules.values() for other in rule.names}
        bound |= {name for combination in self.space.forbidden for name in combination}
        ranges = self.space.ranges.items()
        return tuple(n for n, one in ranges if n not in bound and one.size > 1 and not isinstance(one, Choice))

    def focus(self, trials: Sequence[Trial]) -> Focus:
        """The part that is searched after these trials."""
        complete = self._track(trials).complete
        revision = 0 if len(complete) < self.start else 1 + (len(complete) - self.start) // self.every
        if not revision or not self.free:
            return Focus(self.space, 0)
        now, before = self._regions(complete, revision), self._regions(complete, revision - 1)
        changes = tuple(filter(None, (self._tell(name, before[name], now[name]) for name in self.free)))
        ranges = {name: narrow_range(self.space.ranges[name], now[name]) for name in self.free}
        return Focus(replace(self.space, ranges={**self.space.ranges, **ranges}), revision, changes)

    def _track(self, trials: Sequence[Trial]) -> PerformanceTracker:
        return PerformanceTracker(self.space, trials, self.direction, self.good_share)

    def _regions(self, complete: Sequence[Trial], revision: int) -> Mapping[str, Region]:
        """Where each option is searched after a revision."""
        width = self._width(complete, revision)
        if width == 1.0:
            return dict.fromkeys(self.free, WHOLE)
        tracker = self._track(complete[: self._seen(revision)])
        spreads, best = tracker.spreads(), tracker.best
        assert best is not None, "there is no revision without a complete trial"
        found: dict[str, Region] = {}
        for name in self.free:
            low, high = SPREADS
            half = width * min(max(high * spreads.get(name, 1.0), low), high) / 2.0
            if name in best.parameters:
                middle = share_of(self.space.ranges[name], best.parameters[name])
                found[name] = max(0.0, middle - half), min(1.0, middle + half)
            else:
                found[name] = WHOLE
        return found

    def _width(self, complete: Sequence[Trial], revision: int) -> float:
        """The width that all options have in common after a revision; 1 is the whole."""
        if revision == 0:
            return 1.0
        rank = self._track(()).rank
        width, best = self.width, min(map(rank, complete[: self.start]))
        for one in range(2, revision + 1):
            before = best
            best = min([before, *map(rank, complete[self._seen(one - 1) : self._seen(one)])])
            if best == before:
                width *= self.narrow
            if width < self.least:
                width = 1.0
        return width

    def _seen(self, revision: int) -> int:
        """How many complete trials a revision knows."""
        return self.start + (revision - 1) * self.every

    def _tell(self, name: str, before: Region, now: Region) -> str:
        old, new = (narrow_range(self.space.ranges[name], region) for region in (before, now))
        if old == new:
            return ""
        wider = (now[1] - now[0]) - (before[1] - before[0])
        what = "moved" if abs(wider) < 1e-9 else "widened" if wider > 0 else "narrowed"
        return f"{name} {what} to {new.low:.4g} to {new.high:.4g}"


def narrow_range(one: Range, region: Region) -> FloatRange | IntRange:
    """What lies between two places of a range of numbers, with its scale and step.

    >>> narrow_range(FloatRange(0.0, 8.0), (0.25, 0.75)), narrow_range(IntRange(0, 90, step=10), (0.0, 0.45))
    (FloatRange(low=2.0, high=6.0, log=False, step=None), IntRange(low=0, high=40, log=False, step=10))
    """
    assert not isinstance(one, Choice)
    low, high = (value_at(one, share) for share in region)
    return replace(one, low=low, high=high)
