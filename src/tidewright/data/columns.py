"""Columns made clean at the border: roles checked, ids not null, numbers to float64."""

from __future__ import annotations

import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Repair, Roles
from tidewright.data.times import Announce
from tidewright.errors import ColumnError, DataError

LARGEST = 1e30  # nets compute in float32, whose largest number is 3.4e38: beyond this nothing is left to scale
ABSENT = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "<NA>")


def check_roles(table: pl.DataFrame, *, roles: Roles) -> None:
    """Every column that has a role is there and has just one."""
    if not table.columns:
        raise DataError("the table has no columns. Bring one with times and a target at least.")
    for name in roles.columns:
        if not isinstance(name, str):
            raise ColumnError(f"a column is named by its text; got {name!r}. Write '{name}'.")
        if name not in table.columns:
            raise ColumnError(explain_unknown("column", name, table.columns) + _hint_separator(table))
        if roles.columns.count(name) > 1:
            raise ColumnError(
                f"column '{name}' has two roles. Give each column one of series, time, target, past, known, static."
            )
    if table.is_empty():
        raise DataError("the table has no rows. Bring at least one series with a few observations.")


def clean_ids(table: pl.DataFrame, *, roles: Roles) -> pl.Series:
    """The series ids as text or whole numbers, none missing; the target's name for a table of one series."""
    if roles.series is None:
        return pl.Series([roles.target]).new_from_index(0, len(table))
    name = roles.series
    ids = table[name].rechunk()
    ids = ids.fill_nan(None) if ids.dtype.is_float() else ids
    if isinstance(ids.dtype, (pl.Categorical, pl.Enum)):
        ids = ids.cast(pl.String)
    empty = ids.is_null()
    if ids.dtype == pl.String:
        empty = empty | (ids.str.strip_chars() == "")
    if empty.any():
        row = int(empty.arg_true()[0])
        raise DataError(
            f"row {row} has no series id in column '{name}' ({empty.sum()} rows in all). Fill it or drop those rows."
        )
    if ids.dtype.is_float() and bool((ids % 1 == 0).all()):
        return ids.cast(pl.Int64)
    if ids.dtype.is_float() or ids.dtype.is_nested() or ids.dtype in (pl.Object, pl.Binary):
        raise ColumnError(f"the series column '{name}' holds {ids.dtype}. Ids are text or whole numbers: cast it.")
    return ids


def clean_number(table: pl.DataFrame, name: str, *, roles: Roles, announce: Announce) -> pl.Series:
    """One column as float64, null where it is missing; raises at text, infinity and beyond `LARGEST`."""
    values = table[name].rechunk()  # numpy sees a column in one piece without a copy
    if values.dtype == pl.String:
        values = _parse_numbers(table, name, roles, announce)
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise ColumnError(f"column '{name}' holds {values.dtype}; numbers are needed for its role.")
    numbers = values.cast(pl.Float64).fill_nan(None)
    low, high = numbers.min(), numbers.max()
    if low is not None and (low < -LARGEST or high > LARGEST):  # type: ignore[operator]  # floats
        large = (numbers.abs() > LARGEST).fill_null(value=False)
        row = int(large.arg_true()[0])
        infinite = bool(numbers.is_infinite().fill_null(value=False)[row])
        what = "infinite" if infinite else f"{numbers[row]:g}, beyond {LARGEST:g},"
        raise DataError(
            f"column '{name}' is {what} at row {row}{_of_series(table, roles, row)} ({large.sum()} such rows). Leave a "
            "missing value empty, or rescale the column."
        )
    return numbers


def clean_static(table: pl.DataFrame, name: str, *, roles: Roles, announce: Announce) -> pl.Series:
    """One static column: numbers as float64, everything else as text."""
    values = table[name]
    if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
        return clean_number(table, name, roles=roles, announce=announce)
    if values.dtype.is_nested() or values.dtype in (pl.Object, pl.Binary):
        raise ColumnError(f"static column '{name}' holds {values.dtype}; text or numbers are needed for its role.")
    return values.cast(pl.String)


def _parse_numbers(table: pl.DataFrame, name: str, roles: Roles, announce: Announce) -> pl.Series:
    values = table[name]
    text = values.str.strip_chars()
    absent = text.is_in(ABSENT).fill_null(value=False)
    numbers = text.cast(pl.Float64, strict=False)
    bad = numbers.is_null() & values.is_not_null() & ~absent
    if bad.any():
        row = int(bad.arg_true()[0])
        comma = " Write 1234.5, without thousands separators or a decimal comma." if "," in values[row] else ""
        classes = " Where it holds classes, say so: classes=True, --kind classify." if name == roles.target else ""
        raise DataError(
            f"'{values[row]}' in column '{name}' at row {row}{_of_series(table, roles, row)} is not a number "
            f"({bad.sum()} such rows). Numbers are needed here; leave a missing value empty.{comma}{classes}"
        )
    if values.null_count() == len(values):
        return numbers
    blank = f"; {absent.sum()} of them say that the value is missing" if absent.any() else ""
    announce(Repair("parsed numbers", len(values), f"text in '{name}' was read as numbers{blank}"))
    return numbers


def _of_series(table: pl.DataFrame, roles: Roles, row: int) -> str:
    parts = [f"series {table[roles.series][row]!r}"] if roles.series else []
    return f" ({', '.join([*parts, f'time {table[roles.time][row]}'])})"


def _hint_separator(table: pl.DataFrame) -> str:
    """What to do when a whole line was read as one column."""
    first = table.columns[0] if table.width == 1 else ""
    return f" The table has one column, '{first}': save it with commas between its columns." if ";" in first else ""
