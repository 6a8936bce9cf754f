"""The formulas of the accuracy metrics, cell by cell: what a metric sums above and below the line.

In the formulas y is the actual value, f the point forecast, f_q the forecast at level q. Fractions are never
percents. Letters: N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidewright.metrics.scored import Scored

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cells:
    """The two sums of a metric before they are summed: [N, H] each, 0 where a cell isn't `counted`."""

    numerator: Floats
    denominator: Floats
    counted: Mask

    def ratio(self) -> float:
        """The sum of the numerators over the sum of the denominators; NaN where that is 0."""
        below = float(self.denominator.sum())
        return float(self.numerator.sum()) / below if below > 0 else float("nan")


def absolute_error(scored: Scored) -> Cells:
    """|f - y|, in the target's unit.

    >>> absolute_error(Scored([[10.0, 20.0, float("nan")]], [[12.0, 19.0, 5.0]])).ratio()
    1.5
    """
    return _mean(np.abs(scored.error), counted=scored.observed)


def squared_error(scored: Scored) -> Cells:
    """(f - y)^2, in the square of the target's unit.

    >>> squared_error(Scored([[10.0, 20.0]], [[12.0, 19.0]])).ratio()
    2.5
    """
    return _mean(np.square(scored.error), counted=scored.observed)


def signed_error(scored: Scored) -> Cells:
    """f - y, in the target's unit: positive where the forecast is too high.

    >>> signed_error(Scored([[10.0, 20.0]], [[12.0, 19.0]])).ratio()
    0.5
    """
    return _mean(scored.error, counted=scored.observed)


def relative_error(scored: Scored) -> Cells:
    """|f - y| / |y|. Undefined where y is 0: such cells are not counted (`count_cells` says how many are).

    >>> cells = relative_error(Scored([[10.0, 20.0, 0.0]], [[12.0, 19.0, 1.0]]))
    >>> cells.ratio(), int(cells.counted.sum())
    (0.125, 2)
    """
    return _divided(np.abs(scored.error), divisor=np.abs(scored.actual), seen=scored.observed)


def symmetric_error(scored: Scored) -> Cells:
    """2 |f - y| / (|y| + |f|), from 0 to 2; 0 where both are 0.

    >>> symmetric_error(Scored([[10.0, 0.0]], [[30.0, 0.0]])).ratio()
    0.5
    """
    size = np.abs(scored.actual) + np.abs(scored.point)
    ratio = _divided(2.0 * np.abs(scored.error), divisor=size, seen=scored.observed).numerator
    return _mean(ratio, counted=scored.observed)


def weighted_error(scored: Scored) -> Cells:
    """|f - y| over |y|, each summed first.

    >>> weighted_error(Scored([[10.0, 20.0, 0.0]], [[12.0, 19.0, 3.0]])).ratio()
    0.2
    """
    return _per_size(np.abs(scored.error), scored=scored)


def scaled_error(scored: Scored) -> Cells:
    """|f - y| / scale. A window whose scale is 0 or unknown is not counted.

    >>> scaled_error(Scored([[10.0], [20.0]], [[12.0], [19.0]], scale=[4.0, 0.0])).ratio()
    0.5
    """
    return _per_scale(np.abs(scored.error), scale=scored.scale, seen=scored.observed)


def squared_scaled_error(scored: Scored) -> Cells:
    """(f - y)^2 / scale_squared. A window whose scale is 0 or unknown is not counted.

    >>> squared_scaled_error(Scored([[10.0], [20.0]], [[12.0], [19.0]], scale_squared=[16.0, 0.0])).ratio()
    0.25
    """
    return _per_scale(np.square(scored.error), scale=scored.scale_squared, seen=scored.observed)


def pinball_loss(scored: Scored) -> Cells:
    """max(q (y - f_q), (q - 1) (y - f_q)), averaged over the levels.

    >>> pinball_loss(Scored([[10.0]], [[[8.0, 12.0, 14.0]]], levels=(0.1, 0.5, 0.9))).ratio()
    0.533...
    """
    return _mean(_pinball(scored), counted=scored.observed)


def quantile_score(scored: Scored) -> Cells:
    """Twice the pinball loss, averaged over the levels: the CRPS as far as Q levels can tell.

    The CRPS is the integral of twice the pinball loss over all levels from 0 to 1. Here the plain mean over
    the given levels stands for it: exact in the limit of many evenly spaced levels, and equal to |f - y| for
    the median alone. Between models it is comparable only at the same levels.

    >>> quantile_score(Scored([[10.0]], [[12.0]])).ratio()
    2.0
    """
    return _mean(2.0 * _pinball(scored), counted=scored.observed)


def weighted_quantile_loss(scored: Scored) -> Cells:
    """Twice the pinball loss, averaged over the levels, over |y|, each summed first.

    >>> weighted_quantile_loss(Scored([[10.0, 30.0]], [[12.0, 30.0]])).ratio()
    0.05
    """
    return _per_size(2.0 * _pinball(scored), scored=scored)


def scaled_quantile_loss(scored: Scored) -> Cells:
    """Twice the pinball loss, averaged over the levels, over scale.

    A window whose scale is 0 or unknown is not counted.

    >>> scaled_quantile_loss(Scored([[10.0]], [[12.0]], scale=[4.0])).ratio()
    0.5
    """
    return _per_scale(2.0 * _pinball(scored), scale=scored.scale, seen=scored.observed)


def inside_interval(scored: Scored) -> Cells:
    """1 where y lies between the forecasts at the lowest and the highest level (both ends included), else 0.

    >>> forecast = [[[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]]
    >>> inside_interval(Scored([[1.0, 9.0]], forecast, levels=(0.1, 0.5, 0.9))).ratio()
    0.5
    """
    low, high = scored.forecast[:, :, 0], scored.forecast[:, :, -1]
    inside = (scored.actual >= low) & (scored.actual <= high)
    return _mean(inside.astype(np.float64), counted=scored.observed)


def _pinball(scored: Scored) -> Floats:
    """[N, H]: the mean over the levels, one level at a time so that no second [N, H, Q] array is needed."""
    total = np.zeros(scored.actual.shape)
    for column, level in enumerate(scored.levels):
        short = scored.actual - scored.forecast[:, :, column]
        total += np.maximum(level * short, (level - 1.0) * short)
    return total / scored.levels.size


def _mean(values: Floats, *, counted: Mask) -> Cells:
    return Cells(np.where(counted, values, 0.0), counted.astype(np.float64), counted)


def _divided(values: Floats, *, divisor: Floats, seen: Mask) -> Cells:
    counted = seen & (divisor > 0)
    return _mean(np.divide(values, divisor, out=np.zeros(values.shape), where=counted), counted=counted)


def _per_size(values: Floats, *, scored: Scored) -> Cells:
    seen = scored.observed
    return Cells(np.where(seen, values, 0.0), np.where(seen, np.abs(scored.actual), 0.0), seen)


def _per_scale(values: Floats, *, scale: Floats | None, seen: Mask) -> Cells:
    assert scale is not None, "Metric.cells asks for what a metric needs"
    return _divided(values, divisor=np.broadcast_to(scale[:, np.newaxis], values.shape), seen=seen)
