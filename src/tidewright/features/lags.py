"""Lags and rolling statistics of many series at once, over one flat array.

T rows in all, S series; series s owns the rows `offsets[s]:offsets[s + 1]`. A value at row t uses rows at or
before t of the same series, and nothing else. NaN is a missing value and is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError
from tidewright.features.columns import add_columns, pair_columns, role_of
from tidewright.features.flat import Doubles, first_rows, read_flat, read_rows, whole_numbers
from tidewright.features.statistics import MEDIAN, QUANTILE, name_window, read_statistics

Window = int | Literal["all"]


def lag_columns(
    flat: npt.ArrayLike, offsets: npt.ArrayLike, lags: Sequence[int], *, rows: Ints | None = None
) -> Doubles:
    """The values `lags` rows earlier [T, len(lags)]; NaN before the series' start. Lag 0 is the row itself.

    With `rows`, only those flat rows of the result.

    >>> lag_columns([1.0, 2.0, 7.0, 8.0], [0, 2, 4], [1]).ravel()
    array([nan,  1., nan,  7.])
    """
    values, bounds = read_flat(flat, offsets)
    back = whole_numbers("a lag", lags, least=0)
    if rows is None:
        return _lag_all(values, bounds, back)
    places, starts = read_rows(rows, bounds)
    index = places[:, None] - back[None, :]
    inside = index >= starts[:, None]
    return np.where(inside, values[np.where(inside, index, 0)], np.nan)


def rolling_columns(
    flat: npt.ArrayLike,
    offsets: npt.ArrayLike,
    windows: Sequence[Window],
    statistics: Sequence[str] = ("mean",),
    *,
    least: int = 1,
    rows: Ints | None = None,
) -> Doubles:
    """Statistics over the last `windows` rows, the row itself among them [T, len(windows) * len(statistics)].

    Columns run over the windows, and within a window over the statistics. The window "all" reaches back to the
    series' first row; any window is shorter at a series' start. Statistics are mean, std, var, min, max, sum, count,
    median, quantiles of any level (q0.9), skew, kurtosis and slope (the least squares line's rise a row). "std",
    "var", "skew" and "kurtosis" are the sample's, corrected for bias as pandas has them; kurtosis is that above a
    normal distribution's.

    A window with fewer than `least` observed values gives NaN, but for "count", which is always a number. So do
    "std", "var" and "slope" with fewer than two values, "skew" with fewer than three and "kurtosis" with fewer than
    four, or without variation.

    Whole columns cost the same for windows of any length. With `rows`, only those flat rows of the result: each of
    their windows is then summed by itself, and a number can differ from the whole column's by rounding.

    >>> rolling_columns([1.0, np.nan, 3.0, 8.0], [0, 3, 4], [2], ["mean", "max"])
    array([[1., 1.],
           [1., 1.],
           [3., 3.],
           [8., 8.]])
    """
    values, bounds = read_flat(flat, offsets)
    lengths = _lengths(windows, bounds)
    codes, levels = read_statistics(statistics)
    fewest = int(whole_numbers("the least number of observed values", [least], least=1)[0])
    if rows is None:
        return _roll_all(values, bounds, lengths, codes=codes, levels=levels, fewest=fewest)
    places, starts = read_rows(rows, bounds)
    if not lengths.size or not codes.size:
        return np.empty((len(places), 0))
    from tidewright.features.lag_kernels import roll

    return np.asarray(roll(values, places, starts, lengths, codes, levels, fewest))


def add_lags(
    panel: Panel,
    *,
    column: str | None = None,
    lags: Sequence[int] = (),
    rolling: Sequence[Window] = (),
    statistics: Sequence[str] = ("mean", "std"),
    least: int = 1,
) -> Panel:
    """The panel with lags and rolling statistics of a column (default: the target) as further columns.

    They are named after the column: sales_lag7, sales_mean28, sales_q0.9_28, sales_mean_all; see `rolling_columns`.
    They are `past` columns, or `known` ones where the column itself is known. Null where nothing is observed. Raises
    `ColumnError` when the panel has a column of such a name, or no such numeric column.
    """
    name = panel.roles.target if column is None else column
    values = panel.values(name)
    whole_numbers("a lag", lags, least=1)
    check_windows(rolling)
    check_least(rolling, statistics, least)
    names = [f"{name}_lag{lag}" for lag in lags]
    names += [f"{name}_{name_window(statistic, window)}" for window in rolling for statistic in statistics]
    made = [
        *lag_columns(values, panel.offsets, lags).T,
        *rolling_columns(values, panel.offsets, rolling, statistics, least=least).T,
    ]
    return add_columns(panel, pair_columns(names, made), role=role_of(panel, name), reach=panel.reach.get(name))


def _lag_all(values: Doubles, bounds: Ints, back: Ints) -> Doubles:
    place = np.arange(len(values))
    place -= first_rows(place, bounds)
    out = np.full((len(back), len(values)), np.nan)
    for column, lag in zip(out, back, strict=True):
        if lag < len(values):
            column[lag:] = np.where(place[lag:] >= lag, values[: len(values) - lag], np.nan)
    return out.T


def _roll_all(values: Doubles, bounds: Ints, lengths: Ints, *, codes: Ints, levels: Doubles, fewest: int) -> Doubles:
    """Whole columns, each contiguous: quantiles from sorted windows, all else from running states."""
    out = np.empty((len(lengths) * len(codes), len(values)))
    if not out.size:
        return out.T
    from tidewright.features.order_kernels import SHORT, roll_quantiles
    from tidewright.features.roll_kernels import roll_columns

    ordered = np.isin(codes, (MEDIAN, QUANTILE))
    longest = min(int(lengths.max()), int(np.diff(bounds).max()))
    by_value = _sort_series(values, bounds) if ordered.any() and longest > SHORT else bounds[:0]
    for number, window in enumerate(lengths):
        at = number * len(codes) + np.arange(len(codes))
        if not ordered.all():
            roll_columns(values, bounds, window, codes[~ordered], fewest, at[~ordered], out)
        if ordered.any():
            roll_quantiles(values, bounds, window, levels[ordered], fewest, by_value, at[ordered], out)
    return out.T


def _sort_series(values: Doubles, bounds: Ints) -> Ints:
    """The flat rows of each series by value [T]."""
    order = [low + np.argsort(values[low:high], kind="stable") for low, high in pairwise(bounds)]
    return np.concatenate(order).astype(np.int64)


def check_windows(windows: Sequence[Window]) -> None:
    """Raises `ConfigError` unless windows are a sequence of whole numbers and "all"."""
    if isinstance(windows, str) or not isinstance(windows, Iterable):
        raise ConfigError(f"rolling windows are given in a sequence; got {windows!r}. Write [{windows!r}].")
    for window in windows:
        if isinstance(window, str) and window != "all":
            raise ConfigError(f"a rolling window is a number of rows or 'all'; got {window!r}.")


def check_least(windows: Sequence[Window], statistics: Sequence[str], least: int) -> None:
    """Raises `ConfigError` for a window that never holds the `least` number of values that is asked for."""
    short = [window for window in windows if isinstance(window, int) and isinstance(least, int) and window < least]
    if short and set(statistics) != {"count"}:
        raise ConfigError(
            f"a window of {short[0]} rows never holds {least} observed values, so its column would be empty. Ask for "
            "fewer with least, or for longer windows."
        )


def _lengths(windows: Sequence[Window], bounds: Ints) -> Ints:
    """The windows as numbers of rows. One beyond the longest series is all of it, however long that is."""
    check_windows(windows)
    most = int(np.diff(bounds).max(initial=0)) + 1
    found = whole_numbers("a rolling window", [most if window == "all" else window for window in windows], least=1)
    return np.minimum(found, most)
