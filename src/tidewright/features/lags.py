"""Lags and rolling statistics of many series at once, over one flat array.

T rows in all, S series; series s owns the rows `offsets[s]:offsets[s + 1]`. A value at row t uses rows at or
before t of the same series, and nothing else. NaN is a missing value and is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, UnknownNameError

Doubles = npt.NDArray[np.float64]
Statistic = Literal["mean", "std", "min", "max", "sum", "median"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)


def lag_columns(
    flat: npt.ArrayLike, offsets: npt.ArrayLike, lags: Sequence[int], *, rows: Ints | None = None
) -> Doubles:
    """The values `lags` rows earlier [T, len(lags)]; NaN before the series' start. Lag 0 is the row itself.

    With `rows`, only those flat rows of the result.

    >>> lag_columns([1.0, 2.0, 7.0, 8.0], [0, 2, 4], [1]).ravel()
    array([nan,  1., nan,  7.])
    """
    values, places, starts = _place(flat, offsets, rows)
    back = _whole("a lag", lags, least=0)
    index = places[:, None] - back[None, :]
    inside = index >= starts[:, None]
    return np.where(inside, values[np.where(inside, index, 0)], np.nan)


def rolling_columns(
    flat: npt.ArrayLike,
    offsets: npt.ArrayLike,
    windows: Sequence[int],
    statistics: Sequence[Statistic] = ("mean",),
    *,
    least: int = 1,
    rows: Ints | None = None,
) -> Doubles:
    """Statistics over the last `windows` rows, the row itself among them [T, len(windows) * len(statistics)].

    Columns run over the windows, and within a window over the statistics. At a series' start a window is
    shorter. A window with fewer than `least` observed values gives NaN, and so does "std" (n - 1 in the
    denominator) with fewer than two. With `rows`, only those flat rows of the result.

    >>> rolling_columns([1.0, np.nan, 3.0, 8.0], [0, 3, 4], [2], ["mean", "max"])
    array([[1., 1.],
           [1., 1.],
           [3., 3.],
           [8., 8.]])
    """
    values, places, starts = _place(flat, offsets, rows)
    lengths = _whole("a rolling window", windows, least=1)
    codes = _codes(statistics)
    fewest = int(_whole("the least number of observed values", [least], least=1)[0])
    if not lengths.size or not codes.size:
        return np.empty((len(places), 0))
    from tidewright.features.lag_kernels import roll

    return np.asarray(roll(values, places, starts, lengths, codes, fewest))


def add_lags(
    panel: Panel,
    *,
    column: str | None = None,
    lags: Sequence[int] = (),
    rolling: Sequence[int] = (),
    statistics: Sequence[Statistic] = ("mean", "std"),
    least: int = 1,
) -> Panel:
    """The panel with lags and rolling statistics of a column (default: the target) as further `past` columns.

    They are named after the column: sales_lag7, sales_mean28. Null where nothing is observed. Raises
    `ColumnError` when the panel has a column of such a name, or no such numeric column.
    """
    name = panel.roles.target if column is None else column
    values = panel.values(name)
    _whole("a lag", lags, least=1)
    names = [f"{name}_lag{lag}" for lag in lags]
    names += [f"{name}_{statistic}{window}" for window in rolling for statistic in statistics]
    _check_new(names, panel.table.columns)
    made = np.hstack(
        [
            lag_columns(values, panel.offsets, lags),
            rolling_columns(values, panel.offsets, rolling, statistics, least=least),
        ]
    )
    columns = [pl.Series(new, made[:, i]).fill_nan(None) for i, new in enumerate(names)]
    roles = replace(panel.roles, past=(*panel.roles.past, *names))
    return replace(panel, table=panel.table.with_columns(columns), roles=roles)


def _place(flat: npt.ArrayLike, offsets: npt.ArrayLike, rows: Ints | None) -> tuple[Doubles, Ints, Ints]:
    """The values, the rows that are asked for, and the first row of each one's series."""
    values = np.ascontiguousarray(flat, dtype=np.float64)
    bounds = np.ascontiguousarray(offsets, dtype=np.int64)
    if values.ndim != 1 or bounds.ndim != 1 or not bounds.size or bounds[0] != 0 or bounds[-1] != len(values):
        raise ConfigError(
            f"offsets run from 0 to the number of rows of one flat array; got values of shape {values.shape} "
            f"and offsets {bounds.tolist()[:5]}. Give each series' first row, and the number of rows at the end."
        )
    if (np.diff(bounds) < 0).any():
        raise ConfigError(f"offsets ascend; got {bounds.tolist()[:5]}. Sort the rows by series.")
    places = np.arange(len(values), dtype=np.int64) if rows is None else np.ascontiguousarray(rows, dtype=np.int64)
    if places.size and (places.min() < 0 or places.max() >= len(values)):
        raise ConfigError(f"rows lie between 0 and {len(values) - 1}; got {places.min()} to {places.max()}.")
    starts = bounds[np.searchsorted(bounds, places, side="right") - 1]
    return values, places, starts


def _whole(what: str, numbers: Iterable[Any], *, least: int) -> Ints:
    """The numbers as integers; raises `ConfigError` at a fraction, a boolean or one below `least`."""
    found = list(numbers)
    for number in found:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < least:
            raise ConfigError(f"{what} is a whole number of rows, {least} or more; got {number!r}.")
    return np.array(found, dtype=np.int64)


def _codes(statistics: Sequence[str]) -> Ints:
    if isinstance(statistics, str):
        raise ConfigError(f"statistics are a sequence of names; got the text {statistics!r}. Write ({statistics!r},).")
    for name in statistics:
        if name not in STATISTICS:
            raise UnknownNameError(explain_unknown("rolling statistic", name, STATISTICS))
    return np.array([STATISTICS.index(name) for name in statistics], dtype=np.int64)


def _check_new(names: Sequence[str], columns: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in columns or name in names[:number]:
            raise ColumnError(
                f"the panel would have two columns '{name}'. Rename the one it has, or ask for each once."
            )
