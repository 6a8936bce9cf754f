"""How far two answers to the same windows are apart. N windows, L lookback, H horizon, Q quantiles.

The difference of two answers is taken relative to the window: to the largest eager answer in size over its
steps and quantiles, or the standard deviation of its observed values where that is larger. A quantile that
happens to be near zero is so not asked for more digits than the float32 sums that it came from have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.features.windows import Singles


def relative_difference(ours: npt.NDArray[Any], eager: npt.NDArray[Any], *, target: Singles | None) -> float:
    """The largest |ours - eager| / max(|answers of the window|, its scale); infinite where only one of the
    two is NaN. Without a target (of classes, whose probabilities have a size of their own) a window has no scale.
    """
    missing = np.isnan(eager)
    if ours.shape != eager.shape or not np.array_equal(missing, np.isnan(ours)):
        return float("inf")
    answers = np.where(missing, 0.0, np.abs(eager)).max(axis=(1, 2))
    size = np.maximum(answers, 0.0 if target is None else _spread(target))[:, None, None]
    apart = np.abs(ours.astype(np.float64) - eager)
    share = np.where(apart == 0, 0.0, apart / np.where(size > 0, size, np.finfo(np.float32).tiny))
    return float(np.max(share, where=~missing, initial=0.0))


def _spread(target: Singles) -> npt.NDArray[np.float64]:
    """The standard deviation of each window's observed values [N]."""
    seen = ~np.isnan(target)
    count = np.maximum(seen.sum(axis=1), 1)
    values = np.where(seen, target, 0.0).astype(np.float64)
    mean = values.sum(axis=1) / count
    return np.asarray(np.sqrt((np.where(seen, values - mean[:, None], 0.0) ** 2).sum(axis=1) / count))
