"""Combinatorial purged splits: every way to hold out some groups of time, and the whole histories that they make.

T rows in time, N groups, k of them held out, M ways, P paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np

from tidewright.data.frequency import Ints
from tidewright.errors import ConfigError, ShortSeriesError

MOST_WAYS = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class CombinatorialSplits:
    """M ways to learn from some rows and be tested on others, each as `(train, test)` row numbers.

    `bounds` [N + 1] are the groups' first rows, `ways` [M, k] the groups that each way holds out, `paths` [P, N] the
    way that tests each group on each path: a path has every row once, tested by a model that has not seen it.
    """

    rows: int
    horizon: int
    embargo: int
    bounds: Ints = field(repr=False)
    ways: Ints = field(repr=False)
    paths: Ints = field(repr=False)

    def __post_init__(self) -> None:
        for values in (self.bounds, self.ways, self.paths):
            values.flags.writeable = False

    def __len__(self) -> int:
        return len(self.ways)

    def __iter__(self) -> Iterator[tuple[Ints, Ints]]:
        return ((self.train(way), self.test(way)) for way in range(len(self)))

    def group(self, number: int) -> Ints:
        """The rows of a group."""
        return np.arange(self.bounds[number], self.bounds[number + 1])

    def test(self, way: int) -> Ints:
        """The rows that a way holds out, ascending."""
        return np.concatenate([self.group(int(group)) for group in self.ways[way]])

    def train(self, way: int) -> Ints:
        """The rows that a way learns from: their labels share no bar with those of the rows held out."""
        free = np.ones(self.rows, dtype=np.bool_)
        for group in self.ways[way]:
            first, end = self.bounds[group], self.bounds[group + 1]
            free[max(first - self.horizon + 1, 0) : end + self.horizon - 1 + self.embargo] = False
        return np.flatnonzero(free)


def combinatorial_splits(
    rows: int, *, groups: int = 6, held: int = 2, horizon: int = 1, embargo: int = 0
) -> CombinatorialSplits:
    """Every way to hold out `held` of `groups` groups of consecutive rows, purged, with the paths that they make.

    The label of row t is made of the `horizon` bars after it (t + 1 to t + horizon), so training leaves out the rows
    within horizon - 1 of a held one on both sides, and `embargo` rows more after it, for what features remember. There
    are C(N, k) ways and C(N - 1, k - 1) paths. Source: Lopez de Prado (2018), Advances in Financial Machine Learning,
    sections 7.4 and 12.3.

    >>> splits = combinatorial_splits(60, groups=6, held=2, horizon=3, embargo=2)
    >>> len(splits), len(splits.paths)
    (15, 5)
    >>> splits.test(0).tolist() == list(range(20)), splits.train(0).tolist()[0]
    (True, 24)
    """
    for name, value, least in (
        ("groups", groups, 2),
        ("held", held, 1),
        ("horizon", horizon, 1),
        ("embargo", embargo, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} is {value!r}; it is a whole number of at least {least}.")
    if held >= groups or comb(groups, held) > MOST_WAYS:
        raise ConfigError(
            f"{held} of {groups} groups are held out in {comb(groups, held):,} ways; hold out fewer than there are, in "
            f"at most {MOST_WAYS:,} ways."
        )
    if rows < groups:
        raise ShortSeriesError(f"{rows} rows make no {groups} groups. Ask for fewer groups.")
    ways = np.array(list(combinations(range(groups), held)), dtype=np.int64)
    paths = np.stack([np.flatnonzero((ways == group).any(axis=1)) for group in range(groups)], axis=1)
    sizes = [len(part) for part in np.array_split(np.arange(rows), groups)]
    splits = CombinatorialSplits(rows, horizon, embargo, np.cumsum([0, *sizes]), ways, paths)
    for way in range(len(splits)):
        if not splits.train(way).size:
            raise ShortSeriesError(
                f"with groups {splits.ways[way].tolist()} held out, a horizon of {horizon} and an embargo of {embargo} "
                f"leave none of {rows} rows to learn from. Hold out fewer groups, or bring more rows."
            )
    return splits
