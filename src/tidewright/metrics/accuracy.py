"""Scores of a forecast: overall, by step of the horizon, by series, by window and by cutoff.

A score that is undefined, because no cell counts for it, is NaN; it is never a made-up number.
Letters: N windows, H horizon, S series, C cutoffs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import ConfigError, DataError
from tidewright.metrics.definitions import METRICS, Metric, find_available, find_metric
from tidewright.metrics.scale import past_scale, seasonal_scale
from tidewright.metrics.scored import Scored

__all__ = [
    "METRICS",
    "GroupSums",
    "Metric",
    "Scored",
    "count_cells",
    "find_available",
    "find_metric",
    "loss_by_cutoff",
    "loss_by_window",
    "owa",
    "past_scale",
    "score",
    "score_by_series",
    "score_by_step",
    "seasonal_scale",
    "sum_by_group",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GroupSums:
    """The two sums of a metric for each group of windows, groups ascending, for `block_bootstrap_ratio`."""

    groups: NDArray[Any]
    numerator: Floats
    denominator: Floats


def score(scored: Scored, metrics: Sequence[str] | None = None) -> dict[str, float]:
    """Each metric over all scored cells; without names, every metric that the windows bring all for.

    >>> actual, forecast = [[10.0, 20.0], [40.0, float("nan")]], [[13.0, 16.0], [40.0, 9.0]]
    >>> scored = Scored(actual, forecast, scale=[5.0, 2.0], scale_squared=[25.0, 4.0])
    >>> scores = score(scored, ["mae", "rmse", "wape", "mase", "rmsse"])
    >>> {name: round(value, 4) for name, value in scores.items()}
    {'mae': 2.3333, 'rmse': 2.8868, 'wape': 0.1, 'mase': 0.4667, 'rmsse': 0.5774}
    """
    sums = _sum_cells(scored, metrics=metrics, add=lambda values: values.sum())
    return {name: float(value) for name, value in sums.items()}


def score_by_step(scored: Scored, metrics: Sequence[str] | None = None) -> dict[str, Floats]:
    """Each metric at each step of the horizon, [H].

    >>> score_by_step(Scored([[10.0, 20.0]], [[11.0, 24.0]]), ["mae"])
    {'mae': array([1., 4.])}
    """
    return _sum_cells(scored, metrics=metrics, add=lambda values: values.sum(axis=0))


def score_by_series(scored: Scored, metrics: Sequence[str] | None = None) -> dict[str, Floats]:
    """Each metric for each series, [S], aligned with the ascending codes `np.unique(scored.series)`.

    >>> score_by_series(Scored([[10.0], [20.0], [30.0]], [[11.0], [24.0], [30.0]], series=[7, 3, 7]), ["mae"])
    {'mae': array([4. , 0.5])}
    """
    if scored.series is None:
        raise DataError("a score by series needs the series of each window. Give Scored(series=codes).")
    groups = scored.series
    return _sum_cells(scored, metrics=metrics, add=lambda values: _add(values, groups=groups))


def count_cells(scored: Scored, metrics: Sequence[str] | None = None) -> dict[str, int]:
    """How many cells each metric counts: those with an actual value for which it is defined.

    >>> count_cells(Scored([[0.0, 20.0, float("nan")]], [[1.0, 24.0, 1.0]]), ["mae", "mape"])
    {'mae': 2, 'mape': 1}
    """
    return {metric.name: int(metric.cells(scored).counted.sum()) for metric in _choose(metrics, scored=scored)}


def loss_by_window(scored: Scored, metric: str) -> Floats:
    """[N]: the mean loss of each window, NaN where none of its cells counts.

    For wape and wql the cells are divided by the mean |y| of all windows, so that the loss of full windows
    averages to the score. Raises ConfigError for a metric that is a root (take its square, mse) or not a loss
    (coverage, bias).

    >>> loss_by_window(Scored([[10.0, 20.0], [30.0, 40.0]], [[11.0, 24.0], [30.0, 41.0]]), "mae")
    array([2.5, 0.5])
    """
    return _loss(scored, metric=metric, groups=np.arange(scored.actual.shape[0]))


def loss_by_cutoff(scored: Scored, metric: str, *, cutoff: ArrayLike) -> Floats:
    """[C]: the mean loss of all windows of one cutoff, cutoffs ascending, as `diebold_mariano` takes it.

    `cutoff` is [N]: an integer or a datetime64 for each window. Otherwise like `loss_by_window`.

    >>> loss_by_cutoff(Scored([[10.0], [20.0], [30.0]], [[11.0], [24.0], [30.0]]), "mae", cutoff=[5, 3, 5])
    array([4. , 0.5])
    """
    return _loss(scored, metric=metric, groups=_check_groups(cutoff, name="cutoff", scored=scored))


def sum_by_group(scored: Scored, metric: str, *, group: ArrayLike) -> GroupSums:
    """The sums above and below the line of a metric, for each group of windows (`group` is [N], say cutoffs).

    >>> scored = Scored([[10.0], [20.0], [30.0]], [[11.0], [24.0], [30.0]])
    >>> sums = sum_by_group(scored, "wape", group=[5, 3, 5])
    >>> sums.numerator, sums.denominator
    (array([4., 1.]), array([20., 40.]))
    """
    groups = _check_groups(group, name="group", scored=scored)
    cells = find_metric(metric).cells(scored)
    above = _add(cells.numerator, groups=groups)
    return GroupSums(np.unique(groups), above, _add(cells.denominator, groups=groups))


def owa(smape: float, mase: float, *, smape_naive2: float, mase_naive2: float) -> float:
    """The overall weighted average of the M4 competition: the mean of sMAPE and MASE, each over Naive2's.

    Both sMAPE in the same unit. Source: Makridakis, Spiliotis and Assimakopoulos (2020).

    >>> round(owa(13.912, 1.193, smape_naive2=18.383, mase_naive2=2.395), 4)  # seasonal naive on M4 Hourly
    0.6275
    """
    if not (smape_naive2 > 0 and mase_naive2 > 0):
        raise ConfigError(f"Naive2's scores must be positive, got sMAPE {smape_naive2} and MASE {mase_naive2}.")
    return (smape / smape_naive2 + mase / mase_naive2) / 2


def _check_groups(groups: ArrayLike, *, name: str, scored: Scored) -> NDArray[Any]:
    keys, windows = np.asarray(groups), scored.actual.shape[0]
    if keys.shape != (windows,):
        raise DataError(f"{name} holds one entry a window: {windows} were needed, got shape {keys.shape}.")
    return keys


def _choose(names: Sequence[str] | None, *, scored: Scored) -> list[Metric]:
    if isinstance(names, str):
        names = [names]
    return [find_metric(name) for name in (find_available(scored) if names is None else names)]


def _sum_cells(scored: Scored, *, metrics: Sequence[str] | None, add: Callable[[Floats], Floats]) -> dict[str, Floats]:
    scores = {}
    for metric in _choose(metrics, scored=scored):
        cells = metric.cells(scored)
        scores[metric.name] = metric.finish(add(cells.numerator), denominator=add(cells.denominator))
    return scores


def _add(values: Floats, *, groups: NDArray[Any]) -> Floats:
    """The sum of [N, H] values over each group of windows, groups ascending."""
    present, positions = np.unique(groups, return_inverse=True)
    sums = np.bincount(positions, weights=values.sum(axis=1), minlength=present.size)
    return sums.astype(np.float64, copy=False)


def _loss(scored: Scored, *, metric: str, groups: NDArray[Any]) -> Floats:
    chosen = find_metric(metric)
    if chosen.root or chosen.direction == "nearest":
        losses = ", ".join(name for name, one in METRICS.items() if not one.root and one.direction == "lower")
        raise ConfigError(
            f"{metric} is no mean loss over cells, so windows can't be compared by it. Take one of {losses}."
        )
    cells = chosen.cells(scored)
    unit = 1.0
    if chosen.pooling == "ratio":  # one divisor for all windows, or a window of small values would weigh too much
        unit = float(cells.denominator.sum()) / max(int(cells.counted.sum()), 1)
    above, counts = (_add(part, groups=groups) for part in (cells.numerator, cells.counted.astype(np.float64)))
    return chosen.finish(above, denominator=counts * unit)
