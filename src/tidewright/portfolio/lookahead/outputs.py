"""What a function gave, as columns with a moment for each row, and where two answers differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.lookahead.tables import Table, read_index

ROUNDING = 1e-12  # of the greatest value of a column: what another order of the same sum may make


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """Columns by name, each [rows], and the bar from which each row is known [rows]: for a row with a time of its own
    the first bar at or after it."""

    bars: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row that differs: its bar, its column, and its values before and after; `size` is how far apart the
    columns are at most, in units of the greatest value (infinite where that can't be said)."""

    bar: int
    column: str
    before: str
    after: str
    size: float


def read_output(given: Any, *, table: Table, bars: NDArray[np.int64]) -> Output:
    """An answer to rows of these bars [rows]: an array or a table with a row for each, or a table with times."""
    if isinstance(given, list | tuple | int | float):
        given = np.asarray(given)
    if isinstance(given, np.ndarray):
        columns = _split_array(given)
    else:
        frame = _wrap(given)
        parts = [frame] if isinstance(frame, nw.Series) else list(frame.iter_columns())
        columns = {str(part.name): np.asarray(part.to_numpy()) for part in parts}
    length = len(next(iter(columns.values()))) if columns else 0
    moments = None if isinstance(given, np.ndarray) else _find_moments(given, columns, table=table)
    if moments is not None and table.times is not None:
        return Output(np.searchsorted(table.times, moments), columns)
    if length != len(bars):
        raise AllocationError(
            f"the function gave {length} rows for {len(bars)}, without times that say which. Give one row a row, or a "
            "table with the times of its rows."
        )
    return Output(bars, columns)


def compare(base: Output, other: Output, *, until: int) -> Difference | None:
    """The first difference among rows known at bar `until`; None where they are the same, bit for bit."""
    left, right = (one.bars <= until for one in (base, other))
    if not left.any() and not right.any():
        return None
    odd = sorted(base.columns.keys() ^ other.columns.keys())
    if odd:
        there = odd[0] in base.columns
        return Difference(0, odd[0], "there" if there else "absent", "absent" if there else "there", np.inf)
    if not np.array_equal(base.bars[left], other.bars[right]):
        return _compare_rows(base.bars[left], other.bars[right])
    found = None
    for name, column in base.columns.items():
        bars, before, after = base.bars[left], column[left], other.columns[name][right]
        differ = np.flatnonzero(~_same(before, after))
        if not differ.size:
            continue
        row = int(differ[np.argmin(bars[differ])])
        size = max(_measure(before, after), 0.0 if found is None else found.size)
        if found is None or bars[row] < found.bar:
            found = Difference(int(bars[row]), name, str(before[row]), str(after[row]), size)
        else:
            found = Difference(found.bar, found.column, found.before, found.after, size)
    return found


def _split_array(given: NDArray[Any]) -> dict[str, NDArray[Any]]:
    if given.ndim not in (1, 2):
        raise AllocationError(f"the function gave an array of shape {given.shape}; one row a bar can be compared.")
    table = given[:, None] if given.ndim == 1 else given
    return {f"column {place}": table[:, place] for place in range(table.shape[1])}


def _wrap(given: Any) -> Any:
    try:
        return nw.from_native(given, eager_only=True, allow_series=True)
    except TypeError as error:
        raise AllocationError(
            f"the function gave {type(given).__name__}; an array or a table with a row a bar can be compared."
        ) from error


def _find_moments(given: Any, columns: dict[str, NDArray[Any]], *, table: Table) -> NDArray[Any] | None:
    """The times of an answer's rows: its column of times, or its index where that holds dates."""
    if table.times is None:
        return None
    if table.time in columns:
        return columns[table.time]
    stamps = read_index(_wrap(given), time=table.time)
    return stamps if stamps is not None and table.times.dtype.kind == "M" else None


def _compare_rows(before: NDArray[np.int64], after: NDArray[np.int64]) -> Difference:
    """The first bar whose rows are more or fewer."""
    size = int(max(before.max(initial=0), after.max(initial=0))) + 1
    left, right = np.bincount(before, minlength=size), np.bincount(after, minlength=size)
    wrong = np.flatnonzero(left != right)
    if not wrong.size:
        return Difference(int(before.min(initial=0)), "the order of rows", "one", "another", np.inf)
    bar = int(wrong[0])
    return Difference(bar, "all columns", f"{left[bar]} rows", f"{right[bar]} rows", np.inf)


def _same(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        same = np.asarray(before == after, dtype=np.bool_)
    return same | (_find_missing(before) & _find_missing(after))


def _find_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind in "fc":
        return np.asarray(np.isnan(values))
    if values.dtype.kind in "mM":
        return np.asarray(np.isnat(values))
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=np.bool_)
    return np.array([one is None or (isinstance(one, float) and np.isnan(one)) for one in values], dtype=np.bool_)


def _measure(before: NDArray[Any], after: NDArray[Any]) -> float:
    if before.dtype.kind not in "fiub" or after.dtype.kind not in "fiub":
        return np.inf
    left, right = before.astype(np.float64), after.astype(np.float64)
    if (np.isfinite(left) != np.isfinite(right)).any():
        return np.inf
    known = np.isfinite(left)
    greatest = float(np.abs(left[known]).max(initial=0.0))
    apart = float(np.abs(left[known] - right[known]).max(initial=0.0))
    return apart / greatest if greatest > 0.0 else np.inf if apart else 0.0
