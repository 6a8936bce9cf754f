"""What may be mended in a table, each announced: rows sorted, equal rows dropped, gaps made explicit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.frequency import Frequency, Ints, format_time
from tidewright.data.panel import Repair, Roles
from tidewright.data.times import Announce
from tidewright.errors import DataError

Codes = npt.NDArray[np.int32]
ID = "\0id"  # the series ids of every clean table; no column of a user has a null character in its name
_CODE, _POSITION = "\0code", "\0position"


def sort_rows(table: pl.DataFrame, *, roles: Roles, announce: Announce) -> pl.DataFrame:
    """The rows by series and time; announced when a row came before an earlier one of its own series."""
    if _in_order(table, roles.time):
        return table
    count = int(table.select((pl.col(roles.time).diff().over(ID) < 0).sum()).item())
    if count:
        detail = f"{count} rows came after a later one of their series; all were sorted by time"
        announce(Repair("sorted rows", count, detail))
    return table.sort(ID, roles.time, maintain_order=True)


def _in_order(table: pl.DataFrame, time: str) -> bool:
    """Whether the rows stand by series and time already: then nothing is copied."""
    ids, times = table[ID], table[time].to_numpy()
    if not is_ascending(ids):
        return False
    back = np.flatnonzero(times[1:] < times[:-1])  # mostly where the next series begins
    return not bool((ids.gather(back) == ids.gather(back + 1)).any())


def is_ascending(ids: pl.Series) -> bool:
    """Whether ids stand in order; numbers are compared where they lie, without a copy."""
    if not ids.dtype.is_integer():
        return ids.is_sorted()
    numbers = ids.to_numpy()
    return not bool((numbers[1:] < numbers[:-1]).any())


def run_starts(ids: pl.Series) -> Ints:
    """The first row of each run of equal ids."""
    changes = (ids.slice(1) != ids.slice(0, len(ids) - 1)).to_numpy()
    return np.concatenate([[0], np.flatnonzero(changes) + 1]).astype(np.int64)


def drop_repeated(table: pl.DataFrame, *, roles: Roles, announce: Announce, steps: bool) -> pl.DataFrame:
    """One row a series and time: equal rows are dropped and announced, rows that differ raise `DataError`."""
    keys = [ID, roles.time]
    times = table[roles.time].to_numpy()
    again = np.flatnonzero(times[1:] == times[:-1])
    if not (table[ID].gather(again) == table[ID].gather(again + 1)).any():
        return table
    distinct = table.unique(maintain_order=True)
    conflict = distinct.filter(distinct.select(pl.struct(keys).is_duplicated()).to_series())
    if len(conflict):
        raise DataError(_explain_conflict(conflict, roles, steps))
    count = len(table) - len(distinct)
    detail = f"{count} rows stood there twice, equal in every column, and were dropped"
    announce(Repair("dropped repeats", count, detail))
    return distinct


def _explain_conflict(conflict: pl.DataFrame, roles: Roles, steps: bool) -> str:
    first = conflict.filter((pl.col(ID) == conflict[ID][0]) & (pl.col(roles.time) == conflict[roles.time][0]))
    moment = int(conflict[roles.time][0])
    differing = [c for c in roles.columns if c in first.columns and first[c].n_unique() > 1]
    shown = roles.target if roles.target in differing or not differing else differing[0]
    return (
        f"series {conflict[ID][0]!r} has {len(first)} different rows at {moment if steps else format_time(moment)} "
        f"('{shown}' is {first[shown].to_list()[:4]}); {len(conflict)} rows conflict in all. Keep one row a time, or "
        "aggregate them; name the series column if the table holds several; local times of an autumn night with "
        "daylight saving (DST) need their time zone."
    )


def fill_gaps(
    table: pl.DataFrame, *, roles: Roles, grid: Frequency, positions: Ints, codes: Codes, announce: Announce
) -> tuple[pl.DataFrame, Ints, Codes]:
    """A row for every grid position from each series' first row to its last, its position and its series.

    `positions` are those of the rows that are there. A row that was missing holds null but for its series, its time and
    its static columns; they are announced.
    """
    starts = code_starts(codes)
    first, last = positions[starts], positions[np.append(starts[1:], len(codes)) - 1]
    lengths = last - first + 1
    static = spread_static(table, roles=roles, codes=codes, announce=announce)
    if int(lengths.sum()) == len(table):  # distinct positions, as many as there are: no gap
        own = static.select(roles.static)
        return table.with_columns(own[name].gather(codes).alias(name) for name in own.columns), positions, codes
    full_codes = np.repeat(np.arange(len(starts)), lengths)
    full = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths) + first[full_codes]
    left = pl.DataFrame({_CODE: full_codes.astype(np.int32), _POSITION: full})
    right = table.with_columns(pl.Series(_CODE, codes), pl.Series(_POSITION, positions))
    joined = left.join(right, on=[_CODE, _POSITION], how="left", maintain_order="left")
    absent = joined[roles.time].is_null().to_numpy()
    announce(_tell_gaps(absent, full, static[ID].gather(full_codes), grid))
    table = joined.with_columns(pl.Series(roles.time, grid.times(full))).select(table.columns)
    fixed = [static[name].gather(full_codes).alias(name) for name in static.columns]
    return table.with_columns(fixed), full.astype(np.int64), full_codes.astype(np.int32)


def code_starts(codes: Codes) -> Ints:
    """The first row of each series of ascending codes."""
    return np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1]).astype(np.int64)


def _tell_gaps(absent: npt.NDArray[np.bool_], full: Ints, ids: pl.Series, grid: Frequency) -> Repair:
    gap = int(np.flatnonzero(absent)[0])
    at = format_time(int(grid.times(full[gap : gap + 1])[0]), grid)
    count = int(absent.sum())
    return Repair(
        "filled gaps",
        count,
        f"{count} missing times were made explicit with empty values, the first in series {ids[gap]!r} at {at}",
    )


def spread_static(table: pl.DataFrame, *, roles: Roles, codes: Any, announce: Announce) -> pl.DataFrame:
    """One row a series: its id and its static values. A static column that changes raises `DataError`."""
    found = table.select(ID)[code_starts(codes)]
    if not roles.static:
        return found
    grouped = table.with_columns(pl.Series(_CODE, codes)).group_by(_CODE, maintain_order=True)
    first = grouped.agg(pl.col(c).drop_nulls().first() for c in roles.static)
    for name in roles.static:
        spread = first[name].gather(codes)
        differs = (table[name] != spread).fill_null(value=False)
        if differs.any():
            row = int(differs.arg_true()[0])
            raise DataError(
                f"static column '{name}' changes within series {table[ID][row]!r} (from {spread[row]!r} to "
                f"{table[name][row]!r}). Give it the role past or known instead."
            )
        blank = int((table[name].is_null() & spread.is_not_null()).sum())
        if blank:
            announce(Repair("filled static", blank, f"{blank} empty values of '{name}' took their series' value"))
        found = found.with_columns(first[name])
    return found
