"""Target encoding: a class as the mean of the target that rows of its class had, learned from earlier rows alone.

T rows, K pairs of a level and a position. Row t sees the target up to row t - delay and never beyond the training part,
so a row's own target is no part of what encodes it, and what the model meets later looks like what it learned from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.data.regrid import regrid
from tidewright.data.schema import Schema, align, describe_panel
from tidewright.data.splits import Split, check_grid
from tidewright.errors import ColumnError, ConfigError
from tidewright.features.columns import add_columns

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class _Running:
    """Sums and counts of the target up to each position, a level after the other; `keys` [K] ascend."""

    keys: Ints
    sums: Doubles
    counts: Doubles
    starts: Ints

    def until(self, levels: Ints, places: Ints, span: int) -> tuple[Doubles, Doubles]:
        """The sum and the count [T] of each level (-1: unseen) up to each place; places count from 0, -1 is nothing."""
        if not self.keys.size:
            return np.zeros(len(levels)), np.zeros(len(levels))
        found = np.searchsorted(self.keys, levels * span + places, side="right") - 1
        known = (levels >= 0) & (places >= 0)
        known &= found >= self.starts[np.clip(levels, 0, len(self.starts) - 1)]
        return np.where(known, self.sums[found], 0.0), np.where(known, self.counts[found], 0.0)


@dataclass(frozen=True, eq=False, slots=True)
class TargetEncoding:
    """A fitted encoding of some columns. `apply` adds what they become to any panel that has them.

    `columns` are the columns and how many rows a row stays away from its own target: 1, or the horizon where the column
    is known ahead.
    """

    columns: Mapping[str, int]
    smoothing: float
    schema: Schema
    first: int
    last: int
    levels: Mapping[str, Mapping[Any, int]]
    tables: Mapping[str, _Running]
    overall: _Running

    def apply(self, panel: Panel) -> Panel:
        """The panel with a column `NAME_encoded` for each: known where NAME is known, else past.

        (sum + smoothing * mean of all) / (count + smoothing), over earlier training rows of the level. A level without
        any, also one that training never saw, is the mean of all; NaN where nothing was observed before. Raises
        `FrequencyError` for a panel on another grid, `ColumnError` for one with another target, or where a column is
        missing, or is of another role or type.
        """
        positions = regrid(align(panel, self.schema), self.schema.frequency).positions
        self._check_ids(panel)
        known = panel.roles.known
        for name in self.columns:
            kept: dict[str, Any] = {"role": "known", "reach": self.columns[name]} if name in known else {"role": "past"}
            made = {f"{name}_encoded": self._encode(panel, name, positions)}
            panel = add_columns(panel, made, **kept)
        return panel

    def _check_ids(self, panel: Panel) -> None:
        """Raises `ColumnError` where series were learned by numbers and are called by text, or the other way round."""
        name = panel.roles.series
        if name is None or name not in self.columns:
            return
        now, then = str(panel.table[name].dtype), self.schema.types[name]
        if (now == "String") != (then == "String"):
            raise ColumnError(f"the series in '{name}' were {then} in training and are {now} now. Convert them.")

    def _encode(self, panel: Panel, name: str, positions: Ints) -> Doubles:
        span = self.last - self.first + 1
        places = np.minimum(positions - self.columns[name], self.last) - self.first
        total, number = self.overall.until(np.zeros(len(places), dtype=np.int64), places, span)
        with np.errstate(invalid="ignore"):
            mean = total / np.where(number > 0, number, np.nan)
        own, count = self.tables[name].until(_number(panel, name, self.levels[name]), places, span)
        return np.asarray((own + self.smoothing * mean) / (count + self.smoothing))


def fit_target_encoding(
    panel: Panel, split: Split, *, columns: Sequence[str], smoothing: float = 20.0
) -> TargetEncoding:
    """The encoding of static, past or known columns, or of the series themselves, learned from the training part.

    `smoothing` is how many rows of the mean of all are mixed into each level's own. Raises `ColumnError` for a column
    that has another role, `ConfigError` for a smoothing that is not a number above 0.

    >>> days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29), eager=True)
    >>> kinds = (("a", 1.0, "x"), ("b", 3.0, "z"))
    >>> parts = [pl.DataFrame({"s": s, "day": days, "y": y, "kind": kind}) for s, y, kind in kinds]
    >>> panel = Panel.from_table(pl.concat(parts), series="s", time="day", target="y", static=["kind"])
    >>> from tidewright.data.splits import split_holdout
    >>> from tidewright.data.task import Task
    >>> split = split_holdout(panel, Task(horizon=2))
    >>> encoding = fit_target_encoding(panel, split, columns=["kind"], smoothing=1.0)
    >>> encoding.apply(panel).values("kind_encoded")[:4]  # no row before; then (1 + 2) / 2, (2 + 2) / 3 of two rows
    array([       nan, 1.5       , 1.33333333, 1.25      ])
    """
    if isinstance(smoothing, bool) or not isinstance(smoothing, (int, float)) or not 0 < smoothing < math.inf:
        raise ConfigError(f"smoothing is a number of rows, above 0; got {smoothing!r}. The usual is 20.")
    if isinstance(columns, str):
        raise ConfigError(f"columns are a sequence of names; got the text {columns!r}. Write [{columns!r}].")
    check_grid(split.train, panel)
    first, last = panel.span[0], split.train.last + split.horizon
    allowed = [*_past(panel), *panel.roles.known]
    for name in columns:
        if name not in allowed:
            raise ColumnError(explain_unknown("column to encode", name, allowed))
    learned = np.flatnonzero((panel.positions >= first) & (panel.positions <= last) & ~np.isnan(panel.target))
    span = last - first + 1
    levels = {name: _levels(panel, name, learned) for name in columns}
    numbers = {name: _number(panel, name, levels[name])[learned] for name in columns}
    places, target = panel.positions[learned] - first, panel.target[learned]
    return TargetEncoding(
        columns={name: split.horizon if name in panel.roles.known else 1 for name in columns},
        smoothing=float(smoothing),
        schema=_describe(panel, columns),
        first=first,
        last=last,
        levels=levels,
        tables={name: _accumulate(numbers[name], places, target, span) for name in columns},
        overall=_accumulate(np.zeros(len(learned), dtype=np.int64), places, target, span),
    )


def _describe(panel: Panel, columns: Sequence[str]) -> Schema:
    """The schema of the columns to encode."""
    roles = panel.roles
    past, known, static = (tuple(n for n in kind if n in columns) for kind in (roles.past, roles.known, roles.static))
    return describe_panel(panel, replace(roles, past=past, known=known, static=static))


def _past(panel: Panel) -> tuple[str, ...]:
    """The columns whose encoding is known up to the cutoff."""
    roles = panel.roles
    return (*roles.static, *roles.past, *(() if roles.series is None else (roles.series,)))


def _fixed(panel: Panel, name: str) -> bool:
    return name in panel.roles.static or name == panel.roles.series


def _levels(panel: Panel, name: str, rows: Ints) -> dict[Any, int]:
    """The levels that training saw, each with its number."""
    seen = panel.table[name].gather(rows).drop_nulls().unique(maintain_order=True).to_list()
    return {level: number for number, level in enumerate(seen)}


def _number(panel: Panel, name: str, levels: Mapping[Any, int]) -> Ints:
    """The number of each row's level [T]; -1 for one that training did not see, or that is missing."""
    column = panel.table[name]
    column = column.gather(panel.offsets[:-1]) if _fixed(panel, name) else column
    distinct, place = np.unique(column.fill_null(_absent(column)).to_numpy(), return_inverse=True)
    known = np.array([levels.get(value, -1) for value in distinct.tolist()], dtype=np.int64)
    missing = column.is_null().to_numpy()
    numbers = np.where(missing, -1, known[place])
    return np.asarray(numbers[panel.codes] if _fixed(panel, name) else numbers)


def _absent(column: pl.Series) -> Any:
    return 0 if column.dtype.is_numeric() else ""


def _accumulate(levels: Ints, places: Ints, target: Doubles, span: int) -> _Running:
    """Running sums of the target over each level's rows, in order of time; rows of one moment count together."""
    kept = levels >= 0
    keys, inverse = np.unique(levels[kept] * span + places[kept], return_inverse=True)
    sums = np.bincount(inverse, weights=target[kept], minlength=len(keys))
    counts = np.bincount(inverse, minlength=len(keys))
    own = keys // span
    starts = np.searchsorted(own, np.arange(int(own[-1]) + 1 if own.size else 0)).astype(np.int64)
    return _Running(keys, _restart(sums, starts), _restart(counts, starts), starts)


def _restart(values: npt.NDArray[Any], starts: Ints) -> Doubles:
    """The running sum, begun anew with each level; no level's sum depends on another's."""
    parts = [np.cumsum(part, dtype=np.float64) for part in np.split(values, starts[1:])]
    return np.concatenate(parts)
