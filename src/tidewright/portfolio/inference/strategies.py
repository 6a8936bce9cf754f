"""The border of this folder: returns of one strategy or of many, checked once.

T periods, S strategies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, read_matrix, refuse_prices


def read_strategies(returns: ArrayLike, *, least: int, noun: str = "returns") -> FloatArray:
    """Net simple returns [T, S], a column a strategy; [T] is one. At least `least` periods, all finite."""
    values = np.asarray(returns)
    table = read_matrix(values[:, None] if values.ndim == 1 else values, noun=noun)
    if len(table) < least or table.shape[1] == 0:
        raise AllocationError(
            f"{noun} of {len(table)} periods and {table.shape[1]} strategies prove nothing. "
            f"Bring at least {least} periods of at least one strategy."
        )
    wrong = ~np.isfinite(table)
    if wrong.any():
        row, column = (int(place) for place in np.argwhere(wrong)[0])
        raise AllocationError(
            f"the {noun} hold {table[row, column]} in row {row}, column {column} ({int(wrong.sum())} such). "
            "Every strategy has a return at every period; 0 where it held cash."
        )
    refuse_prices(table, names=tuple(f"column {column}" for column in range(table.shape[1])))
    return table


def read_excess(returns: ArrayLike, *, benchmark: ArrayLike | None, least: int) -> FloatArray:
    """Returns [T, S] above those of the benchmark [T]; without one, above holding nothing."""
    table = read_strategies(returns, least=least)
    if benchmark is None:
        return table
    values = read_strategies(benchmark, least=least, noun="benchmark")
    if values.shape != (len(table), 1):
        raise AllocationError(
            f"the benchmark has the shape {np.shape(benchmark)}, the returns {table.shape}. "
            "Give its return at each of their periods."
        )
    return table - values


def read_number(value: int, *, least: int, name: str, what: str) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise AllocationError(f"{name} is {value!r}; it is {what}, a whole number of at least {least}.")
    return int(value)
