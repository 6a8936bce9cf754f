"""How far a row's place in the season before has moved, because holidays move: a column that is known ahead.

A season of 52 weeks is a day or two shorter than a year, so Christmas comes a little later in each; Easter, the
Islamic months and the Chinese New Year move by weeks. D days, R distinct positions of a panel, ascending.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import DAY, Ints
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.features.columns import add_columns
from tidewright.features.flat import whole_numbers
from tidewright.features.holidays import list_holidays, series_codes
from tidewright.features.periods import Dated, Days, Doubles, find_dating, place_days, start_days, years_of

DIGITS = 9  # of a shift in rows: less is rounding
YEARS = (0.75, 1.25)  # what a season in years must lie between for a holiday to return in it


def add_season_shift(
    panel: Panel,
    *,
    country: str | None = None,
    by: str | None = None,
    names: Sequence[str] = (),
    season: int | None = None,
    before: int = 1,
    after: int = 1,
    dated: Dated | None = None,
    ahead: int = 0,
    name: str = "season_shift",
) -> Panel:
    """The panel with a `known` column: by how many rows more than a season a row lies after its like of the year
    before.

    0 almost everywhere. In the rows of a holiday, `before` rows before it and `after` rows after it, it is what the
    holiday moved by from one year to the next, less the `season` [rows; default: the grid's]; a part of a row counts:
    1/7 for a day in weeks. Of several holidays the nearest rules. Where one moved by a row or more, the rows that it
    left take the place of those that it went to. The value of a year before that is like row t is then that of row
    t - season - shift, between two rows where that is no whole one; models of cells read it so with the option `align`.

    `country`, `by`, `dated` and `ahead` are those of `add_holidays`, and `names` those of its holidays that count (all
    by default; days in lieu never do). Raises `ConfigError` for a season that is no year, and `UnknownNameError`.

    >>> import polars as pl
    >>> fridays = pl.date_range(pl.date(2011, 12, 9), pl.date(2012, 1, 6), interval="7d", eager=True)
    >>> panel = Panel.from_table(pl.DataFrame({"week": fridays, "sold": range(5)}), time="week", target="sold")
    >>> moved = add_season_shift(panel, country="US", names=["Christmas Day"], dated="end")
    >>> (7 * moved.values("season_shift")).round(6).tolist()  # in days: Christmas is in the week to 2011-12-30
    [0.0, 0.0, 1.0, 1.0, 1.0]
    """
    if isinstance(names, str):
        raise ConfigError(f"names are a sequence of holidays; got the text {names!r}. Write [{names!r}].")
    for what, number in (("before", before), ("after", after), ("ahead", ahead)):
        whole_numbers(what, [number], least=0)
    extended = panel.extend(int(ahead))
    dating = find_dating(extended.frequency, dated)
    length = _check_season(extended, season)
    codes = series_codes(extended, country, by)
    made = np.zeros(len(extended.table))
    for code in dict.fromkeys(codes):
        rows = np.isin(extended.codes, [s for s, own in enumerate(codes) if own == code])
        found = _shift(extended, code, names, season=length, reach=(before, after), dated=dating, strict=by is None)
        made[rows] = found[np.unique(extended.positions, return_inverse=True)[1]][rows]
    return add_columns(extended, {name: made}, role="known")


def _check_season(panel: Panel, season: int | None) -> int:
    length = int(whole_numbers("a season", [panel.frequency.season if season is None else season], least=1)[0])
    years = length / panel.frequency.periods_per_year
    if not YEARS[0] <= years <= YEARS[1]:
        raise ConfigError(
            f"holidays return after a year, and a season of {length} rows every {panel.frequency.name} is "
            f"{years:.2g} years. Give the season in rows: {round(panel.frequency.periods_per_year)} or so."
        )
    return length


def _shift(
    panel: Panel,
    code: str,
    names: Sequence[str],
    *,
    season: int,
    reach: tuple[int, int],
    dated: Dated,
    strict: bool,
) -> Doubles:
    """The column at each distinct position [R]. A name that the code lacks is an error when `strict`."""
    positions = np.unique(panel.positions)
    shift, distance = np.zeros(len(positions)), np.full(len(positions), np.inf)
    first, last = years_of(panel)
    moves = [
        move
        for days in _pick(list(list_holidays(code, first - 2, last + 1, observed=False)), code, names, strict=strict)
        for move in _moves(panel, days, season=season, dated=dated)
    ]
    for first_row, last_row, moved in moves:
        block = np.arange(first_row - reach[0], last_row + reach[1] + 1)
        far = np.maximum(np.maximum(first_row - block, block - last_row), 0)
        _set(positions, shift, distance, rows=block, values=np.full(len(block), moved), far=far)
    for first_row, last_row, moved in moves:
        left, taken = _swap(np.arange(first_row - reach[0], last_row + reach[1] + 1), round(moved))
        _set(positions, shift, distance, rows=left, values=(left - taken).astype(float), far=np.full(len(left), 1e9))
    return shift


def _set(positions: Ints, shift: Doubles, distance: Doubles, *, rows: Ints, values: Doubles, far: Ints) -> None:
    """Writes values into the rows that are there and that nothing nearer has claimed."""
    at = np.searchsorted(positions, rows)
    there = (at < len(positions)) & (positions[np.minimum(at, len(positions) - 1)] == rows)
    at, values, far = at[there], values[there], far[there]
    nearer = far < distance[at]
    shift[at[nearer]], distance[at[nearer]] = values[nearer], far[nearer]


def _pick(found: list[tuple[str, Days]], code: str, names: Sequence[str], *, strict: bool) -> list[Days]:
    titles = [title for title, _ in found]
    for one in names:
        if strict and one not in titles:
            raise UnknownNameError(explain_unknown(f"holiday of {code}", one, titles))
    return [days for title, days in found if not names or title in names]


def _moves(panel: Panel, days: Days, *, season: int, dated: Dated) -> Iterator[tuple[int, int, float]]:
    """The first and the last position of each return of a holiday, which may be of several days in a row, and by how
    many rows more than a season it came after the last.
    """
    gaps = np.diff(days) > np.timedelta64(1, "D")
    begins, ends = days[np.append(True, gaps)], days[np.append(gaps, True)]
    last = place_days(panel, ends, dated=dated)[1]
    place, exact = _places(panel, begins, dated=dated)
    for own, end, moment in zip(place.tolist(), last.tolist(), exact.tolist(), strict=True):
        moved = moment - season - exact
        nearest = int(np.argmin(np.abs(moved)))
        if abs(moved[nearest]) <= season / 2:
            yield own, end, round(float(moved[nearest]), DIGITS) + 0.0  # no -0


def _places(panel: Panel, days: Days, *, dated: Dated) -> tuple[Ints, Doubles]:
    """The position that each day falls into [D], and the same with the part of the period that has passed by then."""
    place = place_days(panel, days, dated=dated)[0]
    grid = panel.frequency
    if grid.unit in ("business", "session") or (grid.unit == "fixed" and grid.count <= DAY):
        return place, place.astype(np.float64)
    ends = grid.times(place - (dated == "end")), grid.times(place + (dated == "start"))
    begin = ends[0] + DAY * (dated == "end")  # a period that ends with a day begins with the day after the last one
    part = (start_days(panel, days) - begin) / (ends[1] - ends[0])
    return place, place + np.clip(part, 0.0, 1.0)


def _swap(new: Ints, moved: int) -> tuple[Ints, Ints]:
    """The rows that a holiday left, and those of its rows that it went to, in order."""
    old = new - moved
    return np.setdiff1d(old, new), np.setdiff1d(new, old)
