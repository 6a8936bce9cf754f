"""Totals of groups as new series of a panel: a hierarchy from its bottom.

S series; static columns say who belongs together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError
from tidewright.features.flat import Doubles
from tidewright.features.groups import group_codes, sum_cells

TOTAL = "total"
_PLACE = "__position"


def add_totals(panel: Panel, *, levels: Sequence[Sequence[str]], sums: Sequence[str] = ()) -> Panel:
    """The panel with the total of each group of each level as a new series, named store=1, state=CA/store=1, or total.

    A level is some static columns; the level () is all series. The total of the target is over the series that are
    observed at the time; it is missing where none is, or where one that has begun has a row without a value. A series
    counts as nothing before its first value and after its last row. Covariates are means of what is observed, or sums
    for those named in `sums`; a static column keeps the value that all of a group share, and is null elsewhere. Ids
    become text. Extend the panel afterwards, not before. Raises `ColumnError` for a column that isn't static,
    `ConfigError` where a name is taken.

    >>> sold = {"t": [0, 1, 1], "sold": [1.0, 5.0, 3.0]}
    >>> table = pl.DataFrame({"shop": ["a", "a", "b"], "city": ["x", "x", "y"], **sold})
    >>> panel = Panel.from_table(table, series="shop", time="t", target="sold", static="city")
    >>> whole = add_totals(panel, levels=[(), ("city",)])
    >>> whole.series_ids, whole.values("sold")[whole.rows_of("total")]
    (('a', 'b', 'city=x', 'city=y', 'total'), array([1., 8.]))
    """
    name = panel.roles.series
    if name is None:
        raise ColumnError("a panel of one series has no totals. Name the column of the series.")
    for column in sums:
        if column not in (*panel.roles.past, *panel.roles.known):
            raise ColumnError(explain_unknown("covariate", column, (*panel.roles.past, *panel.roles.known)))
    own = panel.table.with_columns(pl.col(name).cast(pl.String), pl.Series(_PLACE, panel.positions))
    parts = [own, *(_total(panel, level, sums=sums) for level in levels)]
    ids = [part[name].unique() for part in parts]
    _check_names(pl.concat(ids))
    table = pl.concat(parts, how="diagonal").sort(name, _PLACE)
    starts = np.flatnonzero(table[name].rle_id().diff().fill_null(1).to_numpy())
    return replace(
        panel,
        table=table.drop(_PLACE),
        offsets=np.append(starts, len(table)).astype(np.int64),
        positions=table[_PLACE].to_numpy().astype(np.int64),
    )


def _total(panel: Panel, level: Sequence[str], *, sums: Sequence[str]) -> pl.DataFrame:
    """The rows of the totals of one level."""
    codes, values = group_codes(panel, level)
    names = ["/".join(f"{column}={value}" for column, value in zip(level, row, strict=True)) for row in values]
    first, length = _spans(panel, codes, count=len(values))
    starts = np.append(0, np.cumsum(length))
    group = np.repeat(np.arange(len(values)), length)
    position = np.arange(starts[-1]) - starts[group] + first[group]
    cells = starts[codes[panel.codes]] + panel.positions - first[codes[panel.codes]]
    made = {panel.roles.target: _sum_target(panel, cells)}  # never empty: no gap is beside a group's first value
    for column in (*panel.roles.past, *panel.roles.known):
        total, count = sum_cells(panel.values(column), cells)
        seen = count > 0.0
        by = np.ones(len(count)) if column in sums else count
        made[column] = np.divide(total, by, out=np.full(len(total), np.nan), where=seen)
    columns = [pl.Series(column, numbers, nan_to_null=True) for column, numbers in made.items()]
    ids = pl.Series(panel.roles.series, [name or TOTAL for name in names], dtype=pl.String).gather(group)
    time = panel.moments(position).alias(panel.roles.time)
    static = [_shared(panel, column, codes, count=len(values)).gather(group) for column in panel.roles.static]
    return pl.DataFrame([ids, time, *columns, *static, pl.Series(_PLACE, position)])


def _spans(panel: Panel, codes: Ints, *, count: int) -> tuple[Ints, Ints]:
    """The first position of each group, and how many it has."""
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(first, codes, panel.positions[panel.offsets[:-1]])
    np.maximum.at(last, codes, panel.positions[panel.offsets[1:] - 1])
    return first, last - first + 1


def _sum_target(panel: Panel, cells: Ints) -> Doubles:
    """The total of each cell; NaN where nothing is observed, or a series that has begun misses its value."""
    total, count = sum_cells(panel.target, cells)
    total[count == 0.0] = np.nan
    observed = np.flatnonzero(~np.isnan(panel.target))
    begins = observed[np.searchsorted(observed, panel.offsets[:-1])]
    begun = np.arange(len(panel.target)) > begins[panel.codes]
    total[cells[begun & np.isnan(panel.target)]] = np.nan
    return total


def _shared(panel: Panel, column: str, codes: Ints, *, count: int) -> pl.Series:
    """The value of a static column that all series of a group have; null where they differ."""
    values = pl.DataFrame({"group": codes, column: panel.table[column].gather(panel.offsets[:-1])})
    same = pl.when(pl.col(column).n_unique() == 1).then(pl.col(column).first()).alias(column)
    return values.group_by("group").agg(same).sort("group")[column]


def _check_names(names: pl.Series) -> None:
    twice = names.filter(names.is_duplicated())
    if len(twice):
        raise ConfigError(f"two series would be called '{twice[0]}'. Rename the one, or ask for each level once.")
