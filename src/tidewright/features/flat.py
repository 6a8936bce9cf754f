"""What features over one flat array share: the check of its offsets, rows and whole numbers.

T rows in all, S series; series s owns the rows `offsets[s]:offsets[s + 1]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.frequency import Ints
from tidewright.errors import ConfigError

Doubles = npt.NDArray[np.float64]


def read_flat(flat: npt.ArrayLike, offsets: npt.ArrayLike) -> tuple[Doubles, Ints]:
    """The values [T] and the offsets [S + 1]; raises `ConfigError` where they don't fit each other."""
    values = np.ascontiguousarray(flat, dtype=np.float64)
    bounds = np.ascontiguousarray(offsets, dtype=np.int64)
    if values.ndim != 1 or bounds.ndim != 1 or not bounds.size or bounds[0] != 0 or bounds[-1] != len(values):
        raise ConfigError(
            f"offsets run from 0 to the number of rows of one flat array; got values of shape {values.shape} "
            f"and offsets {bounds.tolist()[:5]}. Give each series' first row, and the number of rows at the end."
        )
    if (np.diff(bounds) < 0).any():
        raise ConfigError(f"offsets ascend; got {bounds.tolist()[:5]}. Sort the rows by series.")
    return values, bounds


def read_rows(rows: Ints, bounds: Ints) -> tuple[Ints, Ints]:
    """The flat rows that are asked for, and the first row of each one's series."""
    places = np.ascontiguousarray(rows, dtype=np.int64)
    if places.size and (places.min() < 0 or places.max() >= bounds[-1]):
        raise ConfigError(f"rows lie between 0 and {bounds[-1] - 1}; got {places.min()} to {places.max()}.")
    return places, first_rows(places, bounds)


def first_rows(places: Ints, bounds: Ints) -> Ints:
    """The first row of the series that each flat row belongs to."""
    return bounds[np.searchsorted(bounds, places, side="right") - 1]


def whole_numbers(what: str, numbers: Iterable[Any], *, least: int) -> Ints:
    """The numbers as integers; raises `ConfigError` at a fraction, a boolean or one below `least`."""
    if isinstance(numbers, str) or not isinstance(numbers, Iterable):
        raise ConfigError(f"{what} is given in a sequence; got {numbers!r}. Write [{numbers!r}].")
    found = list(numbers)
    for number in found:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < least:
            raise ConfigError(f"{what} is a whole number of rows, {least} or more; got {number!r}.")
    return np.array(found, dtype=np.int64)
