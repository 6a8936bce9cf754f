"""Promotions and other events as columns: what is on in a row, and how far the next and the last one are.

E events, T rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.border import to_polars
from tidewright.data.frequency import DAY, Ints
from tidewright.data.panel import Panel, Repair
from tidewright.data.times import parse_times
from tidewright.errors import ColumnError, ConfigError, DataError, RepairWarning
from tidewright.features.columns import add_columns
from tidewright.features.flat import whole_numbers
from tidewright.features.periods import Dated, count_steps, find_dating, place_days

Doubles = npt.NDArray[np.float64]
ALL = "event"  # what events are called where no column tells their kind


def add_events(
    panel: Panel,
    events: Any,
    *,
    time: str,
    until: str | None = None,
    series: str | None = None,
    kind: str | None = None,
    size: str | None = None,
    before: int = 0,
    after: int = 0,
    dated: Dated | None = None,
    ahead: int = 0,
    role: Literal["known", "past"] = "known",
) -> Panel:
    """The panel with promotions or other events as further columns; a row without an event holds 0.

    `events` is a table (pandas, polars, Arrow, a path) with a row an event: its day in the column `time`, the last day
    in `until` (else one day), the series it is for in `series` (else all of them), what it is in `kind` and how large
    in `size`. Each kind has a column named after it ("event" without kinds): the sum of the sizes (1 without them) of
    what is on in the row. With `before` it has a column `KIND_next`, the rows to the next event, at most before + 1;
    with `after` a column `KIND_last`, the rows since the last one, at most after + 1; 0 where one is on. Days fall into
    hours, weeks or months as `add_holidays` says (`dated`); for step data `time` holds steps. A moment is a day of the
    panel's zone. Rows of less than a day take whole days only. `ahead` extends the panel
    by so many rows. What is not known ahead has the role "past", and then nothing of it may look ahead. Raises
    `ColumnError`, `DataError` or `ConfigError`.

    >>> days = pl.date_range(pl.date(2024, 5, 1), pl.date(2024, 5, 6), eager=True)
    >>> panel = Panel.from_table(pl.DataFrame({"day": days, "sold": range(6)}), time="day", target="sold")
    >>> promotions = pl.DataFrame({"from": [pl.Series([19847]).cast(pl.Date)[0]], "what": ["promo"]})  # 2024-05-04
    >>> added = add_events(panel, promotions, time="from", kind="what", before=2)
    >>> added.matrix(["promo", "promo_next"]).T
    array([[0., 0., 0., 1., 0., 0.],
           [3., 2., 1., 0., 3., 3.]])
    """
    _check_request(role, before=before, after=after, ahead=ahead)
    extended = panel.extend(int(ahead))
    found = _read(extended, events, time=time, until=until, series=series, kind=kind, size=size, dated=dated)
    columns: dict[str, Doubles] = {}
    for name in dict.fromkeys(found.kinds):
        made = _columns(extended, found.of(name), name, before=before, after=after)
        for twice in columns.keys() & made.keys():
            raise ColumnError(f"two kinds of events would have the column '{twice}'. Rename the kind '{name}'.")
        columns |= made
    return add_columns(extended, columns, role=role)


def _check_request(role: str, *, before: int, after: int, ahead: int) -> None:
    for what, number in (("before", before), ("after", after), ("ahead", ahead)):
        whole_numbers(what, [number], least=0)
    if role not in ("known", "past"):
        raise ConfigError(explain_unknown("role of events", role, ("known", "past")))
    if role == "past" and (before or ahead):
        raise ConfigError(
            "events that aren't known ahead can't say how near the next one is. Leave before and ahead 0."
        )


@dataclass(frozen=True, eq=False, slots=True)
class _Events:
    """E events: the first and the last position of each, the number of its series (None: all have it), size, kind."""

    first: Ints
    last: Ints
    codes: Ints | None
    sizes: Doubles
    kinds: list[str]

    def of(self, kind: str) -> _Events:
        """Those of a kind, in order of time."""
        rows = np.array([place for place, own in enumerate(self.kinds) if own == kind])
        return self.take(rows[np.argsort(self.first[rows], kind="stable")])

    def take(self, rows: Ints) -> _Events:
        """Some of them."""
        codes = None if self.codes is None else self.codes[rows]
        return _Events(self.first[rows], self.last[rows], codes, self.sizes[rows], [self.kinds[row] for row in rows])


def _read(
    panel: Panel,
    events: Any,
    *,
    time: str,
    until: str | None,
    series: str | None,
    kind: str | None,
    size: str | None,
    dated: Dated | None,
) -> _Events:
    table, _ = to_polars(events)
    for name in (time, until, series, kind, size):
        if name is not None and name not in table.columns:
            raise ColumnError(explain_unknown("column of the events", name, table.columns))
    if not len(table):
        raise DataError("there are no events in the table. Bring one or more, or leave the events out.")
    first, last = _positions(panel, table, time, dated)
    if until is not None:
        last = _positions(panel, table, until, dated)[1]
    if until is not None and (last < first).any():
        row = int(np.argmax(last < first))
        raise DataError(f"the event in row {row} ends before it begins: {table[time][row]} to {table[until][row]}.")
    sizes = np.ones(len(table)) if size is None else _numbers(table, size)
    kinds = [ALL] * len(table) if kind is None else [_text(table, kind, row) for row in range(len(table))]
    return _Events(first, last, _codes(panel, table, series), sizes, kinds)


def _positions(panel: Panel, table: pl.DataFrame, name: str, dated: Dated | None) -> tuple[Ints, Ints]:
    """The first and the last grid position of each event's day, or its step."""
    given = table[name]
    if given.null_count():
        raise DataError(f"row {int(given.is_null().arg_true()[0])} of the events has no time in '{name}'. Fill it.")
    if panel.frequency.unit == "step":
        if not given.dtype.is_integer():
            raise ColumnError(f"the panel counts steps, so '{name}' holds whole steps; got {given.dtype}.")
        steps = panel.frequency.positions(given.to_numpy().astype(np.int64))
        return steps, steps
    days = _read_days(panel, given, name).to_numpy().astype("datetime64[D]")
    return place_days(panel, days, dated=find_dating(panel.frequency, dated))


def _read_days(panel: Panel, given: pl.Series, name: str) -> pl.Series:
    """The days of times or text: those of the panel's own zone, for moments of another."""
    if given.dtype == pl.String:
        iso = given.str.to_date("%Y-%m-%d", strict=False)
        given = parse_times(given, name, _tell) if iso.null_count() else iso
    if not isinstance(given.dtype, (pl.Date, pl.Datetime)):
        raise ColumnError(f"the events' column '{name}' holds {given.dtype}. Times of events are dates.")
    zone = getattr(panel.time_dtype, "time_zone", None)
    if isinstance(given.dtype, pl.Datetime) and given.dtype.time_zone is not None and zone is not None:
        given = given.dt.convert_time_zone(zone)
    days = given.dt.date() if isinstance(given.dtype, pl.Datetime) else given
    late = np.flatnonzero((given.dt.truncate("1d") != given).to_numpy())
    if late.size and panel.frequency.unit == "fixed" and panel.frequency.count < DAY:
        raise DataError(
            f"the event in row {int(late[0])} is at {given[int(late[0])]} in '{name}', and events are whole days. Give "
            "its day, or bring the hours as a known column of the panel."
        )
    return days


def _tell(repair: Repair) -> None:
    warnings.warn(f"{repair.kind}: {repair.detail}", RepairWarning, stacklevel=7)


def _numbers(table: pl.DataFrame, name: str) -> Doubles:
    values = table[name].cast(pl.Float64, strict=False)
    if values.null_count() or not bool(values.is_finite().all()):
        raise DataError(f"the sizes of events in '{name}' are finite numbers, none missing. Fill them.")
    return values.to_numpy()


def _text(table: pl.DataFrame, name: str, row: int) -> str:
    value = table[name][row]
    if value is None or not str(value).strip():
        raise DataError(f"row {row} of the events has no kind in '{name}'. Fill it.")
    return str(value)


def _codes(panel: Panel, table: pl.DataFrame, name: str | None) -> Ints | None:
    """The number of each event's series; None where events are for all. A series that the panel lacks is an error."""
    if name is None:
        return None
    numbers: Mapping[Any, int] = {own: number for number, own in enumerate(panel.series_ids)}
    for row, own in enumerate(table[name].to_list()):
        if own not in numbers:
            raise DataError(
                f"row {row} of the events is for series {own!r}, which the panel lacks. Drop it or mend it."
            )
    return np.array([numbers[own] for own in table[name].to_list()], dtype=np.int64)


def _columns(panel: Panel, events: _Events, name: str, *, before: int, after: int) -> dict[str, Doubles]:
    """The columns of one kind of event."""
    if events.codes is None:  # the same for every series: computed once
        positions, place = np.unique(panel.positions, return_inverse=True)
        size, ahead, back = (column[place] for column in _at(positions, events))
    else:
        size = np.zeros(len(panel.table))
        ahead, back = np.full(len(size), np.inf), np.full(len(size), np.inf)
        order = np.argsort(events.codes, kind="stable")
        codes, starts = np.unique(events.codes[order], return_index=True)
        for code, own in zip(codes.tolist(), np.split(order, starts[1:]), strict=True):
            rows = slice(int(panel.offsets[code]), int(panel.offsets[code + 1]))
            size[rows], ahead[rows], back[rows] = _at(panel.positions[rows], events.take(own))
    made = {name: size}
    if before:
        made[f"{name}_next"] = np.fmin(ahead, before + 1.0)
    if after:
        made[f"{name}_last"] = np.fmin(back, after + 1.0)
    return made


def _at(positions: Ints, events: _Events) -> tuple[Doubles, Doubles, Doubles]:
    """At each position: the size of what is on, the rows to the next event and since the last one."""
    ahead, back = count_steps(positions, *_merge(events.first, events.last))
    return _sum(positions, events.first, events.last, events.sizes), ahead, back


def _sum(positions: Ints, first: Ints, last: Ints, sizes: Doubles) -> Doubles:
    """The sizes of the events that are on at each position, added up."""
    steps = np.zeros(len(positions) + 1)
    np.add.at(steps, np.searchsorted(positions, first, side="left"), sizes)
    np.subtract.at(steps, np.searchsorted(positions, last, side="right"), sizes)
    total = np.cumsum(steps[:-1])
    count = np.zeros(len(positions) + 1, dtype=np.int64)
    np.add.at(count, np.searchsorted(positions, first, side="left"), 1)
    np.subtract.at(count, np.searchsorted(positions, last, side="right"), 1)
    return np.where(np.cumsum(count[:-1]) > 0, total, 0.0)  # no rest of a sum where nothing is on


def _merge(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Stretches that overlap as one, so that both ends ascend."""
    reach = np.maximum.accumulate(last)
    begins = np.concatenate([[True], first[1:] > reach[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return first[begins], reach[ends]
