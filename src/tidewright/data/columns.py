"""Columns made clean at the border: names checked, times to microseconds, numbers to float64, ids not null."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Repair, Roles
from tidewright.errors import ColumnError, DataError

Announce = Callable[[Repair], None]

LARGEST = 1e30  # nets compute in float32, whose squares overflow beyond about 1.8e19; beyond this nothing is left to scale
_FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y/%m/%d", "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S", "%Y-%m", "%Y%m%d", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y",
)  # fmt: skip
_DAY_FIRST, _MONTH_FIRST = "%d/%m/%Y", "%m/%d/%Y"
_ZONED = "%Y-%m-%dT%H:%M:%S%.f%#z"


def check_roles(table: pl.DataFrame, *, roles: Roles) -> None:
    """Every column that has a role is there and has just one."""
    for name in roles.columns:
        if name not in table.columns:
            raise ColumnError(explain_unknown("column", name, table.columns))
        if roles.columns.count(name) > 1:
            raise ColumnError(f"column '{name}' has two roles. Give each column one of series, time, target, past, known, static.")


def clean_columns(table: pl.DataFrame, *, roles: Roles, announce: Announce) -> pl.DataFrame:
    """The columns with roles: time as int64 microseconds (or integer steps), numbers as float64, series ids as given."""
    table = table.select(roles.columns)
    if table.is_empty():
        raise DataError("the table has no rows. Bring at least one series with a few observations.")
    if roles.series is not None:
        _check_ids(table, roles.series)
    table = table.with_columns(_clean_time(table, roles, announce).alias(roles.time))
    for name in (roles.target, *roles.past, *roles.known):
        table = table.with_columns(_clean_number(table, name, roles, announce).alias(name))
    for name in roles.static:
        if table[name].dtype.is_numeric() or table[name].dtype == pl.Boolean:
            table = table.with_columns(_clean_number(table, name, roles, announce).alias(name))
        else:
            table = table.with_columns(pl.col(name).cast(pl.String))
    return table


def _check_ids(table: pl.DataFrame, name: str) -> None:
    ids = table[name]
    if ids.dtype.is_float():
        raise ColumnError(f"the series column '{name}' holds fractions ({ids.dtype}). Ids are text or whole numbers: cast it.")
    empty = ids.is_null()
    if empty.any():
        row = int(empty.arg_true()[0])
        raise DataError(f"row {row} has no series id in column '{name}' ({empty.sum()} rows in all). Fill it or drop those rows.")


def _clean_time(table: pl.DataFrame, roles: Roles, announce: Announce) -> pl.Series:
    times = table[roles.time]
    missing = times.is_null()
    if missing.any():
        row = int(missing.arg_true()[0])
        raise DataError(
            f"row {row}{_of_series(table, roles, row)} has no time in column '{roles.time}' ({missing.sum()} rows in all). "
            "Fill it or drop those rows."
        )
    if times.dtype == pl.String:
        times = _parse_times(times, roles.time, announce)
    if isinstance(times.dtype, pl.Datetime):
        if times.dtype.time_zone not in (None, "UTC"):
            announce(Repair("time zone", len(times), f"times in {times.dtype.time_zone} were converted to UTC"))
        return times.dt.timestamp("us")
    if times.dtype == pl.Date:
        return times.cast(pl.Datetime("us")).dt.timestamp("us")
    if times.dtype.is_integer():
        return _check_steps(times, roles.time)
    raise ColumnError(
        f"the time column '{roles.time}' holds {times.dtype}. Times are dates, datetimes, or whole step numbers."
    )


def _check_steps(times: pl.Series, name: str) -> pl.Series:
    low, high = int(times.min()), int(times.max())  # type: ignore[arg-type]
    if 19_000_101 <= low and high <= 22_001_231:
        raise DataError(f"the time column '{name}' holds integers that look like dates ({low}). Turn them into dates: as text they parse.")
    if low > 100_000_000:
        raise DataError(f"the time column '{name}' holds integers that look like epoch times ({low}). Turn them into datetimes.")
    return times.cast(pl.Int64)


def _parse_times(times: pl.Series, name: str, announce: Announce) -> pl.Series:
    text = times.str.strip_chars()
    best, fewest = pl.Series([None] * len(text), dtype=pl.Datetime("us")), len(text)
    for form in _FORMATS:
        parsed = text.str.to_datetime(form, time_unit="us", strict=False)
        if parsed.null_count() == 0:
            announce(Repair("parsed times", len(times), f"text in '{name}' was read as {form}"))
            return parsed
        if parsed.null_count() < fewest:
            best, fewest = parsed, parsed.null_count()
    slashed = _parse_slashed(text, name, announce)
    if slashed is not None:
        return slashed
    zoned = text.str.to_datetime(_ZONED, time_unit="us", strict=False)
    if zoned.null_count() == 0:
        announce(Repair("parsed times", len(times), f"text in '{name}' was read as ISO times with their offsets, in UTC"))
        return zoned
    row = int(best.is_null().arg_true()[0])
    raise DataError(f"row {row}: '{times[row]}' in column '{name}' is not a time that fits the others. Write times as 2024-12-31 or 2024-12-31 23:00:00.")


def _parse_slashed(text: pl.Series, name: str, announce: Announce) -> pl.Series | None:
    """1/2/2024 is read only when the whole column allows just one order of day and month."""
    for clock in ("", " %H:%M", " %H:%M:%S"):
        day_first = text.str.to_datetime(_DAY_FIRST + clock, time_unit="us", strict=False)
        month_first = text.str.to_datetime(_MONTH_FIRST + clock, time_unit="us", strict=False)
        fits = [parsed.null_count() == 0 for parsed in (day_first, month_first)]
        if all(fits) and not day_first.equals(month_first):
            raise DataError(f"'{text[0]}' in column '{name}' may be day/month or month/day, and every row allows both. Write times as 2024-12-31.")
        if any(fits):
            form = (_DAY_FIRST if fits[0] else _MONTH_FIRST) + clock
            announce(Repair("parsed times", len(text), f"text in '{name}' was read as {form}"))
            return day_first if fits[0] else month_first
    return None


def _clean_number(table: pl.DataFrame, name: str, roles: Roles, announce: Announce) -> pl.Series:
    values = table[name]
    if values.dtype == pl.String:
        numbers = values.str.strip_chars().cast(pl.Float64, strict=False)
        bad = numbers.is_null() & values.is_not_null()
        if bad.any():
            row = int(bad.arg_true()[0])
            raise DataError(
                f"'{values[row]}' in column '{name}' at row {row}{_of_series(table, roles, row)} is not a number "
                f"({bad.sum()} such rows). Numbers are needed here; leave a missing value empty."
            )
        announce(Repair("parsed numbers", len(values), f"text in '{name}' was read as numbers"))
        values = numbers
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise ColumnError(f"column '{name}' holds {values.dtype}; numbers are needed for its role.")
    numbers = values.cast(pl.Float64).fill_nan(None)
    large = (numbers.abs() > LARGEST).fill_null(value=False)
    if large.any():
        row = int(large.arg_true()[0])
        what = "infinite" if numbers.is_infinite().fill_null(value=False)[row] else f"{numbers[row]:g}, beyond {LARGEST:g}"
        raise DataError(
            f"column '{name}' is {what} at row {row}{_of_series(table, roles, row)} ({large.sum()} such rows). "
            "Leave a missing value empty, or rescale the column."
        )
    return numbers


def _of_series(table: pl.DataFrame, roles: Roles, row: int) -> str:
    time = f", time {table[roles.time][row]}" if table[roles.time].dtype != pl.Int64 else ""
    return (f" (series {table[roles.series][row]!r}{time})" if roles.series else f" ({time.strip(', ')})" if time else "")
