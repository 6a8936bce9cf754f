"""Calendar and Fourier columns: known for every time, past and future.

A name is either a cycle ("hour", "weekday", "monthday", "yearday": sine and cosine), or "fourier:PERIOD:K"
(the K-th harmonic of a cycle of PERIOD grid positions, from the panel's anchor).
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import DAY, Frequency, Ints
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, UnknownNameError

CYCLES = ("hour", "weekday", "monthday", "yearday")
_FOURIER = re.compile(r"fourier:(\d+(?:\.\d+)?):(\d+)")


def calendar_columns(panel: Panel, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """The columns [T, 2 per name] at every row of a panel, each in [-1, 1]."""
    unique, inverse = np.unique(panel.positions, return_inverse=True)
    times = panel.frequency.times(unique)
    columns = [wave for name in names for wave in _waves(name, panel.frequency, unique, times)]
    table = np.column_stack(columns).astype(np.float32) if columns else np.empty((len(unique), 0), np.float32)
    return table[inverse]


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


def check_calendar(names: tuple[str, ...], frequency: Frequency) -> None:
    """Raises `UnknownNameError` for an unknown column, `ConfigError` for clock times of step data."""
    for name in names:
        fourier = _FOURIER.fullmatch(name)
        if fourier and (float(fourier[1]) == 0 or int(fourier[2]) == 0):
            raise ConfigError(f"'{name}' needs a period and a harmonic above 0, such as fourier:365.25:2.")
        if not fourier and name not in CYCLES:
            raise UnknownNameError(explain_unknown("calendar column", name, (*CYCLES, "fourier:PERIOD:K")))
        if name in CYCLES and frequency.unit == "step":
            raise ConfigError(f"step data have no clock times, so no '{name}'. Use fourier:PERIOD:K.")


def _waves(name: str, frequency: Frequency, positions: Ints, times: Ints) -> tuple[npt.NDArray[np.float64], ...]:
    check_calendar((name,), frequency)
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
