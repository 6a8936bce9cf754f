"""A table's time column read into int64 microseconds (or whole steps), and written back in its own type."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from tidewright.data.frequency import DAY, Frequency, Ints
from tidewright.data.panel import Repair, Roles
from tidewright.errors import ColumnError, DataError

Announce = Callable[[Repair], None]

_FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
    "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S%.f", "%Y-%m", "%Y%m%d", "%d.%m.%Y", "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%B %Y", "%b %Y", "%Y",
)  # fmt: skip
_DAY_FIRST, _MONTH_FIRST = "%d/%m/%Y", "%m/%d/%Y"
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z")
_QUARTER = r"^(\d{4})[- ]?[Qq]([1-4])$"
_EARLIEST, _LATEST = -59_011_459_200_000_000, 32_503_680_000_000_000  # the years 100 and 3000
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_800_000_000  # the years 1 and 10000


def read_times(table: pl.DataFrame, *, roles: Roles, announce: Announce) -> tuple[pl.Series, pl.DataType, bool]:
    """The times as int64, the type to give them back in, and whether they are wall times of their zone.

    Wall times (the same clock time in every row, such as midnight) keep daily and longer grids whole over
    daylight saving; all other times of a zone are counted in UTC. Raises `DataError` or `ColumnError`.
    """
    name, given = roles.time, table[roles.time].rechunk()
    times = _whole(given) if given.dtype.is_float() else given
    _refuse_missing(times, table, roles)
    if times.dtype == pl.String:
        times = parse_times(times, name, announce)
    if times.dtype.is_integer():
        return _check_steps(times, name), pl.Int64(), False
    if not isinstance(times.dtype, (pl.Date, pl.Datetime)):
        raise ColumnError(
            f"the time column '{name}' holds {times.dtype}. Times are dates, datetimes, or whole step numbers."
        )
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_unit == "ns" and _too_fine(times):
        raise DataError(f"the times in '{name}' are finer than a microsecond. Give them as whole step numbers.")
    _check_years(times, table, roles)
    local = isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None
    wall = (times.dt.replace_time_zone(None) if local else times).cast(pl.Datetime("us")).dt.timestamp("us")
    local = local and (wall % DAY).n_unique() == 1
    micros = wall if local or times.dtype == pl.Date else times.dt.timestamp("us")
    return micros, times.dtype, local


def parse_times(times: pl.Series, name: str, announce: Announce) -> pl.Series:
    """Text as dates (when every time is a midnight) or datetimes, by the one form that fits every row."""
    text = times.str.strip_chars()
    best, fewest = pl.Series([None] * len(text), dtype=pl.Datetime("us")), len(text) + 1
    for form in (*_FORMATS, *_ZONED):
        parsed = text.str.to_datetime(form, time_unit="us", strict=False)
        if parsed.null_count() == 0:
            return _announce_parsed(parsed, name, form, announce)
        if parsed.null_count() < fewest:
            best, fewest = parsed, parsed.null_count()
    slashed = _parse_slashed(text, name, announce)
    if slashed is not None:
        return slashed
    if bool(text.str.contains(_QUARTER).all()):
        month = (text.str.replace(_QUARTER, "$2").cast(pl.Int64) * 3 - 2).cast(pl.String).str.zfill(2)
        first = (text.str.slice(0, 4) + "-" + month + "-01").str.to_datetime("%Y-%m-%d", time_unit="us")
        return _announce_parsed(first, name, "quarters, by their first day", announce)
    row = int(best.is_null().arg_true()[0])
    raise DataError(
        f"row {row}: '{times[row]}' in column '{name}' is not a time that fits the others. "
        "Write times as 2024-12-31 or 2024-12-31 23:00:00."
    )


def write_times(grid: Frequency, positions: Ints, *, dtype: pl.DataType, local: bool) -> pl.Series:
    """The times at grid positions in the type `dtype`; wall times (`local`) become moments of their zone."""
    times = pl.Series(grid.times(positions))
    if grid.unit == "step":
        return times
    moments = times.cast(pl.Datetime("us"))
    if not isinstance(dtype, pl.Datetime):
        return moments.cast(pl.Date) if bool((times % DAY == 0).all()) else moments
    zone = dtype.time_zone
    if zone is not None and local:
        moments = place_wall(moments, zone)
    elif zone is not None:
        moments = moments.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return moments.cast(dtype)


def place_wall(wall: pl.Series, zone: str) -> pl.Series:
    """Wall times as moments; one that the clocks jump over becomes the hour after it."""
    placed = wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    if placed.null_count() == 0:
        return placed
    later = wall.dt.offset_by("1h").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return placed.zip_with(placed.is_not_null(), later)


def _refuse_missing(times: pl.Series, table: pl.DataFrame, roles: Roles) -> None:
    missing = times.is_null()
    if times.dtype == pl.String:
        missing = missing | times.str.strip_chars().is_in(["", "NaT", "nan", "NaN", "None", "null", "NA"])
    if missing.any():
        row = int(missing.arg_true()[0])
        of = f" (series {table[roles.series][row]!r})" if roles.series else ""
        raise DataError(
            f"row {row}{of} has no time in column '{roles.time}' ({missing.sum()} rows in all). "
            "Fill it or drop those rows."
        )


def _whole(times: pl.Series) -> pl.Series:
    """Whole numbers that came as floats (a missing value makes pandas do that) as integers."""
    empty = times.fill_nan(None)
    return empty.cast(pl.Int64) if bool((empty.drop_nulls() % 1 == 0).all()) else empty


def _too_fine(times: pl.Series) -> bool:
    return bool((times.dt.timestamp("ns") % 1000 != 0).any())


def _check_years(times: pl.Series, table: pl.DataFrame, roles: Roles) -> None:
    """Before anything is computed with them: polars ends the program at dates beyond the calendar."""
    unit = {pl.Date: DAY, pl.Datetime("ms"): 1000, pl.Datetime("us"): 1}
    plain = pl.Datetime(times.dtype.time_unit) if isinstance(times.dtype, pl.Datetime) else times.dtype
    if plain not in unit:  # nanoseconds end in the year 2262
        return
    numbers = times.to_physical().cast(pl.Int64)
    odd = (numbers < _EARLIEST // unit[plain]) | (numbers >= _LATEST // unit[plain])
    if odd.any():
        row = int(odd.arg_true()[0])
        of = f" of series {table[roles.series][row]!r}" if roles.series else ""
        shown = 0 <= numbers[row] * unit[plain] - _FIRST < _LAST - _FIRST  # a year that has four digits
        told = table[roles.time][row] if shown else f"{numbers[row]} as {plain}"
        raise DataError(
            f"row {row}{of} has the time {told} in column '{roles.time}' ({odd.sum()} such rows): a year of two "
            "digits, or a stand-in for a missing date? Write years with four digits, and drop stand-ins."
        )


def _check_steps(times: pl.Series, name: str) -> pl.Series:
    low, high = int(times.min()), int(times.max())  # type: ignore[arg-type]
    if low >= 19_000_101 and high <= 22_001_231:
        raise DataError(
            f"the time column '{name}' holds integers that look like dates ({low}). Turn them into dates: "
            "as text they parse."
        )
    if high > 100_000_000:
        raise DataError(
            f"the time column '{name}' holds integers that look like epoch times ({high}). Turn them into datetimes, "
            f"for instance polars.from_epoch or pandas.to_datetime(table['{name}'], unit='s')."
        )
    return times.cast(pl.Int64)


def _parse_slashed(text: pl.Series, name: str, announce: Announce) -> pl.Series | None:
    """1/2/2024 is read only when the whole column allows just one order of day and month."""
    for clock in ("", " %H:%M", " %H:%M:%S"):
        day_first = text.str.to_datetime(_DAY_FIRST + clock, time_unit="us", strict=False)
        month_first = text.str.to_datetime(_MONTH_FIRST + clock, time_unit="us", strict=False)
        fits = [parsed.null_count() == 0 for parsed in (day_first, month_first)]
        if all(fits) and not day_first.equals(month_first):
            raise DataError(
                f"'{text[0]}' in column '{name}' may be day/month or month/day, and every row allows both. "
                "Write times as 2024-12-31."
            )
        if any(fits):
            form = (_DAY_FIRST if fits[0] else _MONTH_FIRST) + clock
            return _announce_parsed(day_first if fits[0] else month_first, name, form, announce)
    return None


def _announce_parsed(parsed: pl.Series, name: str, form: str, announce: Announce) -> pl.Series:
    zoned = " with their offsets, in UTC" if form in _ZONED else ""
    announce(Repair("parsed times", len(parsed), f"text in '{name}' was read as {form}{zoned}"))
    midnights = not zoned and bool((parsed.dt.timestamp("us") % DAY == 0).all())
    return parsed.cast(pl.Date) if midnights else parsed
