"""The yardsticks of MASE and RMSSE: how far a series moves from one season to the next, measured on its past.

Letters: N windows, S series, T rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def seasonal_scale(values: ArrayLike, *, offsets: ArrayLike, season: int, squared: bool = False) -> Floats:
    """[S]: the mean absolute (or squared) difference of each series from itself `season` rows before.

    Series s is `values[offsets[s]:offsets[s + 1]]`, in time order on a full grid (a missing row is a NaN).
    Pairs with a NaN are left out; a series without a pair has no scale (NaN). Give the past only: no row of a
    test set belongs here.
    Source: Hyndman and Koehler (2006); squared: Makridakis, Spiliotis and Assimakopoulos (2022).

    >>> seasonal_scale([1.0, 3.0, 2.0, 10.0, 10.0], offsets=[0, 3, 5], season=1)
    array([1.5, 0. ])
    >>> seasonal_scale([1.0, 3.0, 2.0, 10.0, 10.0], offsets=[0, 3, 5], season=2)
    array([ 1., nan])
    """
    bounds = np.asarray(offsets, dtype=np.int64)
    return past_scale(
        values,
        offsets=bounds,
        season=season,
        series=np.arange(bounds.size - 1),
        ends=bounds[1:],
        squared=squared,
    )


def past_scale(
    values: ArrayLike,
    *,
    offsets: ArrayLike,
    season: int,
    series: ArrayLike,
    ends: ArrayLike,
    squared: bool = False,
) -> Floats:
    """[N]: the seasonal scale of each window's own past, the rows of its series before its cutoff.

    `series` [N] says which series a window belongs to, `ends` [N] the first row of `values` that its past no
    longer holds.

    >>> past_scale([1.0, 3.0, 2.0, 7.0], offsets=[0, 4], season=1, series=[0, 0], ends=[2, 4])
    array([2.        , 2.66666667])
    """
    rows = np.asarray(values, dtype=np.float64)
    bounds = np.asarray(offsets, dtype=np.int64)
    codes, stops = np.asarray(series, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    _check(rows, bounds=bounds, season=season, codes=codes, stops=stops)
    moves = np.full(rows.shape, np.nan)
    moves[season:] = rows[season:] - rows[:-season]
    moves = np.square(moves) if squared else np.abs(moves)
    scale = np.full(codes.shape, np.nan)
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    # Running sums restart with each series, so that a big one can't blur a small one.
    for code, mine in zip(present, np.split(order, starts[1:]), strict=False):
        first = int(bounds[code]) + season
        past = moves[first : int(bounds[code + 1])]
        scale[mine] = _running_mean(past)[np.maximum(stops[mine] - first, 0)]
    return scale


def _running_mean(moves: Floats) -> Floats:
    """Entry k is the mean of the first k moves that aren't NaN; NaN where there is none."""
    known = ~np.isnan(moves)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, moves, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    means: Floats = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def _check(rows: Floats, *, bounds: Ints, season: int, codes: Ints, stops: Ints) -> None:
    if season < 1:
        raise ConfigError(f"season is a lag of at least 1 row, got {season}. Use 1 for a series without a season.")
    if np.isinf(rows).any():
        raise DataError(f"row {int(np.argmax(np.isinf(rows)))} of values is infinite. Mend it, or set it to NaN.")
    if rows.ndim != 1 or bounds.ndim != 1 or bounds.size == 0 or bounds[0] != 0 or bounds[-1] != rows.size:
        raise DataError(f"offsets must run from 0 to the {rows.size} rows of values, got {bounds.tolist()[:5]}...")
    if (np.diff(bounds) < 0).any():
        raise DataError("offsets must not fall: series s is values[offsets[s]:offsets[s + 1]].")
    if codes.shape != stops.shape or codes.ndim != 1:
        raise DataError(f"series and ends hold one entry a window, got shapes {codes.shape} and {stops.shape}.")
    if codes.size and (codes.min() < 0 or codes.max() >= bounds.size - 1):
        raise DataError(f"series holds codes from 0 to {bounds.size - 2}, got {codes.min()} to {codes.max()}.")
    if (stops < bounds[codes]).any() or (stops > bounds[codes + 1]).any():
        raise DataError("an end lies outside its series: ends[i] is a row from offsets[s] to offsets[s + 1].")
