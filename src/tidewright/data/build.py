"""A `Panel` from any table: columns cleaned, rows sorted, duplicates refused, the grid found and its gaps made explicit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from tidewright.data.border import to_polars
from tidewright.data.columns import check_roles, clean_columns
from tidewright.data.frequency import DAY, Frequency, Ints, format_time
from tidewright.data.grid import find_frequency
from tidewright.data.panel import Panel, Repair, Roles
from tidewright.errors import DataError, RepairWarning

_CODE, _POSITION = "__code", "__position"


def build_panel(data: Any, *, roles: Roles, frequency: str | None, calendar: str | None) -> Panel:
    """See `Panel.from_table`."""
    table, native = to_polars(data)
    check_roles(table, roles=roles)
    repairs: list[Repair] = []
    dtype = table[roles.time].dtype
    steps = dtype.is_integer()
    clean = clean_columns(table, roles=roles, announce=repairs.append)
    clean = _drop_repeated(_sort(clean, roles, repairs), roles, repairs)
    ids = clean[roles.series] if roles.series else pl.Series([roles.target]).new_from_index(0, len(clean))
    codes = (ids.rle_id()).to_numpy().astype(np.int32)
    names = ids.gather(np.flatnonzero(np.diff(codes, prepend=-1))).to_list()
    times = clean[roles.time].to_numpy()
    grid = find_frequency(times, codes, asked=frequency, calendar=calendar, steps=steps, names=names)
    full, positions, full_codes = _fill_gaps(clean, roles, grid, codes, repairs)
    panel = Panel(
        table=full,
        roles=roles,
        frequency=grid,
        offsets=np.append(np.flatnonzero(np.diff(full_codes, prepend=-1)), len(full)).astype(np.int64),
        positions=positions,
        repairs=tuple(repairs),
        unused=tuple(c for c in table.columns if c not in roles.columns),
        native=native,
        time_dtype=dtype,
    )
    _check_observed(panel)
    for repair in repairs:
        warnings.warn(f"{repair.kind}: {repair.detail}", RepairWarning, stacklevel=4)
    return replace(panel, table=_restore_time(panel))


def extend_panel(panel: Panel, *, steps: int) -> Panel:
    """See `Panel.extend`."""
    ends = panel.positions[panel.ends]
    last = panel.positions[panel.offsets[1:] - 1]
    extra = np.maximum(ends + steps - last, 0)
    if not extra.any():
        return panel
    codes = np.repeat(np.arange(panel.n_series), extra)
    within = np.arange(len(codes)) - np.repeat(np.cumsum(extra) - extra, extra)
    positions = last[codes] + 1 + within
    fixed = [name for name in (panel.roles.series, *panel.roles.static) if name is not None]
    new = panel.table.select(fixed)[panel.offsets[1:] - 1][codes] if fixed else pl.DataFrame()
    new = new.with_columns(_times_column(panel.frequency, positions, panel.table[panel.roles.time].dtype).alias(panel.roles.time))
    table = pl.concat([panel.table, new], how="diagonal").select(panel.table.columns)
    order = np.argsort(np.concatenate([panel.codes, codes]), kind="stable")
    return replace(
        panel,
        table=table[order],
        offsets=panel.offsets + np.concatenate([[0], np.cumsum(extra)]),
        positions=np.concatenate([panel.positions, positions])[order],
    )


def _sort(table: pl.DataFrame, roles: Roles, repairs: list[Repair]) -> pl.DataFrame:
    keys = [k for k in (roles.series, roles.time) if k is not None]
    times = table[roles.time]
    behind = times.diff() < 0
    if roles.series is not None:
        behind = behind & (table[roles.series] == table[roles.series].shift(1))
    count = int(behind.fill_null(value=False).sum())
    if count:
        repairs.append(Repair("sorted rows", count, f"{count} rows came before an earlier one of their series; all were sorted by time"))
    return table.sort(keys, maintain_order=True)


def _drop_repeated(table: pl.DataFrame, roles: Roles, repairs: list[Repair]) -> pl.DataFrame:
    keys = [k for k in (roles.series, roles.time) if k is not None]
    repeated = table.select(pl.struct(keys).is_duplicated()).to_series()
    if not repeated.any():
        return table
    distinct = table.unique(maintain_order=True)
    conflict = distinct.filter(distinct.select(pl.struct(keys).is_duplicated()).to_series())
    if len(conflict):
        where = f"series {conflict[roles.series][0]!r} has" if roles.series else "there are"
        moment = conflict[roles.time][0]
        values = conflict.filter(pl.all_horizontal(pl.col(k) == conflict[k][0] for k in keys))[roles.target].to_list()
        time = str(moment) if table[roles.time].max() < 100_000_000 else format_time(int(moment))  # type: ignore[operator]
        raise DataError(
            f"{where} {len(values)} different rows at {time} ('{roles.target}' is {values[:4]}); {len(conflict)} rows conflict in all. "
            "Keep one a time, or aggregate them; local times of an autumn night need their time zone."
        )
    count = len(table) - len(distinct)
    repairs.append(Repair("dropped repeats", count, f"{count} rows stood there twice, equal in every column, and were dropped"))
    return distinct


def _fill_gaps(
    table: pl.DataFrame, roles: Roles, grid: Frequency, codes: Any, repairs: list[Repair]
) -> tuple[pl.DataFrame, Ints, Ints]:
    """Every grid position between the first and the last row of each series, and the code of its series."""
    positions = grid.positions(table[roles.time].to_numpy())
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    first, last = positions[starts], positions[np.append(starts[1:], len(codes)) - 1]
    lengths = last - first + 1
    full_codes = np.repeat(np.arange(len(starts)), lengths)
    full = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths) + first[full_codes]
    static = _check_static(table, roles, starts, codes)
    missing = len(full) - len(table)
    if not missing:
        return table, full.astype(np.int64), full_codes.astype(np.int64)
    left = pl.DataFrame({_CODE: full_codes.astype(np.int32), _POSITION: full})
    right = table.with_columns(pl.Series(_CODE, codes), pl.Series(_POSITION, positions))
    joined = left.join(right, on=[_CODE, _POSITION], how="left", maintain_order="left")
    gap = int(np.flatnonzero(joined[roles.time].is_null().to_numpy())[0])
    fixed = [pl.Series(name, static[name].gather(full_codes)) for name in static.columns]
    joined = joined.with_columns(pl.Series(roles.time, grid.times(full)), *fixed)
    name = static[roles.series][int(full_codes[gap])] if roles.series else roles.target
    repairs.append(
        Repair("filled gaps", missing, f"{missing} missing times were made explicit with empty values, the first in series {name!r} at {format_time(int(grid.times(full[gap : gap + 1])[0]), grid)}")
    )
    return joined.select(table.columns), full.astype(np.int64), full_codes.astype(np.int64)


def _check_static(table: pl.DataFrame, roles: Roles, starts: Any, codes: Any) -> pl.DataFrame:
    fixed = [name for name in (roles.series, *roles.static) if name is not None]
    first = table[starts].select(fixed)
    for name in roles.static:
        differs = (table[name] != first[name].gather(codes)).fill_null(value=False)
        if differs.any():
            row = int(differs.arg_true()[0])
            raise DataError(
                f"static column '{name}' changes within series {first[roles.series][int(codes[row])] if roles.series else roles.target!r} "
                f"(from {first[name][int(codes[row])]!r} to {table[name][row]!r}). Give it the role past or known instead."
            )
    return first


def _check_observed(panel: Panel) -> None:
    observed = np.add.reduceat((~np.isnan(panel.target)).astype(np.int64), panel.offsets[:-1])
    if (observed == 0).any():
        name = panel.series_ids[int(np.flatnonzero(observed == 0)[0])]
        raise DataError(
            f"series {name!r} has no observed value of '{panel.roles.target}' ({int((observed == 0).sum())} such series). Drop it, or bring its values."
        )


def _restore_time(panel: Panel) -> pl.DataFrame:
    name = panel.roles.time
    restored = _times_column(panel.frequency, panel.positions, panel.time_dtype)
    return panel.table.with_columns(restored.alias(name))


def _times_column(grid: Frequency, positions: Ints, dtype: pl.DataType) -> pl.Series:
    """The times in the type that the user brought (text became datetimes)."""
    times = pl.Series(grid.times(positions))
    if grid.unit == "step":
        return times
    moments = times.cast(pl.Datetime("us"))
    midnight = dtype == pl.String and bool((times % DAY == 0).all())
    if dtype == pl.Date or midnight:
        return moments.cast(pl.Date)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return moments.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
    return moments
