"""The rolling mean and deviation of every column, each row from the rows strictly before it. T bars, A assets."""

from __future__ import annotations

import numpy as np

from tidewright.portfolio.inputs import FloatArray


def roll_moments(values: FloatArray, *, window: int) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation (ddof 1) [T, A] of the `window` rows before each row; NaN in the first ones.

    A window is the end of one block of rows and the beginning of the next, so that sums back and ahead from the border
    between them give it: nothing is ever taken away, and no sum drifts. Sums are of distances to the row before the
    border, which every window across it holds.

    >>> mean, deviation = roll_moments(np.array([[1.0], [3.0], [5.0], [9.0]]), window=2)
    >>> mean.ravel().tolist(), deviation.ravel().round(6).tolist()
    ([nan, nan, 2.0, 4.0], [nan, nan, 1.414214, 1.414214])
    """
    mean, deviation = np.full_like(values, np.nan), np.full_like(values, np.nan)
    for edge in range(window, len(values), window):
        anchor = values[edge - 1]
        rows = slice(edge, min(edge + window, len(values)))
        count = rows.stop - rows.start
        back, ahead = values[edge - window : edge] - anchor, values[edge : rows.stop - 1] - anchor
        total = np.cumsum(back[::-1], axis=0)[::-1][:count]
        squares = np.cumsum(back[::-1] ** 2, axis=0)[::-1][:count]
        total[1:] += np.cumsum(ahead, axis=0)
        squares[1:] += np.cumsum(ahead**2, axis=0)
        squares -= total**2 / window
        mean[rows] = anchor + total / window
        deviation[rows] = np.sqrt(np.maximum(squares, 0.0) / (window - 1))
    return mean, deviation
