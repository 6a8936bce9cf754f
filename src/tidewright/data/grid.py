"""A panel's grid: inferred from the times and checked, or checked against the one that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.frequency import DAY, Frequency, Ints, format_time, parse_frequency
from tidewright.errors import FrequencyError

Place = Callable[[int], str]
_MONTHLY = {28: 1, 29: 1, 30: 1, 31: 1, 90: 3, 91: 3, 92: 3, 365: 12, 366: 12}
MOST_GAPS = 20  # a grid with more than this many times the rows that were given points at a wrong time, not at gaps


def find_frequency(
    times: Ints, codes: npt.NDArray[np.int32], *, asked: str | None, calendar: str | None, steps: bool, names: Sequence[Any]
) -> Frequency:
    """The grid of sorted, distinct times [T] of series `codes` [T]; every time lies on it. Raises `FrequencyError`."""
    if calendar is not None:
        if asked is not None and asked.lower() not in ("b", "1b", "d", "1d", "daily", "business"):
            raise FrequencyError(f"calendar {calendar} has one row a trading day, but the frequency asked for is '{asked}'. Give one of the two.")
        frequency = Frequency("session", 1, anchor=int(times.min()), calendar=calendar)
    elif asked is not None:
        frequency = _asked(asked, times, steps)
    else:
        frequency = _inferred(times, codes, steps, names)
    _check(frequency, times, codes, names)
    return frequency


def _asked(asked: str, times: Ints, steps: bool) -> Frequency:
    unit, count = parse_frequency(asked)
    if steps != (unit == "step"):
        has = "whole step numbers" if steps else "dates"
        raise FrequencyError(f"the time column holds {has}, which frequency '{asked}' does not fit. Leave the frequency out, or bring other times.")
    return Frequency(unit, count, anchor=int(times.min()), day=_day(times) if unit == "month" else 1)


def _inferred(times: Ints, codes: npt.NDArray[np.int32], steps: bool, names: Sequence[Any]) -> Frequency:
    inside = np.diff(codes) == 0
    gaps = np.diff(times)[inside]
    if not gaps.size:
        raise FrequencyError("the frequency can't be told: no series has two rows. Bring longer series, or give frequency=.")
    step = _common_step(gaps, codes[1:][inside], names, steps)
    anchor = int(times.min())
    if steps:
        return Frequency("step", step, anchor)
    if step == DAY and not np.isin(_weekday(times), (5, 6)).any() and (gaps == 3 * DAY).any() and (times % DAY == 0).all():
        return Frequency("business", 1, anchor)
    months = _MONTHLY.get(step // DAY) if step % DAY == 0 else None
    if months is not None and (np.unique(gaps).size > 1 or months > 1 or step > 28 * DAY):
        return Frequency("month", months, anchor, day=_day(times))
    return Frequency("fixed", step, anchor)


def _common_step(gaps: Ints, codes: npt.NDArray[np.int32], names: Sequence[Any], steps: bool) -> int:
    """The usual gap, the same for every series; mixed or irregular spacing is an error that names the series."""
    table = pl.DataFrame({"code": codes, "gap": gaps})
    counts = table.group_by("code", "gap").len().sort("len", "gap", descending=[True, False])
    usual = counts.group_by("code", maintain_order=True).first()
    step = int(counts.group_by("gap").agg(pl.col("len").sum()).sort("len", "gap", descending=[True, False])["gap"][0])
    lengths = counts.group_by("code").agg(pl.col("len").sum().alias("all"))
    regular = (pl.col("len") >= 4) & (pl.col("len") >= 0.8 * pl.col("all"))  # a few wide gaps are gaps, not a frequency
    usual = usual.join(lengths, on="code", maintain_order="left").filter(regular)
    other = usual.filter(~pl.Series([_similar(int(g), step) for g in usual["gap"]], dtype=pl.Boolean))
    if len(other):
        code, gap = int(other["code"][0]), int(other["gap"][0])
        base = int(counts.filter(pl.col("gap") == step)["code"].min())  # type: ignore[arg-type]
        raise FrequencyError(
            f"the series have different frequencies: {names[base]!r} is spaced {_span(step, steps)}, {names[code]!r} {_span(gap, steps)}. "
            "Resample them to one, or make a panel of each."
        )
    share = float(np.mean([_similar(int(g), step) for g in gaps]))
    if share < 0.5:
        raise FrequencyError(
            f"the times are irregular: the commonest gap, {_span(step, steps)}, is only {share:.0%} of them. Resample the table, "
            "or give frequency= (and it will be checked)."
        )
    return step


def _similar(gap: int, step: int) -> bool:
    """Equal, or both the length of a month, of a quarter, of a year."""
    month = _MONTHLY.get(step // DAY) if step % DAY == 0 else None
    return gap == step or (month is not None and gap % DAY == 0 and _MONTHLY.get(gap // DAY) == month)


def _check(frequency: Frequency, times: Ints, codes: npt.NDArray[np.int32], names: Sequence[Any]) -> None:
    positions, fits = frequency.locate(times)
    if not fits.all():
        row = int(np.flatnonzero(~fits)[0])
        raise FrequencyError(
            f"series {names[codes[row]]!r} has a row at {format_time(int(times[row]), frequency)}, which is off the grid {frequency.name} "
            f"({int((~fits).sum())} such rows). {_remedy(frequency)}"
        )
    doubled = (np.diff(positions) == 0) & (np.diff(codes) == 0)
    if doubled.any():
        row = int(np.flatnonzero(doubled)[0])
        raise FrequencyError(
            f"series {names[codes[row]]!r} has several rows in one {frequency.name} step, at {format_time(int(times[row]), frequency)} and "
            f"{format_time(int(times[row + 1]), frequency)}. Give the finer frequency, or aggregate first."
        )
    rows = np.maximum.reduceat(positions, _starts(codes)) - np.minimum.reduceat(positions, _starts(codes)) + 1
    if rows.sum() > MOST_GAPS * len(times) + 1000:
        worst = int(np.argmax(rows))
        raise FrequencyError(
            f"series {names[worst]!r} would need {int(rows[worst])} rows on the grid {frequency.name}, far more than the {len(times)} rows given: "
            "one of its times is far from the others (a date of 1970?), or the frequency is too fine."
        )


def _remedy(frequency: Frequency) -> str:
    if frequency.unit == "session":
        return "Check the calendar, or drop the rows on days that the exchange was closed."
    if frequency.count == 3_600_000_000:
        return "If these are local times with daylight saving, give them with their time zone."
    return "Check the times, or give the frequency that they have."


def _starts(codes: npt.NDArray[np.int32]) -> Ints:
    return np.flatnonzero(np.diff(codes, prepend=-1)).astype(np.int64)


def _weekday(times: Ints) -> Ints:
    return (times // DAY + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday


def _day(times: Ints) -> int:
    """The common day of the month; 0 when every time is the last day of its month."""
    days = times.astype("datetime64[us]").astype("datetime64[D]")
    number = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    following = (days + 1).astype("datetime64[M]") != days.astype("datetime64[M]")
    return 0 if following.all() else int(number.max())


def _span(gap: int, steps: bool) -> str:
    if steps:
        return f"{gap} steps"
    return f"{gap // DAY} days" if gap % DAY == 0 and gap > DAY else Frequency("fixed", gap, 0).name
