"""Floors: simple forecasts that every model must beat. Each is a formula on one window's history [N, L] (NaN:
missing).

Quantiles are the point forecast plus residual quantiles of the training windows, a step at a time, in units
of the window's own scale (its mean absolute seasonal difference); the median is the point forecast itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.spec import Damped, Drift, Median, Naive, Ridge, SeasonalNaive

FloorSpec = Naive | SeasonalNaive | Drift | Damped | Median | Ridge
CELLS = 2_000_000  # values of the histories that are held at once


@dataclass(frozen=True, eq=False)
class Floor:
    """A fitted floor: its formula's numbers, and its residual quantiles `spread` [H, Q] in units of the
    window's scale.

    `season` is the lag of that scale. A ridge has `weights` [L, H] and says whether windows are scaled.
    """

    spec: FloorSpec
    task: Task
    view: View
    season: int
    spread: Doubles
    weights: Doubles | None = None
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`."""
        out = np.empty((len(windows), self.task.horizon, len(self.task.quantiles)))
        for rows in chunks(len(windows), self.view.lookback):
            past = windows.history(rows)
            point = point_forecast(self, past)
            out[rows] = point[:, :, None] + window_scale(past, self.season)[:, None, None] * self.spread
        return out

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`."""
        found = {"spread": self.spread}
        return found if self.weights is None else {**found, "weights": self.weights}


def chunks(count: int, lookback: int, *, cells: int = CELLS) -> list[slice]:
    """Slices of `count` windows whose histories fit in memory together."""
    size = max(cells // lookback, 1)
    return [slice(start, start + size) for start in range(0, count, size)]


def point_forecast(floor: Floor, past: Doubles) -> Doubles:
    """The point forecast [N, H] from histories [N, L]."""
    spec, horizon = floor.spec, floor.task.horizon
    if isinstance(spec, Ridge):
        assert floor.weights is not None
        return forecast_ridge(past, floor.weights)
    if isinstance(spec, SeasonalNaive):
        return forecast_seasonal(past, period=int(spec.period or 1), horizon=horizon)
    if isinstance(spec, Damped):
        level = damped_level(past, spec)[:, None]
        return forecast_seasonal(past, period=int(spec.period or 1), horizon=horizon) * level
    if isinstance(spec, Drift):
        return forecast_drift(past, horizon=horizon)
    value = last_observed(past) if isinstance(spec, Naive) else median_observed(past)
    return np.repeat(value[:, None], horizon, axis=1)


def last_observed(past: Doubles) -> Doubles:
    """The last value of each row [N, L] that isn't NaN (NaN where there is none).

    >>> last_observed(np.array([[1.0, 2.0, np.nan]]))
    array([2.])
    """
    place = past.shape[1] - 1 - np.argmax(~np.isnan(past[:, ::-1]), axis=1)
    return np.asarray(np.take_along_axis(past, place[:, None], axis=1)[:, 0])


def median_observed(past: Doubles) -> Doubles:
    """The median of each row's observed values; the mean of the middle two when their number is even.

    >>> median_observed(np.array([[1.0, 9.0, np.nan, 2.0], [np.nan] * 4]))
    array([ 2., nan])
    """
    ordered = np.sort(past, axis=1)  # missing values go last
    count = (~np.isnan(past)).sum(axis=1)
    middle = np.column_stack([np.maximum(count - 1, 0) // 2, count // 2])
    low, high = np.take_along_axis(ordered, middle, axis=1).T
    return np.asarray(low + (high - low) / 2)


def forecast_seasonal(past: Doubles, *, period: int, horizon: int) -> Doubles:
    """The value a period before each step [N, H]; a missing one takes the last observed value before it.

    Where nothing was observed before it either (the lookback begins there), the last observed value of all.

    >>> forecast_seasonal(np.array([[1.0, 2.0, np.nan, 4.0]]), period=2, horizon=3)
    array([[2., 4., 2.]])
    """
    missing = max(period - past.shape[1], 0)
    padded = np.pad(past, ((0, 0), (missing, 0)), constant_values=np.nan) if missing else past
    cycle = carry_forward(padded)[:, -period:]
    cycle = np.where(np.isnan(cycle), last_observed(past)[:, None], cycle)
    return np.asarray(cycle[:, np.arange(horizon) % period])


def carry_forward(past: Doubles) -> Doubles:
    """Each missing value of a row [N, L] replaced by the last observed one before it; NaN where there is
    none.

    >>> carry_forward(np.array([[np.nan, 2.0, np.nan, np.nan]]))
    array([[nan,  2.,  2.,  2.]])
    """
    seen = ~np.isnan(past)
    if seen.all():
        return past
    place = np.maximum.accumulate(np.where(seen, np.arange(past.shape[1]), 0), axis=1)
    return np.asarray(np.take_along_axis(past, place, axis=1))


def forecast_drift(past: Doubles, *, horizon: int) -> Doubles:
    """The last observed value plus h times the mean step between the first and the last observed one [N,
    H].
    """
    seen = ~np.isnan(past)
    first, last = np.argmax(seen, axis=1), past.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)
    start = np.take_along_axis(past, first[:, None], axis=1)[:, 0]
    end = last_observed(past)
    slope = (end - start) / np.maximum(last - first, 1)
    return np.asarray(end[:, None] + slope[:, None] * np.arange(1, horizon + 1))


def damped_level(past: Doubles, spec: Damped) -> Doubles:
    """The level [N]: recent sum over the same steps a period before, clipped and damped; 1 where it can't be
    told.
    """
    period, recent = int(spec.period or 1), spec.recent
    missing = max(recent + period - past.shape[1], 0)
    past = np.pad(past[:, -recent - period :], ((0, 0), (missing, 0)), constant_values=np.nan)
    now, before = past[:, period:], past[:, :recent]
    both = ~np.isnan(now) & ~np.isnan(before)
    top, bottom = np.where(both, now, 0.0).sum(axis=1), np.where(both, before, 0.0).sum(axis=1)
    known = (top > 0) & (bottom > 0)
    ratio = np.where(known, top, 1.0) / np.where(known, bottom, 1.0)
    return np.asarray(np.clip(ratio, spec.low, spec.high) ** spec.damping)


def forecast_ridge(past: Doubles, weights: Doubles) -> Doubles:
    """mean + (past - mean) @ weights [N, H]; missing values count as the window's mean.

    >>> forecast_ridge(np.array([[1.0, 3.0]]), np.array([[0.0], [1.0]]))
    array([[3.]])
    """
    inputs, mean = centre(past)
    return np.asarray(mean[:, None] + inputs @ weights)


def centre(past: Doubles) -> tuple[Doubles, Doubles]:
    """Each window less the mean of its observed values [N, L], 0 where it is missing, and that mean [N]."""
    seen = ~np.isnan(past)
    if seen.all():
        mean = past.mean(axis=1)
        return np.asarray(past - mean[:, None]), np.asarray(mean)
    count = seen.sum(axis=1)
    mean = np.where(seen, past, 0.0).sum(axis=1) / np.maximum(count, 1)
    inputs = np.where(seen, past - mean[:, None], 0.0)
    return inputs, np.where(count > 0, mean, np.nan)


def window_scale(past: Doubles, season: int) -> Doubles:
    """The mean absolute difference at the lag `season` within each window [N], over observed pairs.

    Where no pair is observed (a short history), the differences at lag 1; where there are none either, 0.
    """
    scale = _mean_difference(past, season)
    return np.where(np.isnan(scale), np.nan_to_num(_mean_difference(past, 1)), scale)


def _mean_difference(past: Doubles, lag: int) -> Doubles:
    if past.shape[1] <= lag:
        return np.full(len(past), np.nan)
    steps = np.abs(past[:, lag:] - past[:, :-lag])
    seen = ~np.isnan(steps)
    count = seen.sum(axis=1)
    return np.where(count > 0, np.where(seen, steps, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
