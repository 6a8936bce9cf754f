"""`Windows`: a view of every window of a panel; a batch is one gather from flat arrays.

N windows, L lookback, H horizon, P past, K known and M static features, T rows, S series.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.view import View, known_matrix

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Array = TypeVar("Array", Doubles, Singles)


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """What a model is given of n windows: target [n, L], past [n, L, P], known [n, L + H, K], static [n, M], float32.

    NaN is a missing value. Nothing here is later than the cutoff, but for `known`.
    """

    target: Singles
    past: Singles
    known: Singles
    static: Singles


@dataclass(frozen=True, eq=False)
class Windows:
    """Every window of a panel, as flat arrays and an index; nothing is materialised until `batch` gathers it.

    `y` is the target [T], `past` [T, P], `known` [T, K] and `static` [S, M] are the covariates, all with NaN for
    missing; `rows` [N] is the flat row of each window's cutoff (its last input), `series` [N] its series.
    """

    y: Doubles
    past: Singles
    known: Singles
    static: Singles
    offsets: Ints
    rows: Ints
    series: npt.NDArray[np.int32]
    cutoffs: Ints
    lookback: int
    horizon: int

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Ints | slice | None = None) -> Batch:
        """The inputs of the windows at `index` (all by default)."""
        rows, low, high = self._place(index)
        back = rows[:, None] + np.arange(1 - self.lookback, 1)
        around = rows[:, None] + np.arange(1 - self.lookback, self.horizon + 1)
        return Batch(
            target=_take(self.y, back, low, high).astype(np.float32),
            past=_take(self.past, back, low, high),
            known=_take(self.known, around, low, high),
            static=self.static[self.series[slice(None) if index is None else index]],
        )

    def history(self, index: Ints | slice | None = None) -> Doubles:
        """The target over the lookback [n, L] in float64."""
        rows, low, high = self._place(index)
        return _take(self.y, rows[:, None] + np.arange(1 - self.lookback, 1), low, high)

    def labels(self, index: Ints | slice | None = None) -> Doubles:
        """The target over the horizon [n, H] in float64; NaN where it is missing or lies beyond the series."""
        rows, low, high = self._place(index)
        return _take(self.y, rows[:, None] + np.arange(1, self.horizon + 1), low, high)

    def subset(self, index: Ints) -> Windows:
        """The same view with only some of the windows."""
        return replace(self, rows=self.rows[index], series=self.series[index], cutoffs=self.cutoffs[index])

    def _place(self, index: Ints | slice | None) -> tuple[Ints, Ints, Ints]:
        chosen = slice(None) if index is None else index
        series = self.series[chosen]
        return self.rows[chosen], self.offsets[series], self.offsets[series + 1]


def cut_windows(
    panel: Panel, view: View, *, horizon: int, cutoffs: Cutoffs, labelled: bool = True, least: int | None = None
) -> Windows:
    """The windows of every series at the given cutoffs, as `view` sees them.

    A window needs `least` rows of its series up to the cutoff (default: the whole lookback; missing values among them
    are fine), at least one observed among them, and, when `labelled`, one observed label. Rows before a series' start
    are NaN. Raises `ShortSeriesError` when no window is left.
    """
    least = view.lookback if least is None else least
    starts = panel.positions[panel.offsets[:-1]]
    rows = panel.offsets[:-1, None] + (cutoffs.positions[None, :] - starts[:, None])
    inside = (rows - panel.offsets[:-1, None] >= least - 1) & (rows < panel.offsets[1:, None])
    series, _ = np.nonzero(inside)
    flat = rows[inside]
    keep = _observed(panel, flat, series, -view.lookback, 0)
    if labelled:
        keep &= _observed(panel, flat, series, 0, horizon)
    windows = make_windows(panel, view, horizon=horizon, rows=flat[keep])
    if not len(windows):
        longest = int(np.diff(panel.offsets).max())
        raise ShortSeriesError(
            f"no series has a window between {panel.time_at(cutoffs.first)} and {panel.time_at(cutoffs.last)}: lookback {view.lookback} and "
            f"horizon {horizon} need {least + horizon} rows; the longest series has {longest}. Ask for a shorter lookback or horizon, or bring longer series."
        )
    return windows


def newest_windows(panel: Panel, view: View, *, horizon: int) -> Windows:
    """One window a series, at its last observed target: what a forecast of the true future is made from."""
    return make_windows(panel.extend(horizon), view, horizon=horizon, rows=None)


def make_windows(panel: Panel, view: View, *, horizon: int, rows: Ints | None) -> Windows:
    """The windows whose cutoffs are the flat rows `rows` (default: the last observed row of each series)."""
    if view.lookback < 1:
        raise ConfigError(f"the lookback is a number of steps, 1 or more; got {view.lookback}.")
    rows = panel.ends if rows is None else np.asarray(rows, dtype=np.int64)
    return Windows(
        y=panel.target,
        past=panel.matrix(panel.roles.past).astype(np.float32),
        known=known_matrix(panel, view),
        static=view.static.encode(panel),
        offsets=panel.offsets,
        rows=rows,
        series=panel.codes[rows],
        cutoffs=panel.positions[rows],
        lookback=view.lookback,
        horizon=horizon,
    )


def _observed(panel: Panel, rows: Ints, series: Ints, begin: int, end: int) -> npt.NDArray[np.bool_]:
    """Whether any target is observed in rows (row + begin, row + end] of the series."""
    count = np.concatenate([[0], np.cumsum(~np.isnan(panel.target))])
    low = np.clip(rows + begin + 1, panel.offsets[series], panel.offsets[series + 1])
    high = np.clip(rows + end + 1, panel.offsets[series], panel.offsets[series + 1])
    return count[high] > count[low]


def _take(flat: Array, index: Ints, low: Ints, high: Ints) -> Array:
    """flat[index], with NaN outside low <= index < high (the window's own series)."""
    taken = flat[np.clip(index, 0, max(len(flat) - 1, 0))]
    if index.size and ((index[:, 0] < low).any() or (index[:, -1] >= high).any()):
        taken[(index < low[:, None]) | (index >= high[:, None])] = np.nan
    return taken
