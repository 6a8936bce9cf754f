"""A panel's target as a matrix with a column a series: what allocation and backtests work on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewright.data.frequency import Ints
from tidewright.data.panel import Floats, Panel


@dataclass(frozen=True, eq=False, slots=True)
class Wide:
    """The target [T, S] at grid `positions` [T] and `times` [T] (UTC); NaN where a series has no value."""

    positions: Ints
    times: npt.NDArray[np.datetime64]
    values: Floats


def to_wide(panel: Panel) -> Wide:
    """The target with a column a series, from the panel's first observed position to its last.

    >>> import polars as pl
    >>> table = pl.DataFrame({"s": ["a", "a", "b"], "t": [1, 2, 2], "y": [1.0, 2.0, 5.0]})
    >>> to_wide(Panel.from_table(table, series="s", time="t", target="y")).values
    array([[ 1., nan],
           [ 2.,  5.]])
    """
    first, last = panel.span
    positions = np.arange(first, last + 1)
    values = np.full((len(positions), panel.n_series), np.nan)
    inside = panel.positions <= last
    values[panel.positions[inside] - first, panel.codes[inside]] = panel.target[inside]
    return Wide(positions, panel.frequency.times(positions).astype("datetime64[us]"), values)
