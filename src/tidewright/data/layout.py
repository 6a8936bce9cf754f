"""Wide tables made long: a series a column, or a series a row."""

from __future__ import annotations

from typing import Any

import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.border import to_polars
from tidewright.errors import ColumnError, DataError

SERIES, VALUE, STEP = "series", "value", "step"


_EMPTY = ("", "NA", "N/A", "nan", "NaN", "null", "None")


def melt_columns(data: Any, *, time: str, columns: tuple[str, ...] = ()) -> pl.DataFrame:
    """A long table (series, `time`, value) of a wide one with a series a column.

    All columns unless some are named. Raises `ColumnError` for a missing column, and for text among numbers.

    >>> melt_columns(pl.DataFrame({"t": [1, 2], "a": [3, 4], "b": [5, 6]}), time="t").shape
    (4, 3)
    """
    table, _ = to_polars(data)
    for name in (time, *columns):
        if name not in table.columns:
            raise ColumnError(explain_unknown("column", name, table.columns))
    _check_free(time, (SERIES, VALUE))
    on = list(columns) or [name for name in table.columns if name != time]
    text = [name for name in on if table[name].dtype == pl.String]
    if text and len(text) < len(on):
        raise ColumnError(
            f"column '{text[0]}' holds text, the others numbers. Name the columns that are series: columns=(...)."
        )
    return table.select(time, *on).unpivot(index=time, on=on, variable_name=SERIES, value_name=VALUE)


def melt_rows(data: Any, *, series: str) -> pl.DataFrame:
    """A long table (`series`, step, value) of a wide one with a series a row, as the M competitions publish
    them.

    Rows that are shorter end early in the table; they are aligned at their ends, so that the newest value of
    every series stands at the same step, the number of columns. Empty cells at a row's end are no
    observations. Raises `DataError` for a series with two rows, without a value, or with a cell that is no
    number.

    >>> table = pl.DataFrame({"id": ["a", "b"], "1": [1, 7], "2": [2, None]})
    >>> melt_rows(table, series="id")["step"].to_list()
    [1, 2, 2]
    """
    table, _ = to_polars(data)
    if series not in table.columns:
        raise ColumnError(explain_unknown("column", series, table.columns))
    _check_free(series, (STEP, VALUE))
    if table[series].is_duplicated().any():
        doubled = table.filter(table[series].is_duplicated())[series][0]
        raise DataError(f"series {doubled!r} stands in more than one row. Is the layout long?")
    columns = [name for name in table.columns if name != series]
    long = (
        table.with_columns(_numbers(table, name, series=series) for name in columns)
        .unpivot(index=series, on=columns, variable_name=STEP, value_name=VALUE)
        .with_columns(pl.int_range(pl.len()).over(series).alias(STEP))
    )
    last = pl.col(STEP).filter(pl.col(VALUE).is_not_null()).max().over(series)
    found = long.filter(pl.col(STEP) <= last).with_columns(pl.col(STEP) + (len(columns) - last)).sort(series, STEP)
    if found[series].n_unique() < len(table):
        empty = table.filter(~pl.col(series).is_in(found[series].implode()))[series][0]
        raise DataError(f"series {empty!r} has no value in its row. Drop the row, or bring its values.")
    return found


def _numbers(table: pl.DataFrame, name: str, *, series: str) -> pl.Series:
    """A column as float64, empty text and NaN as missing."""
    given = table[name]
    if given.dtype == pl.String:
        text = given.str.strip_chars()
        given = text.set(text.is_in(list(_EMPTY)), None)
    numbers = given.cast(pl.Float64, strict=False).fill_nan(None)
    bad = (numbers.is_null() & given.is_not_null() & ~_is_nan(given)).arg_true()
    if len(bad):
        row = int(bad[0])
        raise DataError(
            f"series {table[series][row]!r} has {given[row]!r} in column '{name}', which is no number. Is this column "
            "a value? Drop it if not."
        )
    return numbers


def _is_nan(values: pl.Series) -> pl.Series:
    return values.is_nan() if values.dtype.is_float() else pl.repeat(False, len(values), eager=True)


def _check_free(name: str, taken: tuple[str, ...]) -> None:
    if name in taken:
        raise ColumnError(f"the column '{name}' has a name that the long table needs ({', '.join(taken)}). Rename it.")
