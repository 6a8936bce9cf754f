"""What is scored: the actual values of the windows beside their quantile forecasts, on the original scale; or their
classes beside the probability of each.

Letters: N windows, H horizon, Q quantiles, K classes, S series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, init=False)
class Scored:
    """Actual values and forecasts of N windows, checked once so that every metric may trust them.

    `actual` is [N, H]; NaN is a value that is missing, and a missing value is not scored. `forecast` is [N,
    H, Q], or [N, H] for point forecasts, at the ascending `levels`, which hold 0.5: the point forecast is the
    median's column. `scale` and `scale_squared` are [N]: the mean absolute and the mean squared seasonal
    difference of each window's past (`seasonal_scale`); NaN or 0 leaves the window out of the scaled metrics.
    `series` is [N]: an integer code a window. With `n_classes` K the actual values are classes, counted from 0, the
    forecast [N, H, K] holds their probabilities, and there are no levels. Everything becomes float64 (codes int64).
    Raises DataError.

    >>> scored = Scored(actual=[[1.0, np.nan]], forecast=[[2.0, 3.0]])
    >>> scored.forecast.shape, int(scored.observed.sum())
    ((1, 2, 1), 1)
    """

    actual: Floats
    forecast: Floats
    levels: Floats
    scale: Floats | None
    scale_squared: Floats | None
    series: NDArray[np.int64] | None
    n_classes: int

    def __init__(
        self,
        actual: ArrayLike,
        forecast: ArrayLike,
        *,
        levels: ArrayLike = (0.5,),
        scale: ArrayLike | None = None,
        scale_squared: ArrayLike | None = None,
        series: ArrayLike | None = None,
        n_classes: int = 0,
    ) -> None:
        values = np.asarray(actual, dtype=np.float64)
        quantiles = np.asarray(forecast, dtype=np.float64)
        chosen = np.empty(0) if n_classes else check_levels(levels)
        names = [f"class {label}" for label in range(n_classes)] or [f"level {level:g}" for level in chosen]
        _check_shapes(values, forecast=quantiles, names=names)
        if quantiles.ndim == 2:
            quantiles = quantiles[:, :, np.newaxis]
        _check_values(values, forecast=quantiles, names=names)
        if n_classes:
            _check_classes(values, forecast=quantiles)
        windows = values.shape[0]
        fields = {
            "actual": values,
            "forecast": quantiles,
            "levels": chosen,
            "scale": _check_scale(scale, name="scale", windows=windows),
            "scale_squared": _check_scale(scale_squared, name="scale_squared", windows=windows),
            "series": _check_series(series, windows=windows),
            "n_classes": n_classes,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @cached_property
    def observed(self) -> NDArray[np.bool_]:
        """[N, H]: which cells have an actual value."""
        return ~np.isnan(self.actual)

    @cached_property
    def error(self) -> Floats:
        """[N, H]: point forecast minus actual value (positive: too high), NaN where the actual is missing."""
        return np.asarray(self.point - self.actual)

    @property
    def point(self) -> Floats:
        """[N, H]: the column of level 0.5."""
        return np.asarray(self.forecast[:, :, int(np.argmin(np.abs(self.levels - 0.5)))])

    def take(self, rows: NDArray[Any]) -> Scored:
        """Only some of the windows: their numbers, or a mask [N]."""
        optional = {name: getattr(self, name) for name in ("scale", "scale_squared", "series")}
        given = {name: None if values is None else values[rows] for name, values in optional.items()}
        return Scored(self.actual[rows], self.forecast[rows], levels=self.levels, n_classes=self.n_classes, **given)

    @property
    def nominal_coverage(self) -> float:
        """The share of actual values that should lie between the lowest and the highest level."""
        return float(self.levels[-1] - self.levels[0])


def check_levels(levels: ArrayLike) -> Floats:
    """The levels [Q] as float64: ascending, between 0 and 1, with 0.5 among them."""
    array = np.asarray(levels, dtype=np.float64)
    shown = array.tolist()
    if array.ndim != 1 or array.size == 0 or not ((array > 0) & (array < 1)).all():
        raise DataError(f"quantile levels lie between 0 and 1, got {shown}. Bring fractions, such as (0.1, 0.5, 0.9).")
    if (np.diff(array) <= 0).any():
        raise DataError(f"quantile levels must ascend, got {shown}. Sort them, and the forecast's last axis with them.")
    if not np.isclose(array, 0.5, rtol=0.0, atol=1e-9).any():
        raise DataError(f"the levels must include 0.5, the point forecast; got {shown}. Forecast the median as well.")
    return array


def _check_shapes(actual: Floats, *, forecast: Floats, names: list[str]) -> None:
    width, what = len(names), "classes" if names[0].startswith("class") else "levels"
    if actual.ndim != 2:
        raise DataError(
            f"the actual values are [windows, horizon], got shape {actual.shape}. Reshape them to two axes."
        )
    want = (*actual.shape, width)
    if forecast.shape != want and not (width == 1 and forecast.shape == actual.shape):
        raise DataError(
            f"the forecast's shape is {forecast.shape}, but {actual.shape[0]} windows of {actual.shape[1]} "
            f"steps at {width} {what} need {want}. Bring both in the same order of windows."
        )


def _check_values(actual: Floats, *, forecast: Floats, names: list[str]) -> None:
    endless = np.isinf(actual)
    if endless.any():
        window, step = (int(i) for i in np.argwhere(endless)[0])
        raise DataError(
            f"the actual value of window {window}, step {step} is {actual[window, step]}. "
            "Mend it, or set it to NaN so that it isn't scored."
        )
    bad = ~np.isfinite(forecast) & ~np.isnan(actual)[:, :, np.newaxis]
    if bad.any():
        count = int(bad.any(axis=2).sum())
        window, step, column = (int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"the forecast of window {window}, step {step}, {names[column]} is "
            f"{forecast[window, step, column]}, but its actual value is known ({count} such cells). "
            "Forecast every step that is scored."
        )


def _check_classes(actual: Floats, *, forecast: Floats) -> None:
    """Actual values are places among the classes; the probabilities of what is known lie in 0 to 1, and sum to 1."""
    known = actual[~np.isnan(actual)]
    if known.size and not (np.isin(known, np.arange(forecast.shape[2])).all()):
        raise DataError(
            f"classes are counted from 0 to {forecast.shape[2] - 1}, one for each probability; got "
            f"{known.min():g} to {known.max():g}. Give each actual value its class's place."
        )
    said = forecast[~np.isnan(actual)]
    if not ((said >= 0.0) & (said <= 1.0)).all() or not np.allclose(said.sum(axis=1), 1.0, rtol=0.0, atol=1e-5):
        raise DataError("the probabilities of all classes lie between 0 and 1, and sum to 1. Mend the forecast.")


def _check_scale(scale: ArrayLike | None, *, name: str, windows: int) -> Floats | None:
    if scale is None:
        return None
    array = np.asarray(scale, dtype=np.float64)
    if array.shape != (windows,):
        raise DataError(f"{name} holds one value a window: {windows} were needed, got shape {array.shape}.")
    bad = np.isinf(array) | (array < 0)
    if bad.any():
        window = int(np.argmax(bad))
        raise DataError(
            f"{name} of window {window} is {array[window]}; it is finite and never negative (NaN: unknown)."
        )
    return array


def _check_series(series: ArrayLike | None, *, windows: int) -> NDArray[np.int64] | None:
    if series is None:
        return None
    array = np.asarray(series)
    if array.shape != (windows,) or not np.issubdtype(array.dtype, np.integer):
        raise DataError(
            f"series holds one integer a window: {windows} were needed, got {array.shape} of {array.dtype}."
        )
    return array.astype(np.int64)
