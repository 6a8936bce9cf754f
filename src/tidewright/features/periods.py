"""Which rows of a grid a day falls into, and how many rows lie between a row and the days of a list.

A row stands for a period: from its own time up to the next row's where rows are dated by their start, from the row
before up to its own time where they are dated by their end. D days, R rows.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import DAY, Frequency, Ints
from tidewright.data.panel import Panel
from tidewright.data.times import place_wall
from tidewright.errors import ConfigError, UnknownNameError

Dated = Literal["start", "end"]
Days = npt.NDArray[np.datetime64]
_DATINGS: tuple[Dated, ...] = get_args(Dated)
Doubles = npt.NDArray[np.float64]


def find_dating(frequency: Frequency, dated: str | None = None) -> Dated:
    """Whether rows are dated by the start or the end of their period; `dated` where it is given.

    A month dated by its last day ends there, one dated by its first begins there; a session or business day stands for
    itself and the closed days before it. Weeks may be dated by either: raises `ConfigError` unless it is said.

    >>> find_dating(Frequency("month", 1, 0, day=0))
    'end'
    """
    if frequency.unit == "step":
        raise ConfigError("step data have no clock times, so no day falls into a row. Bring dates.")
    if dated is not None:
        for known in _DATINGS:
            if dated == known:
                return known
        raise UnknownNameError(explain_unknown("way to date a period", dated, _DATINGS))
    if frequency.unit in ("business", "session"):
        return "end"
    if frequency.unit == "month" and frequency.day in (0, 1):
        return "end" if frequency.day == 0 else "start"
    if frequency.unit == "fixed" and frequency.count <= DAY:
        return "start"
    raise ConfigError(
        f"rows every {frequency.name} may be dated by the start or the end of their period, and the dates don't tell. "
        "Say which: dated='start' or dated='end' (in a view's calendar: holiday:US:end)."
    )


def place_days(panel: Panel, days: Days, *, dated: Dated) -> tuple[Ints, Ints]:
    """The first and the last grid position [D] whose periods share a moment with each day of the panel's own clock."""
    grid, later = panel.frequency, np.int64(dated == "end")
    begin, end = (start_days(panel, moment) for moment in (days, days + np.timedelta64(1, "D")))
    if grid.unit == "fixed" and grid.count < DAY:
        return grid.locate(begin)[0] + later, grid.locate(end - 1)[0] + later
    place = grid.locate(begin - 1)[0] + 1 if dated == "end" else grid.locate(end - 1)[0]
    return place, place


def start_days(panel: Panel, days: Days) -> Ints:
    """The midnights at which days begin, as the panel's grid counts time: microseconds of UTC, or of the wall clock."""
    wall = days.astype("datetime64[us]").astype(np.int64)
    zone = getattr(panel.time_dtype, "time_zone", None)
    if zone is None or panel.local:
        return wall
    moments = place_wall(pl.Series(wall).cast(pl.Datetime("us")), zone)
    return moments.dt.timestamp("us").to_numpy().astype(np.int64)


def count_steps(positions: Ints, first: Ints, last: Ints) -> tuple[Doubles, Doubles]:
    """The rows from each position [R] to the next stretch and since the last one, 0 within one.

    The stretches [D], in order of time, go from position `first` to position `last`, both counted in. NaN where there
    is none.

    >>> count_steps(np.arange(5), np.array([1]), np.array([2]))
    (array([ 1.,  0.,  0., nan, nan]), array([nan,  0.,  0.,  1.,  2.]))
    """
    ahead, back = np.full(len(positions), np.nan), np.full(len(positions), np.nan)
    coming = np.searchsorted(last, positions, side="left")
    found = coming < len(first)
    ahead[found] = np.maximum(first[coming[found]] - positions[found], 0)
    gone = np.searchsorted(first, positions, side="right") - 1
    found = gone >= 0
    back[found] = np.maximum(positions[found] - last[gone[found]], 0)
    return ahead, back


def steps_from_days(panel: Panel, days: Days, *, dated: Dated) -> tuple[Doubles, Doubles]:
    """`count_steps` from each distinct position of a panel, ascending, to the rows of the days [D], also ascending."""
    return count_steps(np.unique(panel.positions), *place_days(panel, days, dated=dated))


def years_of(panel: Panel) -> tuple[int, int]:
    """The first and the last calendar year that a panel's rows reach."""
    ends = np.array([panel.positions.min(), panel.positions.max()])
    years = panel.frequency.times(ends).astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    return int(years[0]), int(years[1])
