"""Calendar, Fourier and holiday columns: known for every time, past and future.

A name gives two columns. It is a cycle ("hour", "weekday", "monthday", "yearday": sine and cosine), "fourier:PERIOD:K"
(the K-th harmonic of a cycle of PERIOD grid positions, counted from 1970-01-01 or step 0, in every panel alike), or
"holiday:CODE" with the code of a country, of a part of it or of an exchange: 1 / (1 + d), where d is the rows to the
next holiday, and since the last one; both are 1 in a row with a holiday. "holiday:US:end" says that rows are dated by
the end of their period (weeks must say it, or "start"), "holiday:US:end:Thanksgiving Day" means one holiday alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import DAY, Frequency, Ints
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.features.holidays import check_code, find_days
from tidewright.features.periods import find_dating, steps_from_days

Doubles = npt.NDArray[np.float64]
CYCLES = ("hour", "weekday", "monthday", "yearday")
FORMS = (*CYCLES, "fourier:PERIOD:K", "holiday:CODE")
_FOURIER = re.compile(r"fourier:(\d+(?:\.\d+)?):(\d+)")
_HOLIDAY = re.compile(r"holiday:([^:]+)(?::(start|end))?(?::([^:]+))?")


def calendar_columns(panel: Panel, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """The columns [T, 2 per name] at every row of a panel, each in [-1, 1]."""
    check_calendar(names, panel.frequency)
    unique, inverse = np.unique(panel.positions, return_inverse=True)
    times = panel.frequency.times(unique)
    counted = unique - panel.frequency.locate(np.zeros(1, np.int64))[0]
    columns = [one for name in names for one in (_near(name, panel) or _waves(name, counted, times))]
    table = np.column_stack(columns).astype(np.float32) if columns else np.empty((len(unique), 0), np.float32)
    return table[inverse]


def calendar_labels(names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns' names for people.

    >>> calendar_labels(("weekday", "holiday:US"))
    ('weekday sine', 'weekday cosine', 'holiday:US next', 'holiday:US last')
    """
    pairs = {name: ("next", "last") if _HOLIDAY.fullmatch(name) else ("sine", "cosine") for name in names}
    return tuple(f"{name} {one}" for name in names for one in pairs[name])


def usual_calendar(frequency: Frequency) -> tuple[str, ...]:
    """The cycles that matter on a grid.

    >>> usual_calendar(Frequency("fixed", 3600 * 1_000_000, 0))
    ('hour', 'weekday', 'yearday')
    """
    if frequency.unit == "step":
        return ()
    if frequency.unit == "month" or frequency.count > DAY:
        return ("yearday",)
    if frequency.unit in ("business", "session") or frequency.count == DAY:
        return ("weekday", "monthday", "yearday")
    return ("hour", "weekday", "yearday")


def holiday_columns(codes: Sequence[str]) -> tuple[str, ...]:
    """The calendar columns of holidays' codes (US, DE-BY, XNYS, US:end)."""
    return tuple(f"holiday:{code}" for code in codes)


def check_calendar(names: tuple[str, ...], frequency: Frequency) -> None:
    """Raises `UnknownNameError` for an unknown column or country, `ConfigError` for clock times of step data."""
    for name in names:
        fourier, holiday = _FOURIER.fullmatch(name), _HOLIDAY.fullmatch(name)
        if fourier and (float(fourier[1]) == 0 or int(fourier[2]) == 0):
            raise ConfigError(f"'{name}' needs a period and a harmonic above 0, such as fourier:365.25:2.")
        if holiday:
            check_code(holiday[1])
            find_dating(frequency, holiday[2])
        if not fourier and not holiday and name not in CYCLES:
            raise UnknownNameError(explain_unknown("calendar column", name, FORMS))
        if name in CYCLES and frequency.unit == "step":
            raise ConfigError(f"step data have no clock times, so no '{name}'. Use fourier:PERIOD:K.")


def _near(name: str, panel: Panel) -> tuple[Doubles, ...]:
    """How near the next holiday and the last one are at each position of a panel, if it is a holiday's name."""
    holiday = _HOLIDAY.fullmatch(name)
    if not holiday:
        return ()
    days = find_days(panel, holiday[1], name=holiday[3])
    steps = steps_from_days(panel, days, dated=find_dating(panel.frequency, holiday[2]))
    return tuple(np.where(np.isnan(count), 0.0, 1.0 / (1.0 + count)) for count in steps)


def _waves(name: str, positions: Ints, times: Ints) -> tuple[Doubles, ...]:
    fourier = _FOURIER.fullmatch(name)
    if fourier:
        phase = positions * int(fourier[2]) / float(fourier[1])
    elif name == "hour":
        phase = (times % DAY) / DAY
    elif name == "weekday":
        phase = ((times // DAY + 3) % 7) / 7.0
    else:
        days = times.astype("datetime64[us]").astype("datetime64[D]")
        unit, length = ("M", 31.0) if name == "monthday" else ("Y", 366.0)
        phase = (days - days.astype(f"datetime64[{unit}]").astype("datetime64[D]")).astype(np.int64) / length
    return np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)
