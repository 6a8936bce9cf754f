"""The table that a function is given, in the kind that the user has, with another future.

A bar is one moment: a row of a wide table or an array, all rows of one time of a long table.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import name_time
from tidewright.portfolio.lookahead.change import change_values

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What is given, the bar of each row [rows], the bars' times [bars] (None: they have numbers alone) and the name of
    the column of times."""

    given: Any
    bars: Ints
    times: NDArray[Any] | None
    time: str | None

    @property
    def count(self) -> int:
        """How many bars there are."""
        return int(self.bars.max()) + 1

    def name(self, bar: int) -> str:
        """The time of a bar, or its number."""
        if self.times is None:
            return f"row {bar}"
        return name_time(self.times, row=bar) if self.times.dtype.kind == "M" else str(self.times[bar])

    def whole(self) -> Any:
        """A copy as it is."""
        return copy.deepcopy(self.given)

    def cut(self, bar: int) -> Any:
        """A copy that ends with that bar."""
        rows = np.flatnonzero(self.bars <= bar)
        if isinstance(self.given, np.ndarray):
            return self.given[rows].copy()
        return copy.deepcopy(nw.to_native(_wrap(self.given)[rows]))

    def change(self, bar: int, *, way: str, generator: np.random.Generator) -> Any:
        """A copy with other numbers after that bar; what is missing stays so."""
        future = self.bars > bar
        if isinstance(self.given, np.ndarray):
            return _change_array(self.given, future, way=way, generator=generator)
        return _change_table(self.given, future, time=self.time, way=way, generator=generator)

    def missing(self) -> Mask:
        """Whether a bar lacks a number somewhere [bars]."""
        gaps = np.zeros(self.count, dtype=np.bool_)
        for column in _columns(self.given):
            np.logical_or.at(gaps, self.bars, column)
        return gaps


def read_table(given: Any, *, times: ArrayLike | None, time: str | None) -> Table:
    """The table with its bars. Times come from `times`, the column `time`, or the index of a pandas table."""
    rows = len(given) if hasattr(given, "__len__") else 0
    if isinstance(given, np.ndarray):
        if given.ndim not in (1, 2) or given.dtype.kind not in "fiub":
            raise AllocationError(f"an array of numbers [T] or [T, A] can be checked; got {given.dtype} {given.shape}.")
        if time is not None:
            raise AllocationError(f"an array has no column {time!r}. Give its dates as times=.")
        stamps = None if times is None else np.asarray(times)
    else:
        stamps = _find_times(given, times=times, time=time)
    if rows < 4:
        raise AllocationError(f"{rows} rows have no past and future to compare. Bring at least 4.")
    if stamps is None:
        return Table(given, np.arange(rows), None, None)
    if stamps.shape != (rows,):
        raise AllocationError(f"{rows} rows came with times of shape {stamps.shape}. Give one time a row.")
    moments, bars = np.unique(stamps, return_inverse=True)
    if not _is_long(given, time) and not np.array_equal(bars, np.arange(rows)):
        raise AllocationError("the times don't rise from row to row. Sort the rows, or name the column of times.")
    return Table(given, bars, moments, time)


def _find_times(given: Any, *, times: ArrayLike | None, time: str | None) -> NDArray[Any] | None:
    frame = _wrap(given)
    if times is not None:
        return np.asarray(times)
    if time is not None and not isinstance(frame, nw.Series) and time in frame.columns:
        return np.asarray(frame.get_column(time).to_numpy())
    stamps = read_index(frame, time=time)
    if stamps is None and time is not None:
        raise AllocationError(f"the table has no column {time!r} of times. Name the one that it has.")
    return stamps


def read_index(frame: Any, *, time: str | None) -> NDArray[Any] | None:
    """The dates in the index of a pandas table, or in its level `time`; None where there are none."""
    index = nw.maybe_get_index(frame)
    if index is None:
        return None
    if getattr(index, "nlevels", 1) > 1:
        if time not in index.names:
            raise AllocationError(
                f"the index has the levels {', '.join(map(str, index.names))}; name the one of times with time=."
            )
        index = index.get_level_values(time)
    dated = str(index.dtype).startswith("datetime64")  # those of a zone come as UTC
    return np.asarray(index, dtype="datetime64[us]") if dated else None


def _is_long(given: Any, time: str | None) -> bool:
    return time is not None and not isinstance(given, np.ndarray)


def _wrap(given: Any) -> Any:
    try:
        return nw.from_native(given, eager_only=True, allow_series=True)
    except TypeError as error:
        raise AllocationError(
            f"a function is checked on a NumPy array, or a pandas, polars or Arrow table; got {type(given).__name__}."
        ) from error


def _columns(given: Any) -> list[Mask]:
    """Where each column of numbers is missing."""
    if isinstance(given, np.ndarray):
        table = given[:, None] if given.ndim == 1 else given
        return [np.isnan(column) for column in table.T] if given.dtype.kind == "f" else []
    frame = _wrap(given)
    columns = [frame] if isinstance(frame, nw.Series) else list(frame.iter_columns())
    return [_find_missing(column) for column in columns if column.dtype.is_float() or column.dtype.is_integer()]


def _find_missing(column: Any) -> Mask:
    missing = np.array(column.is_null().to_numpy(), dtype=np.bool_)
    if column.dtype.is_float():
        missing |= np.isnan(np.asarray(column.to_numpy(), dtype=np.float64))
    return missing


def _change_array(given: NDArray[Any], future: Mask, *, way: str, generator: np.random.Generator) -> NDArray[Any]:
    changed = given.copy()
    columns = changed[:, None] if changed.ndim == 1 else changed  # a view
    for place in range(columns.shape[1]):
        rows = np.flatnonzero(future & np.isfinite(columns[:, place]))
        if rows.size:
            columns[rows, place] = change_values(columns[rows, place], way=way, generator=generator)
    return changed


def _change_table(given: Any, future: Mask, *, time: str | None, way: str, generator: np.random.Generator) -> Any:
    frame = _wrap(copy.deepcopy(given))
    if isinstance(frame, nw.Series):
        return nw.to_native(_change_column(frame, future, way=way, generator=generator))
    changed = [
        _change_column(column, future, way=way, generator=generator)
        for column in frame.iter_columns()
        if column.name != time and (column.dtype.is_numeric() or column.dtype == nw.Boolean)
    ]
    return nw.to_native(frame.with_columns(*changed))


def _change_column(column: Any, future: Mask, *, way: str, generator: np.random.Generator) -> Any:
    rows = np.flatnonzero(future & ~_find_missing(column))
    if not rows.size:
        return column
    values = np.asarray(column[rows].to_numpy())
    if values.dtype.kind not in "fiub":  # decimals, or whole numbers that a pandas extension holds
        values = values.astype(np.float64)
    return column.scatter(rows, change_values(values, way=way, generator=generator))
