"""Scaling of the target: one mean and scale a series, a panel or a window, learned once and undone exactly.

T rows, S series, N windows, L lookback, H horizon, Q quantiles. Every scale is positive, so that an inverted
quantile keeps its order. NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel

Doubles = npt.NDArray[np.float64]
By = Literal["series", "panel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """The target less its mean, over its standard deviation (ddof 0); `by` series or over the whole panel."""

    by: By = "series"
    name: Literal["standard"] = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class MinMax:
    """The target moved to 0 to 1 in training; `by` series or over the whole panel. Later values may lie
    outside.
    """

    by: By = "series"
    name: Literal["minmax"] = "minmax"


@dataclass(frozen=True, eq=False)
class Scaling:
    """A fitted `Standard` or `MinMax`: (y - centre) / scale, with the pair of each series by its name.

    A series that training did not have takes `pooled`, the pair of the whole training panel.
    """

    spec: Standard | MinMax
    pairs: Mapping[Any, tuple[float, float]]
    pooled: tuple[float, float]

    def apply(self, panel: Panel) -> Panel:
        """The panel with its target scaled."""
        centre, scale = self._pairs(panel)
        return replace_target(panel, (panel.target - centre[panel.codes]) / scale[panel.codes])

    def invert(self, values: Doubles, *, panel: Panel, rows: Ints) -> Doubles:
        """Forecasts [N, H, Q], made at the flat rows [N] of a panel, on the original scale."""
        centre, scale = self._pairs(panel)
        codes = panel.codes[rows]
        return np.asarray(values * scale[codes, None, None] + centre[codes, None, None])

    def _pairs(self, panel: Panel) -> tuple[Doubles, Doubles]:
        found = [self.pairs.get(name, self.pooled) for name in panel.series_ids]
        table = np.array(found, dtype=np.float64)
        return table[:, 0], table[:, 1]


def fit_scaling(spec: Standard | MinMax, panel: Panel) -> Scaling:
    """The scaling of a training panel; a series that does not move has the scale 1."""
    measure = _measure_spread if isinstance(spec, Standard) else _measure_range
    pooled = measure(panel.target)
    if spec.by == "panel":
        return Scaling(spec, {}, pooled)
    bounds = zip(panel.offsets[:-1], panel.offsets[1:], strict=True)
    pairs = {
        name: measure(panel.target[start:stop]) for name, (start, stop) in zip(panel.series_ids, bounds, strict=True)
    }
    return Scaling(spec, pairs, pooled)


@dataclass(frozen=True, eq=False)
class WindowScaling:
    """The mean and the scale [N] of each window's own history; what a model sees and says is in their
    units.
    """

    mean: Doubles
    scale: Doubles

    def apply(self, values: Doubles) -> Doubles:
        """Values [N, ...] of the windows, scaled: the history, the labels or quantiles."""
        return np.asarray((values - _spread(self.mean, values)) / _spread(self.scale, values))

    def invert(self, values: Doubles) -> Doubles:
        """Scaled values [N, ...] on the original scale."""
        return np.asarray(values * _spread(self.scale, values) + _spread(self.mean, values))


def fit_windows(past: Doubles) -> WindowScaling:
    """The mean and the standard deviation of each history [N, L] over its observed values.

    The scale is 1 where a history does not move; both are NaN and 1 where it holds nothing.

    >>> scaling = fit_windows(np.array([[1.0, np.nan, 3.0]]))
    >>> scaling.apply(np.array([[1.0, 4.0]])), scaling.invert(np.array([[2.0]]))
    (array([[-1.,  2.]]), array([[4.]]))
    """
    seen = ~np.isnan(past)
    count = seen.sum(axis=1)
    least = np.maximum(count, 1)
    mean = np.where(seen, past, 0.0).sum(axis=1) / least
    moves = np.sqrt((np.where(seen, past - mean[:, None], 0.0) ** 2).sum(axis=1) / least)
    return WindowScaling(np.where(count > 0, mean, np.nan), np.where(moves > 0, moves, 1.0))


def replace_target(panel: Panel, values: Doubles) -> Panel:
    """The panel with other values [T] of its target; NaN is missing."""
    column = pl.Series(panel.roles.target, values, dtype=pl.Float64).fill_nan(None)
    return replace(panel, table=panel.table.with_columns(column))


def _measure_spread(values: Doubles) -> tuple[float, float]:
    seen = values[~np.isnan(values)]
    deviation = float(seen.std())
    # Rounding leaves a trace of a deviation in a constant series.
    moves = deviation > 1e-12 * float(np.abs(seen).max())
    return float(seen.mean()), deviation if moves else 1.0


def _measure_range(values: Doubles) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return low, high - low if high > low else 1.0


def _spread(numbers: Doubles, values: Doubles) -> Doubles:
    return numbers.reshape(-1, *[1] * (values.ndim - 1))
