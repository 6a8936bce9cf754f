"""A panel's grid: inferred from the times and checked, or checked against the one that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.frequency import BLOCK, DAY, Frequency, Ints, format_time, parse_frequency
from tidewright.errors import FrequencyError

Codes = npt.NDArray[np.int32]
MOST_GAPS = 20  # a grid with more than this many times the rows that were given points at a wrong time, not at gaps
_LONG_RUN = 5  # so many equal gaps one after the other are a spacing, not holes
_EPOCH_JUMP = 5 * 365 * DAY
# the days that months, quarters, half-years and years have, and their number of months
_MONTH_DAYS = {
    **dict.fromkeys(range(28, 32), 1),
    **dict.fromkeys(range(59, 63), 2),
    **dict.fromkeys(range(90, 93), 3),
    **dict.fromkeys(range(120, 124), 4),
    **dict.fromkeys(range(181, 185), 6),
    **dict.fromkeys(range(365, 367), 12),
}

_REMEDIES = {
    "business": "Drop the rows on weekends, or ask for '1d'.",
    "month": "Give every row the same day of its month (the first, or the last), not the last trading day.",
}


def find_frequency(
    times: Ints, codes: Codes, *, asked: str | None, calendar: str | None, steps: bool, names: Sequence[Any]
) -> tuple[Frequency, Ints]:
    """The grid of sorted, distinct times [T] of series `codes` [T], and their positions on it [T].

    Raises `FrequencyError` where a time does not lie on it.
    """
    if calendar is not None:
        frequency = _of_calendar(calendar, asked, times, steps)
    elif asked is not None:
        frequency = _of_name(asked, times, steps)
    else:
        frequency = _inferred(times, codes, steps, names)
    if not steps:
        _check_epoch(times, codes, names)
    positions = _check_fit(frequency, times, codes, names)
    _check_spread(frequency, positions, times, codes, names)
    if calendar is not None or asked is not None:
        _check_not_finer(frequency, positions, times, codes)
    return frequency, positions


def _of_calendar(calendar: str, asked: str | None, times: Ints, steps: bool) -> Frequency:
    if steps:
        raise FrequencyError(
            f"calendar {calendar} needs dates, but the time column holds whole step numbers. Bring dates, or "
            "leave the calendar out."
        )
    if asked is not None and parse_frequency(asked) not in (("business", 1), ("fixed", DAY)):
        raise FrequencyError(
            f"calendar {calendar} has one row a trading day, but the frequency asked for is '{asked}'. "
            "Give one of the two."
        )
    return Frequency("session", 1, anchor=int(times.min()), calendar=calendar)


def _of_name(asked: str, times: Ints, steps: bool) -> Frequency:
    unit, count = parse_frequency(asked)
    if steps != (unit == "step"):
        has = "whole step numbers" if steps else "dates"
        raise FrequencyError(
            f"the time column holds {has}, which frequency '{asked}' does not fit. "
            "Leave the frequency out, or bring other times."
        )
    return Frequency(unit, count, anchor=int(times.min()), day=_day(times) if unit == "month" else 1)


def _inferred(times: Ints, codes: Codes, steps: bool, names: Sequence[Any]) -> Frequency:
    gaps = _distinct_gaps(times, codes)
    if not gaps.size:
        raise FrequencyError(
            "the frequency can't be told: no series has two rows. Bring longer series, or give frequency=."
        )
    if len(gaps) > 1:  # one spacing throughout: one gap stands for all
        inside = codes[1:] == codes[:-1]
        gaps = np.diff(times)[inside]
        _check_gaps(gaps, times[1:][inside], codes[1:][inside], names=names, steps=steps)
    kinds = gaps if steps else _kinds(gaps)
    step = _commonest(gaps[kinds == _commonest(kinds)])
    anchor = int(times.min())
    if steps:
        return Frequency("step", step, anchor)
    if _is_business(times, gaps, step):
        return Frequency("business", 1, anchor)
    months = -_commonest(kinds)
    if months > 0:
        monthly = Frequency("month", months, anchor, day=_day(times))
        if monthly.locate(times)[1].all() or not (gaps % step == 0).all():
            return monthly
    return Frequency("fixed", step, anchor)


def _distinct_gaps(times: Ints, codes: Codes) -> Ints:
    """The least and the largest gap within a series: none, one where they are the same, or two; block by block."""
    found: list[int] = []
    for start in range(0, len(times) - 1, BLOCK):
        part = slice(start, start + BLOCK + 1)
        gaps = np.diff(times[part])[codes[part][1:] == codes[part][:-1]]
        found += [int(gaps.min()), int(gaps.max())] if gaps.size else []
    return np.array(sorted({min(found), max(found)}) if found else [], dtype=np.int64)


def _check_gaps(gaps: Ints, times: Ints, codes: Codes, *, names: Sequence[Any], steps: bool) -> None:
    """Raises `FrequencyError` where gaps are not one spacing with holes; times and codes are those at their ends."""
    kinds = gaps if steps else _kinds(gaps)
    _check_one_spacing(gaps, kinds, codes, names=names, steps=steps)
    step = _commonest(gaps[kinds == _commonest(kinds)])
    _check_runs(gaps, kinds, times, codes, step=step, names=names, steps=steps)


def _is_business(times: Ints, gaps: Ints, step: int) -> bool:
    weekday = (times // DAY + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday
    return bool(step == DAY and (weekday < 5).all() and (gaps == 3 * DAY).any() and (times % DAY == 0).all())


def _kinds(gaps: Ints) -> Ints:
    """Each gap, but minus the number of months where it is as long as some months are."""
    kinds = gaps.copy()
    for days, months in _MONTH_DAYS.items():
        kinds[gaps == days * DAY] = -months
    return kinds


def _commonest(values: Ints) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


def _check_one_spacing(gaps: Ints, kinds: Ints, codes: Codes, *, names: Sequence[Any], steps: bool) -> None:
    """Every series that has a usual gap has the same one, and most gaps of the panel are that long."""
    base = _commonest(kinds)
    counts = pl.DataFrame({"code": codes, "kind": kinds}).group_by("code", "kind").len()
    counts = counts.with_columns(all=pl.col("len").sum().over("code")).sort("code", "len", descending=[False, True])
    usual = counts.filter((pl.col("len") >= 4) & (pl.col("len") >= 0.8 * pl.col("all")))
    other = usual.filter(pl.col("kind") != base)
    if len(other):
        first = int(codes[np.flatnonzero(kinds == base)[0]])
        code, kind = int(other["code"][0]), int(other["kind"][0])
        raise FrequencyError(
            f"the series have different frequencies: {names[first]!r} is spaced "
            f"{_span(_commonest(gaps[kinds == base]), steps)}, {names[code]!r} "
            f"{_span(_commonest(gaps[(kinds == kind) & (codes == code)]), steps)}. Resample them to one, or make a "
            "panel of each."
        )
    share = float(np.mean(kinds == base))
    if share < 0.5:
        raise FrequencyError(
            "the times are irregular: the commonest gap, "
            f"{_span(_commonest(gaps[kinds == base]), steps)}, is only "
            f"{share:.0%} of them. Resample the table, or give frequency= (and it will be checked)."
        )


def _check_runs(
    gaps: Ints, kinds: Ints, times: Ints, codes: Codes, *, step: int, names: Sequence[Any], steps: bool
) -> None:
    """No series changes its spacing: a long run of one other gap is a second frequency, not holes."""
    starts = np.flatnonzero((np.diff(kinds, prepend=kinds[0] - 1) != 0) | (np.diff(codes, prepend=-1) != 0))
    lengths = np.diff(np.append(starts, len(kinds)))
    of_series = np.bincount(codes)[codes[starts]]
    odd = (kinds[starts] != _commonest(kinds)) & (lengths >= _LONG_RUN) & (lengths >= 0.05 * of_series)
    changing = np.unique(codes[starts][odd]).size
    if changing > 0.05 * np.unique(codes).size:  # in a few sparse series of many, equal gaps are holes after all
        row = int(starts[np.flatnonzero(odd)[0]])
        at = times[row] - gaps[row]
        raise FrequencyError(
            f"series {names[int(codes[row])]!r} changes its spacing at {at if steps else format_time(int(at))} from "
            f"{_span(step, steps)} to {_span(int(gaps[row]), steps)}. Resample it to one frequency, or give frequency= "
            "to have the times between made explicit."
        )


def _check_epoch(times: Ints, codes: Codes, names: Sequence[Any]) -> None:
    zero = (times[:-1] >= 0) & (times[:-1] < DAY) & (np.diff(codes) == 0) & (np.diff(times) > _EPOCH_JUMP)
    if zero.any():
        row = int(np.flatnonzero(zero)[0])
        raise FrequencyError(
            f"series {names[int(codes[row])]!r} has a row at {format_time(int(times[row]))} and the next at "
            f"{format_time(int(times[row + 1]))}: a date of 1970 usually is a missing time that was read as zero. Fill "
            "it or drop that row."
        )


def _check_fit(frequency: Frequency, times: Ints, codes: Codes, names: Sequence[Any]) -> Ints:
    """The positions [T] of the times, all on the grid and no two of a series on one position."""
    positions, fits = frequency.locate(times)
    if not fits.all():
        row = int(np.flatnonzero(~fits)[0])
        raise FrequencyError(
            f"series {names[codes[row]]!r} has a row at {format_time(int(times[row]), frequency)}, which is off the "
            f"grid {frequency.name} ({int((~fits).sum())} such rows{_seen(frequency, times, codes)}). "
            f"{_remedy(frequency, times, codes)}"
        )
    doubled = (positions[1:] == positions[:-1]) & (codes[1:] == codes[:-1])
    if doubled.any():
        row = int(np.flatnonzero(doubled)[0])
        raise FrequencyError(
            f"series {names[codes[row]]!r} has several rows in one {frequency.name} step, at "
            f"{format_time(int(times[row]), frequency)} and {format_time(int(times[row + 1]), frequency)}. "
            "Give the finer frequency, or aggregate first."
        )
    return positions


def _check_spread(frequency: Frequency, positions: Ints, times: Ints, codes: Codes, names: Sequence[Any]) -> None:
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    given = np.diff(np.append(starts, len(codes)))
    rows = np.maximum.reduceat(positions, starts) - np.minimum.reduceat(positions, starts) + 1
    wide = np.flatnonzero(rows > MOST_GAPS * given + 1000)
    if wide.size:
        worst = int(wide[np.argmax(rows[wide] / given[wide])])
        own = times[starts[worst] : starts[worst] + given[worst]]
        jump = int(np.argmax(np.diff(own)))
        raise FrequencyError(
            f"series {names[worst]!r} would need {int(rows[worst])} rows on the grid {frequency.name}, far more than "
            f"the {int(given[worst])} given; its widest gap is from {format_time(int(own[jump]), frequency)} to "
            f"{format_time(int(own[jump + 1]), frequency)}. One of its times is wrong, or the frequency is too fine: "
            "fix the time, or give a coarser frequency."
        )


def _check_not_finer(frequency: Frequency, positions: Ints, times: Ints, codes: Codes) -> None:
    """A grid that was asked for and is finer than every gap would be mostly made of holes."""
    gaps = np.diff(positions)[np.diff(codes) == 0]
    if gaps.size >= 3 and gaps.min() > 1:
        raise FrequencyError(
            f"the rows are never {frequency.name} apart: the closest two of a series are {int(gaps.min())} positions "
            f"away from each other{_seen(frequency, times, codes)}. Give the frequency that the rows have, or leave it "
            "out."
        )


def _seen(frequency: Frequency, times: Ints, codes: Codes) -> str:
    gaps = np.diff(times)[np.diff(codes) == 0]
    return f"; the commonest gap is {_span(_commonest(gaps), frequency.unit == 'step')}" if gaps.size else ""


def _remedy(frequency: Frequency, times: Ints, codes: Codes) -> str:
    gaps = np.diff(times)[np.diff(codes) == 0]
    step = int(frequency.times(np.array([1]))[0] - frequency.times(np.array([0]))[0])
    if frequency.unit in ("fixed", "month") and gaps.size and _commonest(gaps) < 0.9 * step:
        return "Give the frequency that the rows have, or aggregate them first."
    if frequency.unit in ("session", "business") and bool((times % DAY != 0).any()):
        return "This grid has one row a day: give dates without a clock time."
    if frequency.unit == "session":
        first = format_time(int(frequency.times(np.array([0]))[0]))
        return f"Check the calendar (known from {first} on), or drop the rows on days without a session."
    if frequency.unit == "fixed" and frequency.count <= DAY:
        return (
            "If these are local times with daylight saving, give them with their time zone; else check the "
            "times, or give the frequency that they have."
        )
    return _REMEDIES.get(frequency.unit, "Bring all series to the same days, or give the frequency that they have.")


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
