"""A `Panel` from any table: columns cleaned, rows sorted, the grid found, its gaps made explicit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from tidewright.data.border import to_polars
from tidewright.data.classes import clean_classes, find_classes
from tidewright.data.columns import check_roles, clean_ids, clean_number, clean_static
from tidewright.data.grid import find_frequency
from tidewright.data.panel import Panel, Repair, Roles
from tidewright.data.repair import ID, code_starts, drop_repeated, fill_gaps, run_starts, sort_rows
from tidewright.data.times import Announce, read_times, write_times
from tidewright.errors import ConfigError, DataError, RepairWarning


def build_panel(
    data: Any, *, roles: Roles, frequency: str | None, calendar: str | None, classes: bool = False
) -> Panel:
    """See `Panel.from_table`."""
    given, native = to_polars(data)
    check_roles(given, roles=roles)
    repairs: list[Repair] = []
    announce = repairs.append
    times, dtype, local = read_times(given, roles=roles, announce=announce)
    steps = dtype.is_integer()
    clean = sort_rows(_clean(given, times, roles, announce, classes=classes), roles=roles, announce=announce)
    del times  # what is not needed any more is let go: a panel may fill half of the memory
    clean = drop_repeated(clean, roles=roles, announce=announce, steps=steps)
    starts = run_starts(clean[ID])
    codes = np.repeat(np.arange(len(starts), dtype=np.int32), np.diff(np.append(starts, len(clean))))
    names = clean[ID].gather(starts).to_list()
    grid, places = find_frequency(
        clean[roles.time].to_numpy(), codes, asked=frequency, calendar=calendar, steps=steps, names=names
    )
    full, positions, full_codes = fill_gaps(
        clean, roles=roles, grid=grid, positions=places, codes=codes, announce=announce
    )
    del clean, codes, places
    full = full.drop(roles.time)
    if roles.series is not None:
        full = full.with_columns(full[ID].alias(roles.series))
    written = write_times(grid, positions, dtype=dtype, local=local).alias(roles.time)
    panel = Panel(
        table=full.with_columns(written).select(roles.columns),
        roles=roles,
        frequency=grid,
        offsets=np.append(code_starts(full_codes), len(full)),
        positions=positions,
        repairs=tuple(repairs),
        unused=tuple(c for c in given.columns if c not in roles.columns),
        native=native,
        time_dtype=written.dtype,
        local=local,
        classes=find_classes(full[roles.target]) if classes else (),
    )
    _check_observed(panel)
    for repair in repairs:
        warnings.warn(f"{repair.kind}: {repair.detail}", RepairWarning, stacklevel=3)
    return panel


def extend_panel(panel: Panel, *, steps: int) -> Panel:
    """See `Panel.extend`."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
        raise ConfigError(f"a panel can be extended by a whole number of steps, 0 or more; got {steps!r}.")
    last = panel.positions[panel.offsets[1:] - 1]
    extra = np.maximum(panel.positions[panel.ends] + steps - last, 0)
    if not extra.any():
        return panel
    given = np.diff(panel.offsets)
    offsets = panel.offsets + np.concatenate([[0], np.cumsum(extra)])
    places = np.arange(offsets[-1])
    places -= np.repeat(offsets[:-1], given + extra)  # within each series
    new = pl.Series(places >= np.repeat(given, given + extra))
    positions = places + np.repeat(panel.positions[panel.offsets[:-1]], given + extra)  # a series has no gap
    np.minimum(places, np.repeat(given - 1, given + extra), out=places)
    places += np.repeat(panel.offsets[:-1], given + extra)
    source = pl.Series(places)
    fixed = (panel.roles.series, *panel.roles.static)
    others = [name for name in panel.table.columns if name != panel.roles.time]
    kept = source.set(new, None)
    columns = {name: panel.table[name].gather(source if name in fixed else kept) for name in others}
    del places, new, source, kept  # before the times are made
    columns[panel.roles.time] = panel.moments(positions)
    table = pl.DataFrame(columns).select(panel.table.columns)
    return replace(panel, table=table, offsets=offsets, positions=positions)


def keep_tail(panel: Panel, *, rows: int) -> Panel:
    """The last `rows` rows of each series up to its last observed target, and what comes after it."""
    first = np.maximum(panel.ends - rows + 1, panel.offsets[:-1])
    lengths = panel.offsets[1:] - first
    if int(lengths.sum()) == len(panel.table):
        return panel
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    kept = np.repeat(first - offsets[:-1], lengths) + np.arange(offsets[-1])
    return replace(panel, table=panel.table[kept], offsets=offsets, positions=panel.positions[kept])


def _clean(given: pl.DataFrame, times: pl.Series, roles: Roles, announce: Announce, *, classes: bool) -> pl.DataFrame:
    """The columns with roles: ids under `ID`, time as int64, numbers as float64, static numbers or text."""
    columns = [clean_ids(given, roles=roles).alias(ID), times.alias(roles.time)]
    if classes:
        columns.append(clean_classes(given, roles.target, announce=announce).alias(roles.target))
    numeric = (*(() if classes else (roles.target,)), *roles.past, *roles.known)
    columns += [clean_number(given, c, roles=roles, announce=announce).alias(c) for c in numeric]
    columns += [clean_static(given, c, roles=roles, announce=announce).alias(c) for c in roles.static]
    return pl.DataFrame({column.name: column for column in columns})


def _check_observed(panel: Panel) -> None:
    missing = np.isnan(panel.target)
    empty = np.flatnonzero(np.logical_and.reduceat(missing, panel.offsets[:-1]))
    if empty.size:
        raise DataError(
            f"series {panel.series_ids[int(empty[0])]!r} has no observed value of '{panel.roles.target}' "
            f"({empty.size} such series). Drop it, or bring its values."
        )
