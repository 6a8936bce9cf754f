"""Where one line crosses another: T bars, A assets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Crossover:
    """The bars at which a line went above another, and below it: true or false, shaped as the lines were."""

    above: NDArray[np.bool_]
    below: NDArray[np.bool_]

    def __post_init__(self) -> None:
        self.above.flags.writeable = self.below.flags.writeable = False


def moving_average(values: ArrayLike, window: int) -> FloatArray:
    """The mean of the `window` latest values of each column [T] or [T, A]; NaN until there are so many, or near a NaN.

    >>> moving_average([1.0, 2.0, 3.0, 7.0], 2)
    array([nan, 1.5, 2.5, 5. ])
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim not in (1, 2):
        raise AllocationError(f"values have the shape {numbers.shape}. Bring one line [T], or one an asset [T, A].")
    if window < 1:
        raise AllocationError(f"window is {window}; it is a number of bars, at least 1.")
    out = np.full(numbers.shape, np.nan)
    if len(numbers) >= window:
        out[window - 1 :] = sliding_window_view(numbers, window, axis=0).mean(axis=-1)
    return out


def crossover(fast: ArrayLike, slow: ArrayLike) -> Crossover:
    """Where `fast` crosses `slow`, both [T] or [T, A]: signals of bar t, from values up to t.

    It crosses above at t where it is above there and was below at the last bar at which the two differed. A NaN begins
    anew: the first bar after it crosses nothing.

    >>> lines = crossover([1.0, 2.0, 4.0, 1.0], [2.0, 2.0, 2.0, 2.0])
    >>> lines.above.tolist(), lines.below.tolist()
    ([False, False, True, False], [False, False, False, True])
    """
    quick, calm = np.asarray(fast, dtype=np.float64), np.asarray(slow, dtype=np.float64)
    if quick.shape != calm.shape or quick.ndim not in (1, 2):
        raise AllocationError(
            f"the lines have the shapes {quick.shape} and {calm.shape}. Bring two of one shape, [T] or [T, A]."
        )
    side = np.sign(quick - calm)
    flat = side.reshape(len(side), -1)
    rows = np.where(flat != 0.0, np.arange(len(flat))[:, None], 0)
    latest = np.maximum.accumulate(rows, axis=0)
    before = np.full_like(flat, np.nan)
    before[1:] = np.take_along_axis(flat, latest, axis=0)[:-1]
    above, below = (flat > 0.0) & (before < 0.0), (flat < 0.0) & (before > 0.0)
    return Crossover(above.reshape(side.shape), below.reshape(side.shape))
