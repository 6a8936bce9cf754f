"""Which assets could be bought when: spells of membership, of names that are gone too. S spells, T times, A assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.catalog import explain_unknown
from tidewright.checks import check_flag
from tidewright.errors import AllocationError, ColumnError
from tidewright.portfolio.inputs import TimeArray, name_time, read_assets, read_times
from tidewright.portfolio.show import show

if TYPE_CHECKING:
    import polars as pl

    from tidewright.data.panel import Repair

_NEVER = np.datetime64("9999-12-31", "us")
_DAY, _MICRO = np.timedelta64(1, "D"), np.timedelta64(1, "us")


@dataclass(frozen=True, slots=True, eq=False)
class Universe:
    """Spells of membership: `names` [S], from `starts` [S] on and before `ends` [S] (datetime64 in microseconds).

    A name may have several spells. Names that are no members any more belong in it: a universe of today's members
    alone knows who survived. A start is within, an end is the first moment outside. Spells of a name that overlap, or
    end before they start, are an AllocationError.

    >>> import polars as pl
    >>> spells = pl.DataFrame({"who": ["A", "B"], "from": ["2020-01-01", "2020-01-01"], "to": ["2021-01-01", None]})
    >>> universe = Universe.from_table(spells, asset="who", start="from", end="to")
    >>> universe.members("2020-12-31"), universe.members("2021-01-01")
    (('A', 'B'), ('B',))
    """

    names: tuple[str, ...]
    starts: TimeArray
    ends: TimeArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        starts, ends = (np.array(side, dtype="datetime64[us]") for side in (self.starts, self.ends))
        if not len(self.names) == starts.size == ends.size or not self.names:
            raise AllocationError(f"{len(self.names)} names came with {starts.size} starts and {ends.size} ends.")
        order = np.lexsort((starts, np.array(self.names, dtype=str)))
        names = tuple(self.names[place] for place in order)
        starts, ends = starts[order], ends[order]
        _check_spells(names, starts=starts, ends=ends)
        starts.flags.writeable = ends.flags.writeable = False
        for field, value in (("names", names), ("starts", starts), ("ends", ends)):
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return show(self)

    @classmethod
    def from_table(cls, table: Any, *, asset: str, start: str, end: str, end_inclusive: bool = False) -> Universe:
        """Spells from a table (pandas, polars, Arrow, or the path of a file), one a row; an empty end is still open.

        `end_inclusive` says that an end is the last day (or moment) inside; else it is the first one outside, as in
        lists of index changes. Dates may be text; how it was read stands in the notes.
        """
        from tidewright.data.border import to_polars  # and with it polars, 0.1 s to import

        check_flag("end_inclusive", end_inclusive)
        spells, _ = to_polars(table)
        for column in (asset, start, end):
            if column not in spells.columns:
                raise ColumnError(explain_unknown("column", column, spells.columns))
        if spells.is_empty():
            raise AllocationError("the table of spells has no rows. Bring one a name at least.")
        notes: list[str] = []
        starts = _read_dates(spells[start], notes=notes)
        missing = np.flatnonzero(np.isnat(starts))
        if missing.size:
            raise AllocationError(f"row {missing[0]} of column '{start}' is empty. Give every spell its start.")
        ends = _read_dates(spells[end], notes=notes)
        if end_inclusive:
            whole = bool((ends[~np.isnat(ends)].astype("datetime64[D]") == ends[~np.isnat(ends)]).all())
            ends = ends + (_DAY if whole else _MICRO)
        ends = np.where(np.isnat(ends), _NEVER, ends)
        return cls(names=_read_names(spells[asset]), starts=starts, ends=ends, notes=tuple(notes))

    @property
    def assets(self) -> tuple[str, ...]:
        """Every name that was ever a member, in the order of the alphabet."""
        return tuple(dict.fromkeys(self.names))

    def members(self, time: Any) -> tuple[str, ...]:
        """The names that were members at a time (a date, a datetime, text as 2020-01-31), in alphabetical order."""
        moment = _read_moment(time)
        inside = np.flatnonzero((self.starts <= moment) & (moment < self.ends))
        return tuple(self.names[place] for place in inside)

    def mask(self, times: ArrayLike, assets: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each asset was a member at each time [T, A]; a name that the universe never had is False throughout.

        Assets of which none was ever a member are an AllocationError: most often names of another kind.
        """
        names = read_assets(assets, columns=len(tuple(assets)))
        moments = np.atleast_1d(np.asarray(times))
        stamps = read_times(moments, rows=moments.size).astype("datetime64[us]")
        places = {name: place for place, name in enumerate(names)}
        inside = np.zeros((stamps.size, len(names)), dtype=np.bool_)
        spells = [spell for spell, name in enumerate(self.names) if name in places]
        if not spells:
            raise AllocationError(
                f"none of the {len(names)} assets was ever a member: {names[0]!r} ... against {self.names[0]!r} ... "
                "Give assets the names that the universe has."
            )
        first = np.searchsorted(stamps, self.starts[spells])
        last = np.searchsorted(stamps, self.ends[spells])
        for spell, start, end in zip(spells, first, last, strict=True):
            inside[start:end, places[self.names[spell]]] = True
        return inside


def _read_moment(time: Any) -> np.datetime64:
    if isinstance(time, int | float) or getattr(time, "tzinfo", None) is not None:
        raise AllocationError(f"{time!r} is no time without a zone. Write it as 2020-01-31.")
    try:
        moment = np.datetime64(time, "us")
    except ValueError as error:
        raise AllocationError(f"{time!r} is no time ({error}). Write it as 2020-01-31.") from error
    if np.isnat(moment):
        raise AllocationError("NaT is no time. Write it as 2020-01-31.")
    return moment


def _check_spells(names: Sequence[str], *, starts: TimeArray, ends: TimeArray) -> None:
    backward = np.flatnonzero(ends <= starts)
    if backward.size:
        spell = int(backward[0])
        raise AllocationError(
            f"the spell of {names[spell]!r} ends at {name_time(ends, row=spell)} and starts at "
            f"{name_time(starts, row=spell)}. An end is the first day outside; where it is the last inside, pass "
            "end_inclusive=True."
        )
    for spell in np.flatnonzero(starts[1:] < ends[:-1]).tolist():
        if names[spell] == names[spell + 1]:
            raise AllocationError(
                f"two spells of {names[spell]!r} overlap: one ends at {name_time(ends, row=spell)}, the next starts at "
                f"{name_time(starts, row=spell + 1)}. Keep one of them, or mend their dates."
            )


def _read_names(column: pl.Series) -> tuple[str, ...]:
    import polars as pl

    text = column.cast(pl.String).str.strip_chars()
    empty = (text.is_null() | (text == "")).arg_true()
    if len(empty):
        raise AllocationError(f"row {empty[0]} has no name in column '{column.name}'. Fill it or drop the row.")
    return tuple(text)


def _read_dates(column: pl.Series, *, notes: list[str]) -> TimeArray:
    """Dates [S] in microseconds, NaT where there is none."""
    import polars as pl

    from tidewright.data.times import parse_times

    if column.dtype == pl.String:
        text = column.str.strip_chars()
        text = text.set(text == "", None)
        there = text.is_not_null()
        parsed = parse_times(text.filter(there), column.name, lambda repair: notes.append(_say(repair)))
        column = pl.Series(column.name, [None] * len(text), dtype=pl.Datetime("us"))
        column = column.scatter(there.arg_true(), parsed.cast(pl.Datetime("us")))
    if column.dtype == pl.Null:
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Date | pl.Datetime) or getattr(column.dtype, "time_zone", None) is not None:
        raise ColumnError(
            f"the column '{column.name}' holds {column.dtype}. Membership dates are dates without a zone."
        )
    return column.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")


def _say(repair: Repair) -> str:
    return f"{repair.kind}: {repair.detail}"
