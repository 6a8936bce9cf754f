"""How well forecasts ordered the assets, date by date."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.portfolio.inputs import FloatArray


def rank_ic(expected: ArrayLike, realised: ArrayLike) -> FloatArray:
    """The rank correlation (Spearman 1904) of forecast and realised returns over the assets, at each date [C].

    Both are [C, A]; an asset with a NaN in either is left out of its date, and a date with fewer than 3 assets, or
    without any difference, is NaN.

    >>> rank_ic([[0.1, 0.2, 0.3]], [[-0.1, 0.0, 0.4]])
    array([1.])
    """
    forecast = np.asarray(expected, dtype=np.float64)
    outcome = np.asarray(realised, dtype=np.float64)
    both = np.isfinite(forecast) & np.isfinite(outcome)
    count = both.sum(axis=1)
    middle = (count[:, None] + 1.0) / 2.0
    left, right = (np.where(both, _rank_rows(table, there=both) - middle, 0.0) for table in (forecast, outcome))
    spread = np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    told = (count >= 3) & (spread > 0.0)
    return np.asarray(np.divide((left * right).sum(axis=1), spread, out=np.full(len(both), np.nan), where=told))


def _rank_rows(table: FloatArray, *, there: NDArray[np.bool_]) -> FloatArray:
    """The ranks of each row of [C, A] among its cells that are `there`, from 1; equal ones share their mean."""
    values = np.where(there, table, np.inf)  # the others rank last
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    places = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        new = np.diff(ordered, axis=1, prepend=-np.inf) != 0.0
    first = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    closes = np.roll(new, -1, axis=1)
    closes[:, -1] = True
    last = np.minimum.accumulate(np.where(closes, places, values.shape[1])[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2.0 + 1.0, axis=1)
    return ranks


def average_ranks(values: FloatArray) -> FloatArray:
    """The ranks of values [A], from 1; equal ones share their mean.

    >>> average_ranks(np.array([0.3, 0.1, 0.1]))
    array([3. , 1.5, 1.5])
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[inverse])
