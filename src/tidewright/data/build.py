"""A `Panel` from any table: columns cleaned, rows sorted, the grid found, its gaps made explicit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from tidewright.data.border import to_polars
from tidewright.data.columns import check_roles, clean_ids, clean_number, clean_static
from tidewright.data.grid import find_frequency
from tidewright.data.panel import Panel, Repair, Roles
from tidewright.data.repair import ID, drop_repeated, fill_gaps, sort_rows
from tidewright.data.times import Announce, read_times, write_times
from tidewright.errors import ConfigError, DataError, RepairWarning


def build_panel(data: Any, *, roles: Roles, frequency: str | None, calendar: str | None) -> Panel:
    """See `Panel.from_table`."""
    given, native = to_polars(data)
    check_roles(given, roles=roles)
    repairs: list[Repair] = []
    announce = repairs.append
    times, dtype, local = read_times(given, roles=roles, announce=announce)
    steps = dtype.is_integer()
    clean = sort_rows(_clean(given, times, roles, announce), roles=roles, announce=announce)
    clean = drop_repeated(clean, roles=roles, announce=announce, steps=steps)
    codes = clean[ID].rle_id().to_numpy().astype(np.int32)
    names = clean[ID].gather(np.flatnonzero(np.diff(codes, prepend=-1))).to_list()
    grid = find_frequency(
        clean[roles.time].to_numpy(), codes, asked=frequency, calendar=calendar, steps=steps, names=names
    )
    full, positions, full_codes = fill_gaps(clean, roles=roles, grid=grid, codes=codes, announce=announce)
    if roles.series is not None:
        full = full.with_columns(full[ID].alias(roles.series))
    written = write_times(grid, positions, dtype=dtype, local=local).alias(roles.time)
    panel = Panel(
        table=full.select(roles.columns).with_columns(written),
        roles=roles,
        frequency=grid,
        offsets=np.append(np.flatnonzero(np.diff(full_codes, prepend=-1)), len(full)).astype(np.int64),
        positions=positions,
        repairs=tuple(repairs),
        unused=tuple(c for c in given.columns if c not in roles.columns),
        native=native,
        time_dtype=written.dtype,
        local=local,
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
    codes = np.repeat(np.arange(panel.n_series), extra)
    within = np.arange(len(codes)) - np.repeat(np.cumsum(extra) - extra, extra)
    positions = last[codes] + 1 + within
    fixed = [name for name in (panel.roles.series, *panel.roles.static) if name is not None]
    new = pl.DataFrame([panel.moments(positions).alias(panel.roles.time)]).with_columns(
        panel.table[name].gather(panel.offsets[1:] - 1).gather(codes) for name in fixed
    )
    table = pl.concat([panel.table, new], how="diagonal").select(panel.table.columns)
    order = np.argsort(np.concatenate([panel.codes, codes]), kind="stable")
    return replace(
        panel,
        table=table[order],
        offsets=panel.offsets + np.concatenate([[0], np.cumsum(extra)]),
        positions=np.concatenate([panel.positions, positions])[order],
    )


def keep_tail(panel: Panel, *, rows: int) -> Panel:
    """The last `rows` rows of each series up to its last observed target, and what comes after it."""
    first = np.maximum(panel.ends - rows + 1, panel.offsets[:-1])
    lengths = panel.offsets[1:] - first
    if int(lengths.sum()) == len(panel.table):
        return panel
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    kept = np.repeat(first - offsets[:-1], lengths) + np.arange(offsets[-1])
    return replace(panel, table=panel.table[kept], offsets=offsets, positions=panel.positions[kept])


def _clean(given: pl.DataFrame, times: pl.Series, roles: Roles, announce: Announce) -> pl.DataFrame:
    """The columns with roles: ids under `ID`, time as int64, numbers as float64, static numbers or text."""
    columns = [clean_ids(given, roles=roles).alias(ID), times.alias(roles.time)]
    numeric = (roles.target, *roles.past, *roles.known)
    columns += [clean_number(given, c, roles=roles, announce=announce).alias(c) for c in numeric]
    columns += [clean_static(given, c, roles=roles, announce=announce).alias(c) for c in roles.static]
    return pl.DataFrame({column.name: column for column in columns})


def _check_observed(panel: Panel) -> None:
    observed = np.add.reduceat(~np.isnan(panel.target), panel.offsets[:-1], dtype=np.int64)
    empty = np.flatnonzero(observed == 0)
    if empty.size:
        raise DataError(
            f"series {panel.series_ids[int(empty[0])]!r} has no observed value of '{panel.roles.target}' "
            f"({empty.size} such series). Drop it, or bring its values."
        )
