"""`Panel`: many series in one long frozen table, on one grid, with a role for every column.

S series, T rows in all; series s owns the rows `offsets[s]:offsets[s + 1]` of every flat array, in time
order, with no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Frequency, Ints, format_time
from tidewright.data.task import Label
from tidewright.errors import ColumnError, DataError

Floats = npt.NDArray[np.float64]
Native = Literal["polars", "pandas", "pyarrow"]


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column is what. `series` is None for a table of one series.

    `past` columns are known up to the cutoff, `known` columns also over the horizon, `static` columns are
    one value a series.
    """

    time: str
    target: str
    series: str | None = None
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that has a role."""
        head = (self.time, self.target) if self.series is None else (self.series, self.time, self.target)
        return (*head, *self.past, *self.known, *self.static)


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that was mended while reading: what, how many rows, and the first place."""

    kind: str
    rows: int
    detail: str


@dataclass(frozen=True, eq=False)
class Panel:
    """Many series in one frozen long table. Make one with `Panel.from_table`; a Panel is always valid.

    Rows are sorted by series and time and stand on the grid of `frequency` without gaps: a missing time is a
    row whose target is null. Trailing rows without a target are the known future. Column names are the
    user's own.

    >>> days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 4), eager=True)
    >>> table = pl.DataFrame({"shop": ["a"] * 4, "day": days, "sold": [1, 2, 3, 4]})
    >>> panel = Panel.from_table(table, series="shop", time="day", target="sold")
    >>> panel.frequency.name, panel.n_series, panel.values("sold")
    ('1d', 1, array([1., 2., 3., 4.]))
    """

    table: pl.DataFrame
    roles: Roles
    frequency: Frequency
    offsets: Ints
    positions: Ints
    repairs: tuple[Repair, ...] = ()
    unused: tuple[str, ...] = ()
    native: Native = "polars"
    time_dtype: Any = field(default=pl.Date)
    local: bool = False  # the grid counts wall times of the zone (daily data at local midnight), not UTC
    reach: Mapping[str, int] = field(default_factory=dict)  # how many steps ahead a column made of the past is known
    classes: tuple[Label, ...] = ()  # those of the target, where it is one of classes and not of numbers

    @classmethod
    def from_table(
        cls,
        data: Any,
        *,
        time: str,
        target: str,
        series: str | None = None,
        past: Sequence[str] = (),
        known: Sequence[str] = (),
        static: Sequence[str] = (),
        frequency: str | None = None,
        calendar: str | None = None,
        classes: bool = False,
    ) -> Panel:
        """A Panel from a pandas, polars or Arrow table, or from the path of a CSV or Parquet file.

         The frequency is inferred and checked unless given; `calendar` is an exchange's code (XNYS).
         With `classes` the target holds classes (text, whole numbers or booleans, at most 32) and not numbers: its
         values stay as they are, and `target` counts them in their order, from 0.
         Every repair (sorted rows, gaps made explicit, parsed dates) is announced as a `RepairWarning` and
        kept in `repairs`. Raises `DataError` or one of its kinds, naming the series and the row.
        """
        from tidewright.data.build import build_panel

        groups = ((group,) if isinstance(group, str) else tuple(group) for group in (past, known, static))
        roles = Roles(time, target, series, *groups)
        return build_panel(data, roles=roles, frequency=frequency, calendar=calendar, classes=classes)

    @property
    def n_series(self) -> int:
        """How many series there are (S)."""
        return len(self.offsets) - 1

    @cached_property
    def series_ids(self) -> tuple[Any, ...]:
        """The series' own names, in row order."""
        if self.roles.series is None:
            return (self.roles.target,)
        return tuple(self.table[self.roles.series].gather(self.offsets[:-1]).to_list())

    @cached_property
    def _numbers(self) -> dict[Any, int]:
        return {name: number for number, name in enumerate(self.series_ids)}

    @cached_property
    def codes(self) -> npt.NDArray[np.int32]:
        """The number of each row's series [T]."""
        return np.repeat(np.arange(self.n_series, dtype=np.int32), np.diff(self.offsets))

    @cached_property
    def target(self) -> Floats:
        """The target [T], of classes the place of each among `classes`; NaN where it is missing."""
        return self.values(self.roles.target)

    @cached_property
    def ends(self) -> Ints:
        """The flat row [S] of the last observed target of each series: its newest cutoff."""
        missing = np.isnan(self.target)
        if not missing.any():
            return self.offsets[1:] - 1
        observed = np.flatnonzero(~missing)
        return observed[np.searchsorted(observed, self.offsets[1:], side="left") - 1].astype(np.int64)

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last grid position at which any series has an observed target."""
        first = int(self.positions[self.offsets[:-1]].min())
        return first, int(self.positions[self.ends].max())

    def values(self, column: str) -> Floats:
        """One numeric column as a flat read-only array [T] of float64; NaN where it is missing."""
        if self.classes and column == self.roles.target:
            from tidewright.data.classes import number_classes

            places = number_classes(self.table[column], self.classes)
            places.flags.writeable = False
            return places
        if column not in self.table.columns or not _is_number(self.table[column].dtype):
            numeric = [name for name in self.table.columns if _is_number(self.table[name].dtype)]
            raise ColumnError(explain_unknown("numeric column", column, numeric))
        numbers = self.table[column].cast(pl.Float64)
        values = (numbers.fill_null(float("nan")) if numbers.null_count() else numbers).to_numpy()  # whole: no copy
        values.flags.writeable = False
        return values

    def matrix(self, columns: Sequence[str]) -> Floats:
        """Several numeric columns side by side [T, F]."""
        if not columns:
            return np.empty((len(self.table), 0))
        return np.column_stack([self.values(c) for c in columns])

    def rows_of(self, series: Any) -> slice:
        """The flat rows of one series, by its name."""
        if series not in self._numbers:
            raise DataError(f"there is no series {series!r}. The first ones are: {list(self.series_ids[:5])}.")
        number = self._numbers[series]
        return slice(int(self.offsets[number]), int(self.offsets[number + 1]))

    def select(self, series: Iterable[Any]) -> Panel:
        """The same panel with only the named series."""
        wanted = list(series)
        if not wanted:
            raise DataError("no series were named. Name at least one.")
        rows = np.concatenate([np.arange(r.start, r.stop) for r in map(self.rows_of, wanted)])
        return self._take(np.unique(rows))

    def until(self, position: int) -> Panel:
        """The rows at or before a grid position; a series without an observed target there is left out.

        Nothing after the position can be seen through the result.
        """
        keep = self.positions <= position
        seen = np.add.reduceat((keep & ~np.isnan(self.target)).astype(np.int64), self.offsets[:-1])
        rows = np.flatnonzero(keep & (seen > 0)[self.codes])
        if not rows.size:
            raise DataError(f"no series has a value at or before {self.time_at(position)}.")
        return self._take(rows)

    def extend(self, steps: int) -> Panel:
        """The same panel with room for `steps` rows after each series' last observed target.

        New rows hold null in every column but the series, the time and the static ones; rows that are there
        already (the known future) are kept.
        """
        from tidewright.data.build import extend_panel

        return extend_panel(self, steps=steps)

    def time_at(self, position: int) -> str:
        """A grid position as a time for people; in UTC, and saying so, for times of a zone."""
        zone = getattr(self.time_dtype, "time_zone", None)
        utc = " UTC" if zone is not None and not self.local else ""
        return format_time(int(self.frequency.times(np.array([position]))[0]), self.frequency) + utc

    def moments(self, positions: Ints) -> pl.Series:
        """Grid positions as a column of times in the panel's own type and zone."""
        from tidewright.data.times import write_times

        return write_times(self.frequency, positions, dtype=self.time_dtype, local=self.local)

    def place(self, row: int) -> str:
        """A flat row as a place for people: its series and its time."""
        name = self.series_ids[int(self.codes[row])]
        return f"series {name!r} at {self.time_at(int(self.positions[row]))}"

    def to_native(self) -> Any:
        """The table, in the kind that was given (pandas, polars or Arrow); a pandas index became a column."""
        from tidewright.data.border import to_native

        return to_native(self.table, self.native)

    def _take(self, rows: Ints) -> Panel:
        codes = self.codes[rows]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        return replace(
            self,
            table=self.table[rows],
            offsets=np.append(starts, len(rows)).astype(np.int64),
            positions=self.positions[rows],
        )

    def __repr__(self) -> str:
        first, last = self.span
        return (
            f"Panel({self.n_series} series, {len(self.table)} rows, {self.frequency.name}, "
            f"{self.time_at(first)} to {self.time_at(last)}, target {self.roles.target!r})"
        )


def check_panel(given: Any, what: str) -> None:
    """Raises `DataError` where something else is given than the Panel that `what` is made from."""
    if not isinstance(given, Panel):
        raise DataError(f"{what} is made from a Panel; got {type(given).__name__}. Make one with Panel.from_table.")


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Boolean
