"""Rows of a panel sampled in blocks of time, with the target in units that mean the same for every series.

B blocks, R rows of a block, C columns, S series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.features.windows import Doubles, Singles

FEWEST_BLOCKS, MOST_BLOCKS = 24, 256
ROWS = 16  # of a block


@dataclass(frozen=True, eq=False, slots=True)
class Units:
    """What a value is counted in: less the mean of its `series` over the training rows, in its standard deviations.

    A series that did not move has its own size as its scale, or 1 where that is 0. Classes are counted as they are.
    """

    series: tuple[Any, ...]
    centre: Doubles
    scale: Doubles

    def of(self, panel: Panel) -> tuple[Doubles, Doubles]:
        """Centre and scale of each series of a panel [S]; NaN for one that was not there in training."""
        places = {name: place for place, name in enumerate(self.series)}
        names = list(_plain_names(panel))
        if panel.roles.series is None and len(self.series) == 1:
            names = list(self.series)
        index = np.array([places.get(name, -1) for name in names], dtype=np.int64)
        known = index >= 0
        if not len(self.series):
            return np.full(len(index), np.nan), np.full(len(index), np.nan)
        return np.where(known, self.centre[index], np.nan), np.where(known, self.scale[index], np.nan)


def find_units(panel: Panel, *, until: int) -> Units:
    """The units of a panel's series, from what was observed at or before a position."""
    names = _plain_names(panel)
    if panel.classes:
        return Units(names, np.zeros(len(names)), np.ones(len(names)))
    seen = (panel.positions <= until) & ~np.isnan(panel.target)
    values, codes = panel.target[seen], panel.codes[seen]
    count = np.bincount(codes, minlength=len(names))
    some = np.maximum(count, 1)
    centre = np.bincount(codes, weights=values, minlength=len(names)) / some
    spread = np.sqrt(np.bincount(codes, weights=(values - centre[codes]) ** 2, minlength=len(names)) / some)
    size = np.where(np.abs(centre) > 0, np.abs(centre), 1.0)
    scale = np.where(spread > 1e-9 * size, spread, size)
    unknown = count == 0
    return Units(names, np.where(unknown, np.nan, centre), np.where(unknown, np.nan, scale))


def choose_block(steps: int, *, season: int) -> int:
    """The steps of a block: whole seasons where 24 of them are there, and at most 256 blocks.

    >>> choose_block(24 * 100, season=24), choose_block(100, season=24), choose_block(10_000, season=1)
    (24, 4, 40)
    """
    least = season if steps >= FEWEST_BLOCKS * season else max(1, steps // FEWEST_BLOCKS)
    return least * -(-steps // (MOST_BLOCKS * least))


def sample_rows(
    panel: Panel, columns: tuple[str, ...], *, first: int, last: int, block: int, units: Units
) -> tuple[Singles, npt.NDArray[np.int64]]:
    """At most `ROWS` rows of each block of the positions `first` to `last` [B, R, C], and how many of each block's rows
    count [B]. Blocks are counted back from the last position; what is left at the start is no block.

    Rows of a series without units, and of the known future, are left out. The draw is the same each time.
    """
    count = (last - first + 1) // block
    begin = last + 1 - count * block
    centre, scale = units.of(panel)
    kept = (panel.positions >= begin) & (panel.positions <= last) & ~np.isnan(centre)[panel.codes]
    kept &= np.arange(len(panel.positions)) <= panel.ends[panel.codes]
    rows = np.flatnonzero(kept)
    of_block = (panel.positions[rows] - begin) // block
    table = np.column_stack([panel.values(name)[rows] for name in columns])
    codes = panel.codes[rows]
    table[:, 0] = (table[:, 0] - centre[codes]) / scale[codes]
    order = np.argsort(of_block, kind="stable")
    bounds = np.searchsorted(of_block[order], np.arange(count + 1))
    sample = np.full((count, ROWS, len(columns)), np.nan, dtype=np.float32)
    draw = np.random.default_rng(0)
    for place in range(count):
        mine = order[bounds[place] : bounds[place + 1]]
        chosen = mine if len(mine) <= ROWS else np.sort(draw.choice(mine, ROWS, replace=False))
        sample[place, : len(chosen)] = table[chosen]
    return sample, np.minimum(np.diff(bounds), ROWS).astype(np.int64)


def _plain_names(panel: Panel) -> tuple[str | int | None, ...]:
    """The names of series as JSON keeps them."""
    return tuple(name if isinstance(name, (str, int)) or name is None else str(name) for name in panel.series_ids)
