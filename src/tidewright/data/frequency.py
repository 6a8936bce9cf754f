"""The grid that a panel's times stand on: every time is one whole position, an integer.

Times are int64 microseconds since 1970-01-01 UTC, or plain integers for step data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.errors import FrequencyError

Ints = npt.NDArray[np.int64]
Unit = Literal["fixed", "month", "business", "session", "step"]

SECOND = 1_000_000
BLOCK = 1 << 20  # rows that are worked on at once where a panel is long: bounds memory
DAY = 86_400 * SECOND
_FIXED = {"us": 1, "ms": 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": DAY, "w": 7 * DAY}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_ALIASES = {
    "hourly": "h", "daily": "d", "weekly": "w", "monthly": "mo", "quarterly": "q", "yearly": "y", "annual":
    "y", "min": "m", "minute": "m", "t": "m", "sec": "s", "hour": "h", "day": "d", "week": "w", "month":
    "mo", "me": "mo", "qs": "q", "qe": "q", "a": "y", "ys": "y", "ye": "y", "year": "y", "quarter": "q",
    "business": "b", "bd": "b",
}  # fmt: skip
_NAMES = (*_FIXED, *_MONTHS, "b", "step", *_ALIASES)
_YEAR = 365.2425 * DAY


@dataclass(frozen=True, slots=True)
class Frequency:
    """One grid: `count` microseconds, months, business days, exchange sessions or steps from `anchor`.

    `anchor` is a time (microseconds or an integer step) that lies on the grid; `day` is the day of the month
    for monthly grids (0: the last day); `calendar` is an exchange's code, such as XNYS, for session grids.
    """

    unit: Unit
    count: int
    anchor: int
    day: int = 1
    calendar: str | None = None

    @property
    def name(self) -> str:
        """The short name, as users write it: 1h, 1w, 1mo, 1b, XNYS, 1 step."""
        if self.unit == "session":
            return f"{self.calendar}"
        if self.unit == "step":
            return "step" if self.count == 1 else f"{self.count}step"
        if self.unit == "business":
            return "1b"
        scales = _MONTHS if self.unit == "month" else _FIXED
        letter, scale = max(((n, s) for n, s in scales.items() if self.count % s == 0), key=lambda pair: pair[1])
        return f"{self.count // scale}{letter}"

    @property
    def periods_per_year(self) -> float:
        """How many grid positions a year has, for annualisation; sessions are counted on their calendar."""
        if self.unit == "fixed":
            return _YEAR / self.count
        if self.unit == "month":
            return 12.0 / self.count
        if self.unit == "business":
            return _YEAR / DAY * 5.0 / 7.0
        if self.unit == "session":
            return _sessions_per_year(str(self.calendar), self.anchor)
        return float("nan")

    @property
    def season(self) -> int:
        """The usual seasonal lag of this grid, in positions (24 for hourly, 7 for daily, 52 for weekly)."""
        if self.unit == "month":
            return max(1, 12 // self.count)
        if self.unit in ("business", "session"):
            return 5
        if self.unit == "step":
            return 1
        usual = {3600 * SECOND: 24, DAY: 7, 7 * DAY: 52}
        if self.count in usual:
            return usual[self.count]
        return DAY // self.count if self.count < DAY and DAY % self.count == 0 else 1

    def counts_as(self, other: Frequency) -> bool:
        """Whether each position is the same time on both grids; sessions are counted by their calendar alone."""
        return self == (replace(other, anchor=self.anchor) if self.unit == "session" else other)

    def positions(self, times: Ints) -> Ints:
        """The grid position of each time [T]; a time off the grid raises `FrequencyError`."""
        found, fits = self.locate(times)
        if not fits.all():
            bad = int(np.flatnonzero(~fits)[0])
            raise FrequencyError(
                f"{format_time(int(times[bad]), self)} does not lie on the grid {self.name} from "
                f"{format_time(self.anchor, self)}."
            )
        return found

    def locate(self, times: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """The nearest position at or before each time, and whether the time lies exactly on it."""
        times = np.asarray(times, dtype=np.int64)
        if self.unit in ("fixed", "step"):
            return _divide(times - self.anchor, self.count)
        if self.unit == "month":
            position = _months(times) - _months(np.array([self.anchor]))[0]
            position = position // self.count
            here = self.times(position)
            return position - (here > times), here == times
        days = times.astype("datetime64[us]").astype("datetime64[D]")
        if self.unit == "business":
            start = np.datetime64(self.anchor, "us").astype("datetime64[D]")
            position = np.busday_count(start, np.busday_offset(days, 0, roll="backward")).astype(np.int64)
            return position, np.is_busday(days) & (times % DAY == 0)
        sessions = _sessions(str(self.calendar))
        position = (np.searchsorted(sessions, days, side="right") - 1).astype(np.int64)
        return position, (sessions[np.maximum(position, 0)] == days) & (times % DAY == 0)

    def times(self, positions: Ints) -> Ints:
        """The time at each position [T], also beyond the data (the future)."""
        positions = np.asarray(positions, dtype=np.int64)
        if self.unit in ("fixed", "step"):
            times = positions * self.count
            times += self.anchor
            return times
        if self.unit == "month":
            return self._month_times(positions)
        if self.unit == "business":
            start = np.datetime64(self.anchor, "us").astype("datetime64[D]")
            return _micros(np.busday_offset(start, positions))
        sessions = _sessions(str(self.calendar))
        if positions.size and (positions.max() >= len(sessions) or positions.min() < 0):
            raise FrequencyError(f"calendar {self.calendar} is known from {sessions[0]} to {sessions[-1]} only.")
        return _micros(sessions[positions])

    def _month_times(self, positions: Ints) -> Ints:
        months = (_months(np.array([self.anchor]))[0] + positions * self.count).astype("datetime64[M]")
        last = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
        day = last if self.day == 0 else np.minimum(self.day, last)
        return _micros(months.astype("datetime64[D]") + (day - 1)) + self.anchor % DAY


def _divide(apart: Ints, count: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Whole steps of `count` in each distance, and whether nothing is left over; block by block, in place."""
    whole = np.ones(len(apart), dtype=np.bool_)
    if count == 1:
        return apart, whole
    for start in range(0, len(apart), BLOCK):
        part = slice(start, start + BLOCK)
        apart[part], rest = np.divmod(apart[part], count)
        whole[part] = rest == 0
    return apart, whole


def parse_frequency(text: str) -> tuple[Unit, int]:
    """The unit and count of a name such as '1h', 'weekly', 'MS', '15min', 'b' or 'step'.

    >>> parse_frequency("15min")
    ('fixed', 900000000)
    >>> parse_frequency("Q")
    ('month', 3)
    """
    if not isinstance(text, str):
        raise FrequencyError(f"a frequency is a name such as '1h', 'weekly' or '15min'; got {text!r}.")
    match = re.fullmatch(r"(\d*)\s*([A-Za-z]+)(-[A-Za-z]+)?", text.strip())
    name = match[2].lower() if match else ""
    if match and match[2] in ("M", "MS"):  # pandas' months; lower-case m and ms are minutes and milliseconds
        name = "mo"
    name = _ALIASES.get(name, name)
    count = int(match[1] or 1) if match else 0
    if count < 1 or name not in (*_FIXED, *_MONTHS, "b", "step"):
        raise FrequencyError(explain_unknown("frequency", text, _NAMES) + " A count may stand before it: 15m.")
    if name in _FIXED:
        return "fixed", count * _FIXED[name]
    if name in _MONTHS:
        return "month", count * _MONTHS[name]
    if name == "b":
        if count != 1:
            raise FrequencyError(f"business days come one by one; got '{text}'. Ask for 'b'.")
        return "business", 1
    return "step", count


def format_time(time: int, frequency: Frequency | None = None) -> str:
    """A time for people: a date, a date with its hour, or a step number."""
    if frequency is not None and frequency.unit == "step":
        return str(time)
    unit = "s" if time % SECOND == 0 else "us"
    text = str(np.datetime64(time, "us").astype(f"datetime64[{unit}]")).replace("T", " ")
    return text.removesuffix(" 00:00:00")


def _months(times: Ints) -> Ints:
    return np.asarray(times, dtype="datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _micros(days: npt.NDArray[np.datetime64]) -> Ints:
    return days.astype("datetime64[us]").astype(np.int64)


@lru_cache(maxsize=16)
def _sessions(calendar: str) -> npt.NDArray[np.datetime64]:
    from tidewright.data.calendars import list_sessions

    return list_sessions(calendar)


def _sessions_per_year(calendar: str, anchor: int) -> float:
    sessions = _sessions(calendar)
    start = np.datetime64(anchor, "us").astype("datetime64[D]")
    after = sessions[sessions >= min(start, sessions[-260])]
    years = float((after[-1] - after[0]).astype(np.int64)) / 365.2425
    return (len(after) - 1) / years
