"""The stationary bootstrap of the means of many strategies, without laying out a resample.

T periods, S strategies, B draws.
"""

from __future__ import annotations

import math

import numpy as np

from tidewright.errors import AllocationError
from tidewright.metrics.bootstrap import choose_stationary_block, draw_stationary
from tidewright.portfolio.inputs import FloatArray

_CHUNK = 2_000_000  # numbers held at once


def choose_mean_block(block: float | None, *, values: FloatArray) -> float:
    """The mean length of blocks: unless one is given, the largest that Politis and White's rule finds for any
    strategy."""
    rows = len(values)
    if block is None:
        return max(choose_stationary_block(one) for one in values.T)
    if isinstance(block, bool) or not math.isfinite(block) or not 1.0 <= block <= rows:
        raise AllocationError(f"block is {block!r}; it is the mean length of blocks, from 1 to the {rows} periods.")
    return float(block)


def resample_means(values: FloatArray, *, block: float, draws: int, generator: np.random.Generator) -> FloatArray:
    """The mean of each strategy [B, S] in each of `draws` resamples of the rows of `values` [T, S].

    The rows of all strategies are drawn together, so that they stay as dependent as they are.
    """
    rows = len(values)
    step = max(1, _CHUNK // rows)
    parts = []
    for first in range(0, draws, step):
        count = min(step, draws - first)
        places = draw_stationary(rows, block=block, draws=count, generator=generator)
        places += np.arange(count)[:, None] * rows
        held = np.bincount(places.ravel(), minlength=count * rows).reshape(count, rows)  # how often each row is drawn
        parts.append(held @ values)
    return np.asarray(np.concatenate(parts) / rows)
