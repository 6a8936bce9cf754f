"""Numbers with a date and a name, prices or weights: from a table with a column an asset, or a row a date and asset.

T dates, A names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.border import to_polars
from tidewright.data.frequency import Frequency
from tidewright.data.grid import find_frequency
from tidewright.data.panel import Floats, Roles
from tidewright.data.times import read_times
from tidewright.errors import ColumnError, DataError, FrequencyError

TIMES = ("date", "time", "timestamp", "datetime", "day")
PRICES = ("adj close", "adj_close", "adjusted_close", "adjclose", "close", "price", "value")
OPENS = ("adj open", "adj_open", "adjusted_open", "open")
WEIGHTS = ("weight", "weights", "target", "target_weight", "value")


@dataclass(frozen=True, slots=True, eq=False)
class Dated:
    """Values [T, A] at ascending `times` [T] (datetime64[us], UTC or the dates as written); NaN where there is none.

    `column` is the column of a long table that they come from, empty for a wide one.
    """

    times: npt.NDArray[np.datetime64]
    names: tuple[str, ...]
    values: Floats
    column: str = ""
    notes: tuple[str, ...] = ()


def read_dated(
    source: Any,
    *,
    time: str | None = None,
    series: str | None = None,
    value: str | None = None,
    usual: Sequence[str] = PRICES,
) -> Dated:
    """The numbers of a table or file, wide (a column an asset) or long (`series` names the asset of a row).

    The column of times is the only one of dates unless `time` names it, or the one with a usual name. A table with one
    column of text besides is long; its numbers are in `value`, or in the first of the `usual` names that it has. Raises
    `DataError` and `ColumnError`.

    >>> table = pl.DataFrame({"date": ["2024-01-02", "2024-01-03"], "A": [1.0, 2.0], "B": [3.0, None]})
    >>> found = read_dated(table)
    >>> found.names, found.values.tolist()
    (('A', 'B'), [[1.0, 3.0], [2.0, nan]])
    """
    table, _ = to_polars(source)
    time = _find_time(table, time)
    others = [name for name in table.columns if name != time]
    text = [name for name in others if table[name].dtype in (pl.String, pl.Categorical, pl.Enum)]
    if series is None and len(text) == 1:
        series = text[0]
    if series is None:
        return _read_wide(table, time, text=text)
    if series not in others:
        raise ColumnError(explain_unknown("column", series, others))
    value = _find_value(table, value, others=[name for name in others if name != series], usual=usual)
    long = table.select(_read_moments(table, time, value), pl.col(series).cast(pl.String), pl.col(value))
    doubled = long.select(time, series).is_duplicated()
    if doubled.any():
        row = long.row(int(doubled.arg_true()[0]), named=True)
        raise DataError(f"{row[series]!r} has more than one row at {row[time]}. Keep one row a date and asset.")
    wide = long.pivot(on=series, index=time, values=value, maintain_order=True)
    return _finish(wide, time, column=value)


def carry_gaps(dated: Dated, *, most: int) -> Dated:
    """The same with each value carried over at most `most` dates without one; a note says how many were.

    >>> table = pl.DataFrame({"date": ["2024-01-02", "2024-01-03", "2024-01-04"], "A": [1.0, None, None], "B": 1.0})
    >>> carry_gaps(read_dated(table), most=1).values.tolist()
    [[1.0, 1.0], [1.0, 1.0], [nan, 1.0]]
    """
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise DataError(f"a value is carried over a number of dates, 0 or more; got {most!r}.")
    rows = np.arange(len(dated.values))[:, None]
    missing = np.isnan(dated.values)
    last = np.maximum.accumulate(np.where(missing, -1, rows), axis=0)
    near = missing & (last >= 0) & (rows - last <= most)
    if not near.any():
        return dated
    values = np.where(near, np.take_along_axis(dated.values, np.maximum(last, 0), axis=0), dated.values)
    note = f"{int(near.sum())} prices of {int(near.any(axis=0).sum())} assets are carried from a date before"
    return replace(dated, values=values, notes=(*dated.notes, note))


def measure_periods(
    times: npt.NDArray[np.datetime64], *, frequency: str | None = None, calendar: str | None = None
) -> tuple[float, str]:
    """How many of these bars a year has, and in words where that comes from.

    That of their grid (found, or asked for as a `frequency` or an exchange's `calendar`), times the share of the grid
    that is there: holidays and nights are no bars. Raises `FrequencyError`.

    >>> days = np.arange("2023-01-02", "2024-01-01", dtype="datetime64[D]")
    >>> round(measure_periods(days[np.is_busday(days)])[0], 1)
    260.9
    """
    moments = times.astype("datetime64[us]").astype(np.int64)
    if moments.size < 2:
        raise FrequencyError("one bar has no frequency. Bring at least two.")
    codes = np.zeros(moments.size, dtype=np.int32)
    grid, positions = find_frequency(moments, codes, asked=frequency, calendar=calendar, steps=False, names=["prices"])
    share = (moments.size - 1) / float(positions[-1] - positions[0])
    periods = grid.periods_per_year * share
    return periods, _tell_periods(grid, share=share, periods=periods)


def _tell_periods(grid: Frequency, *, share: float, periods: float) -> str:
    there = "" if share == 1.0 else f", of which {share:.1%} are there"
    whole = f"a grid of {grid.name} ({grid.periods_per_year:.1f} a year)"
    return f"{periods:.1f} periods a year: the dates stand on {whole}{there}"


def _find_time(table: pl.DataFrame, time: str | None) -> str:
    if time is not None:
        if time not in table.columns:
            raise ColumnError(explain_unknown("column", time, table.columns))
        return time
    dated = [name for name in table.columns if isinstance(table[name].dtype, pl.Date | pl.Datetime)]
    named = [name for name in dated or table.columns if name.casefold() in TIMES]
    found = dated if len(dated) == 1 else named
    if len(found) != 1:
        raise ColumnError(
            f"which column holds the dates? The table has: {', '.join(table.columns[:20])}. Name it with time= "
            "(--time)."
        )
    return found[0]


def _find_value(table: pl.DataFrame, value: str | None, *, others: Sequence[str], usual: Sequence[str]) -> str:
    if value is not None:
        if value not in others:
            raise ColumnError(explain_unknown("column", value, others))
        return value
    by_case = {name.casefold(): name for name in others}
    named = [by_case[name] for name in usual if name in by_case]
    numbers = [name for name in others if table[name].dtype.is_numeric()]
    if not named and len(numbers) != 1:
        raise ColumnError(
            f"which column holds the numbers? The table has: {', '.join(others[:20])}. Name it with value= (--price)."
        )
    return (named or numbers)[0]


def _read_wide(table: pl.DataFrame, time: str, *, text: Sequence[str]) -> Dated:
    if text:
        raise ColumnError(
            f"columns {', '.join(text[:5])} hold text. A wide table has a column of numbers an asset; of a long one "
            "name the column of assets with series= (--series)."
        )
    names = [name for name in table.columns if name != time]
    odd = [name for name in names if not (table[name].dtype.is_numeric() or table[name].dtype == pl.Null)]
    if odd or not names:
        raise ColumnError(f"column {odd[0]!r} holds no numbers." if odd else "the table has no column of numbers.")
    return _finish(table.select(_read_moments(table, time, names[0]), *names), time, column="")


def _read_moments(table: pl.DataFrame, time: str, value: str) -> pl.Series:
    """The times as microseconds."""
    moments, dtype, _ = read_times(table, roles=Roles(time=time, target=value), announce=lambda repair: None)
    if dtype.is_integer():
        raise DataError(f"column {time!r} holds step numbers; prices and weights have dates. Bring dates.")
    return moments.alias(time).cast(pl.Datetime("us"))


def _finish(wide: pl.DataFrame, time: str, *, column: str) -> Dated:
    wide = wide.sort(time)
    doubled = wide[time].is_duplicated()
    if doubled.any():
        raise DataError(f"{wide[time][int(doubled.arg_true()[0])]} comes more than once. Keep one row a date.")
    names = tuple(name for name in wide.columns if name != time)
    values = np.column_stack([wide[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in names])
    empty = np.isnan(values).all(axis=1)
    notes = (f"{int(empty.sum())} dates without any number are left out",) if empty.any() else ()
    return Dated(wide[time].to_numpy()[~empty], names, np.ascontiguousarray(values[~empty]), column, notes)
