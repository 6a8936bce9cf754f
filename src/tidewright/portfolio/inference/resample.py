"""The stationary bootstrap of means, without laying out a resample.

T periods, S strategies, B draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tidewright.errors import AllocationError
from tidewright.metrics.bootstrap import choose_block
from tidewright.portfolio.inputs import FloatArray

_CHUNK = 2_000_000  # numbers held at once


def choose_mean_block(block: float | None, *, rows: int) -> float:
    """The mean length of blocks: the cube root of the periods unless one is given."""
    if block is None:
        return float(choose_block(rows))
    if isinstance(block, bool) or not math.isfinite(block) or not 1.0 <= block <= rows:
        raise AllocationError(f"block is {block!r}; it is the mean length of blocks, from 1 to the {rows} periods.")
    return float(block)


def resample_means(values: FloatArray, *, block: float, draws: int, generator: np.random.Generator) -> FloatArray:
    """The mean of each strategy [B, S] in each of `draws` resamples of the rows of `values` [T, S].

    Blocks begin anywhere and have geometric lengths of mean `block`; time is a circle. The rows of all strategies are
    drawn together, so that they stay as dependent as they are. Source: Politis and Romano (1994), The Stationary
    Bootstrap.
    """
    parts = [counts @ values for counts in draw_counts(len(values), block=block, draws=draws, generator=generator)]
    return np.asarray(np.concatenate(parts) / len(values))


def draw_counts(rows: int, *, block: float, draws: int, generator: np.random.Generator) -> Iterator[FloatArray]:
    """How often each row is in each resample [some of B, T]; each of its rows sums to T."""
    step = max(1, _CHUNK // (2 * rows))
    for first in range(0, draws, step):
        yield _count(rows, block=block, draws=min(step, draws - first), generator=generator)


def _count(rows: int, *, block: float, draws: int, generator: np.random.Generator) -> FloatArray:
    """A block adds 1 from its start to its end: two marks on twice the circle, summed up and folded."""
    lengths = _draw_lengths(rows, block=block, draws=draws, generator=generator)
    starts = generator.integers(rows, size=lengths.shape)
    line = 2 * rows
    place = starts + np.arange(draws)[:, None] * line
    size = draws * line
    marks = np.bincount(place.ravel(), minlength=size) - np.bincount((place + lengths).ravel(), minlength=size)
    held = np.cumsum(marks.reshape(draws, line), axis=1)
    return (held[:, :rows] + held[:, rows:]).astype(np.float64)


def _draw_lengths(rows: int, *, block: float, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Lengths of blocks [B, M] that sum to T in each draw: the last is cut, those after it are 0."""
    usual = rows / block
    size = (draws, int(usual + 6.0 * math.sqrt(usual)) + 8)
    lengths = generator.geometric(1.0 / block, size=size)
    while lengths.sum(axis=1).min() < rows:
        lengths = np.concatenate([lengths, generator.geometric(1.0 / block, size=size)], axis=1)
    return np.diff(np.minimum(np.cumsum(lengths, axis=1), rows), prepend=0)
