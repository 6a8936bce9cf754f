"""A panel's target for inspection: where each series was observed, and its values in one flat array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewright.data.frequency import Ints
from tidewright.data.panel import Floats, Panel


@dataclass(frozen=True, eq=False)
class View:
    """S series, T rows, O observed rows.

    `first` and `last` [S] are each series' first and last observed flat row, `lengths` [S] the rows from one
    to the other, `missing` [S] how many of those have no target; `rows` [O] are the observed flat rows,
    `values` [O] their target, `codes` [O] their series, `starts` [S] where each series begins among them.
    """

    panel: Panel
    first: Ints
    last: Ints
    lengths: Ints
    missing: Ints
    rows: Ints
    values: Floats
    codes: npt.NDArray[np.int32]
    starts: Ints

    @property
    def counts(self) -> Ints:
        """The observed values of each series [S]."""
        return np.diff(np.append(self.starts, len(self.rows)))

    def name(self, code: int) -> object:
        """A series' own name."""
        return self.panel.series_ids[int(code)]

    def time(self, row: int) -> str:
        """A flat row's time."""
        return self.panel.time_at(int(self.panel.positions[int(row)]))


def view_panel(panel: Panel) -> View:
    """The view of a panel; every series of a panel has an observed value."""
    rows = np.flatnonzero(~np.isnan(panel.target)).astype(np.int64)
    codes = panel.codes[rows]
    starts = np.searchsorted(codes, np.arange(panel.n_series)).astype(np.int64)
    first, last = rows[starts], panel.ends
    lengths = last - first + 1
    counts = np.diff(np.append(starts, len(rows)))
    return View(panel, first, last, lengths, lengths - counts, rows, panel.target[rows], codes, starts)
