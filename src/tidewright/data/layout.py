"""Wide tables made long: a series a column, or a series a row."""

from __future__ import annotations

from typing import Any

import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.border import to_polars
from tidewright.errors import ColumnError, DataError

SERIES, VALUE, STEP = "series", "value", "step"


def melt_columns(data: Any, *, time: str, columns: tuple[str, ...] = ()) -> pl.DataFrame:
    """A long table (series, `time`, value) of a wide one with a series a column; all columns unless some are named.

    >>> melt_columns(pl.DataFrame({"t": [1, 2], "a": [3, 4], "b": [5, 6]}), time="t").shape
    (4, 3)
    """
    table, _ = to_polars(data)
    for name in (time, *columns):
        if name not in table.columns:
            raise ColumnError(explain_unknown("column", name, table.columns))
    on = list(columns) or [name for name in table.columns if name != time]
    return table.select(time, *on).unpivot(index=time, on=on, variable_name=SERIES, value_name=VALUE)


def melt_rows(data: Any, *, series: str) -> pl.DataFrame:
    """A long table (`series`, step, value) of a wide one with a series a row (as the M competitions are published).

    Rows that are shorter end early in the table; they are aligned at their ends, so that the newest value of every
    series stands at the same step. Empty cells at a row's end are no observations.

    >>> melt_rows(pl.DataFrame({"id": ["a", "b"], "1": [1, 7], "2": [2, None]}), series="id")["step"].to_list()
    [1, 2, 2]
    """
    table, _ = to_polars(data)
    if series not in table.columns:
        raise ColumnError(explain_unknown("column", series, table.columns))
    if table[series].is_duplicated().any():
        doubled = table.filter(table[series].is_duplicated())[series][0]
        raise DataError(f"series {doubled!r} stands in more than one row. Is the layout long?")
    columns = [name for name in table.columns if name != series]
    long = (
        table.with_columns(pl.col(columns).cast(pl.Float64, strict=False))
        .unpivot(index=series, on=columns, variable_name=STEP, value_name=VALUE)
        .with_columns(pl.int_range(pl.len()).over(series).alias(STEP))
    )
    last = pl.col(STEP).filter(pl.col(VALUE).is_not_null()).max().over(series)
    return long.filter(pl.col(STEP) <= last).with_columns(pl.col(STEP) + (len(columns) - last)).sort(series, STEP)
