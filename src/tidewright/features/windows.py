"""`Windows`: a view of every window of a panel; a batch is one gather from flat arrays.

N windows, L lookback, H horizon, P past, K known and M static features, T rows, S series.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from tidewright.data.build import keep_tail
from tidewright.data.frequency import BLOCK, Ints
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, check_grid
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.view import View, known_matrix

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Array = TypeVar("Array", Doubles, Singles)


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """What a model is given of n windows: target [n, L], past [n, L, P], known [n, L + H, K], static [n, M],
    float32.

    NaN is a missing value. Nothing here is later than the cutoff, but for `known`.
    """

    target: Singles
    past: Singles
    known: Singles
    static: Singles


@dataclass(frozen=True, eq=False)
class Windows:
    """Every window of a panel, as flat arrays and an index; nothing is materialised until `batch` gathers it.

    `y` is the target [T], `past` [T, P], `known` [T, K] and `static` [S, M] are the covariates, all with NaN
    for missing; `rows` [N] is the flat row of each window's cutoff (its last input), `series` [N] its series.
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
        back = rows + 1 - self.lookback
        return Batch(
            target=_take(self._y32, first=back, width=self.lookback, low=low, high=high),
            past=_take(self.past, first=back, width=self.lookback, low=low, high=high),
            known=_take(self.known, first=back, width=self.lookback + self.horizon, low=low, high=high),
            static=self.static[self.series[slice(None) if index is None else index]],
        )

    def history(self, index: Ints | slice | None = None) -> Doubles:
        """The target over the lookback [n, L] in float64."""
        rows, low, high = self._place(index)
        return _take(self.y, first=rows + 1 - self.lookback, width=self.lookback, low=low, high=high)

    def labels(self, index: Ints | slice | None = None) -> Doubles:
        """The target over the horizon [n, H] in float64; NaN where it is missing or lies beyond the
        series.
        """
        rows, low, high = self._place(index)
        return _take(self.y, first=rows + 1, width=self.horizon, low=low, high=high)

    def subset(self, index: Ints) -> Windows:
        """The same view with only some of the windows."""
        return replace(self, rows=self.rows[index], series=self.series[index], cutoffs=self.cutoffs[index])

    @cached_property
    def _y32(self) -> Singles:
        return self.y.astype(np.float32)

    def _place(self, index: Ints | slice | None) -> tuple[Ints, Ints, Ints]:
        chosen = slice(None) if index is None else index
        series = self.series[chosen]
        return self.rows[chosen], self.offsets[series], self.offsets[series + 1]


@dataclass(frozen=True, eq=False, slots=True)
class Cuts:
    """The windows of a panel before any is indexed: how many each series has, and where its first one stands.

    `first` [S] are flat rows, `ends` [S] how many windows there are up to each series' last. `kept` are the numbers of
    those that count, where some don't. `flat` are the arrays behind them, with no window yet.
    """

    flat: Windows
    positions: Ints
    first: Ints
    ends: Ints
    stride: int
    kept: npt.NDArray[np.int32 | np.int64] | None = None

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.kept is None else len(self.kept)

    @property
    def horizon(self) -> int:
        """How many steps ahead a window is asked about (H)."""
        return self.flat.horizon

    def subset(self, index: Ints) -> Windows:
        """The windows at `index`, in this order."""
        return self._at(*self.place(np.asarray(index if self.kept is None else self.kept[index], dtype=np.int64)))

    def all(self) -> Windows:
        """Every window, by series and time."""
        counts = np.diff(self.ends, prepend=0)
        series = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        rows = np.arange(len(series), dtype=np.int64)
        rows *= self.stride
        rows += np.repeat(self.first - (self.ends - counts) * self.stride, counts)
        return self._at(series, rows) if self.kept is None else self._at(series[self.kept], rows[self.kept])

    def place(self, numbers: Ints) -> tuple[npt.NDArray[np.int32], Ints]:
        """The series and the flat row of each number, which count what is not kept too."""
        series = np.searchsorted(self.ends, numbers, side="right").astype(np.int32)
        before = self.ends - np.diff(self.ends, prepend=0)
        return series, self.first[series] + (numbers - before[series]) * self.stride

    def _at(self, series: npt.NDArray[np.int32], rows: Ints) -> Windows:
        return replace(self.flat, rows=rows, series=series, cutoffs=self.positions[rows])


def cut_windows(
    panel: Panel,
    view: View,
    *,
    horizon: int,
    cutoffs: Cutoffs,
    labelled: bool = True,
    least: int | None = None,
) -> Windows:
    """The windows of every series at the given cutoffs, as `view` sees them.

    A window needs `least` rows of its series up to the cutoff (default: the whole lookback; missing values
    among them are fine), at least one observed in the lookback, and, when `labelled`, one observed label.
    Rows before a series' start are NaN, and so are labels and known covariates after its last row;
    `panel.extend(horizon)` first if the calendar is to be known there. Raises `ShortSeriesError` when no
    window is left, `FrequencyError` for cutoffs of another panel's dates, and what `View.read` raises.
    """
    return find_windows(panel, view, horizon=horizon, cutoffs=cutoffs, labelled=labelled, least=least).all()


def find_windows(
    panel: Panel,
    view: View,
    *,
    horizon: int,
    cutoffs: Cutoffs,
    labelled: bool = True,
    least: int | None = None,
) -> Cuts:
    """The windows of `cut_windows` before they are indexed: for models that learn from some of very many."""
    panel = view.read(panel)
    check_grid(cutoffs, panel)
    least = view.lookback if least is None else least
    first, counts = _inside(panel, cutoffs, least=least, ahead=int(labelled))
    flat = make_windows(panel, view, horizon=horizon, rows=np.empty(0, dtype=np.int64))
    cuts = Cuts(flat, panel.positions, first, np.cumsum(counts), cutoffs.stride)
    kept = _find_kept(cuts, labelled=labelled)
    cuts = replace(cuts, kept=kept)
    if not len(cuts):
        found = int(_inside(panel, cutoffs, least=least, ahead=0)[1].sum())
        raise ShortSeriesError(_explain_none(panel, cutoffs, found=found, lookback=view.lookback, need=least + horizon))
    return cuts


def newest_windows(panel: Panel, view: View, *, horizon: int) -> Windows:
    """One window a series, at its last observed target: what a forecast of the true future is made from.

    Their rows are those of `keep_tail(panel, rows=view.lookback).extend(horizon)`: nothing before a lookback is copied.
    """
    return make_windows(keep_tail(panel, rows=view.lookback).extend(horizon), view, horizon=horizon, rows=None)


def make_windows(panel: Panel, view: View, *, horizon: int, rows: Ints | None) -> Windows:
    """The windows whose cutoffs are the flat rows `rows` (default: the last observed row of each series)."""
    if view.lookback < 1:
        raise ConfigError(f"the lookback is a number of steps, 1 or more; got {view.lookback}.")
    panel = view.read(panel)
    _check_reach(panel, horizon)
    rows = panel.ends if rows is None else np.asarray(rows, dtype=np.int64)
    series = np.searchsorted(panel.offsets, rows, side="right") - 1
    return Windows(
        y=panel.target,
        past=panel.matrix(panel.roles.past).astype(np.float32),
        known=known_matrix(panel, view),
        static=view.static.encode(panel),
        offsets=panel.offsets,
        rows=rows,
        series=series.astype(np.int32),
        cutoffs=panel.positions[rows],
        lookback=view.lookback,
        horizon=horizon,
    )


def _check_reach(panel: Panel, horizon: int) -> None:
    """Raises `ConfigError` where a known column shows what lies beyond the cutoff, over so long a horizon."""
    for name in panel.roles.known:
        reach = panel.reach.get(name, horizon)
        if reach < horizon:
            raise ConfigError(
                f"the column '{name}' is known {reach} steps ahead, and the horizon is {horizon}: over these it would "
                f"show what is to be forecast. Make it with horizon={horizon}, or leave it out."
            )


def _inside(panel: Panel, cutoffs: Cutoffs, *, least: int, ahead: int) -> tuple[Ints, Ints]:
    """The flat row of each series' first cutoff with `least` rows up to it, and how many it has with `ahead` rows after
    them: both [S].
    """
    starts, ends = panel.positions[panel.offsets[:-1]], panel.positions[panel.offsets[1:] - 1]
    lowest = np.maximum(-((cutoffs.first - (starts + max(least, 1) - 1)) // cutoffs.stride), 0)
    highest = np.minimum((ends - ahead - cutoffs.first) // cutoffs.stride, len(cutoffs) - 1)
    return panel.offsets[:-1] + cutoffs.first - starts + lowest * cutoffs.stride, np.maximum(highest - lowest + 1, 0)


def _find_kept(cuts: Cuts, *, labelled: bool) -> npt.NDArray[np.int32 | np.int64] | None:
    """The numbers of windows with an observed value in the lookback and, if asked for, a label; None: of all."""
    flat, missing = cuts.flat, np.isnan(cuts.flat.y)
    if not len(cuts) or not missing.any():  # the common case, which needs no counts
        return None
    seen = np.concatenate([[0], np.cumsum(~missing, dtype=np.int64)])
    parts, kind = [], np.int32 if len(cuts) < 2**31 else np.int64
    for start in range(0, len(cuts), BLOCK):
        numbers = np.arange(start, min(start + BLOCK, len(cuts)))
        series, rows = cuts.place(numbers)
        bounds = (flat.offsets[series], flat.offsets[series + 1])
        keep = _observed(seen, rows - flat.lookback, rows, bounds=bounds)
        if labelled:
            keep &= _observed(seen, rows, rows + flat.horizon, bounds=bounds)
        parts.append(numbers[keep].astype(kind))
    kept = np.concatenate(parts)
    return None if len(kept) == len(cuts) else kept


def _observed(seen: Ints, after: Ints, last: Ints, *, bounds: tuple[Ints, Ints]) -> npt.NDArray[np.bool_]:
    """Whether a value is observed in the rows (after, last] within `bounds`; `seen` counts those before each row."""
    begin, end = (np.clip(row + 1, *bounds) for row in (after, last))
    return np.asarray(seen[end] > seen[begin])


def _explain_none(panel: Panel, cutoffs: Cutoffs, *, found: int, lookback: int, need: int) -> str:
    between = f"between {panel.time_at(cutoffs.first)} and {panel.time_at(cutoffs.last)}"
    if found:
        return (
            f"none of the {found} windows {between} has an observed target both in its lookback ({lookback} steps) and "
            "after its cutoff. Bring more values, or move the split."
        )
    longest = int(np.diff(panel.offsets).max())
    return (
        f"no series has a window {between}: it needs {need} rows (of lookback {lookback}, and the horizon); the "
        f"longest series has {longest}. Ask for a shorter lookback or horizon, or bring longer series."
    )


def _take(flat: Array, *, first: Ints, width: int, low: Ints, high: Ints) -> Array:
    """flat[first : first + width] of each window [n, width, ...], with NaN outside low to high (its own
    series).

    A window wholly inside its series is one copy of contiguous memory; only the others are indexed value by
    value.
    """
    columns = int(np.prod(flat.shape[1:]))
    whole = (first >= low) & (first + width <= high)
    if columns and width and whole.all() and len(first):
        runs = sliding_window_view(flat.reshape(-1), width * columns)[::columns]
        return runs[first].reshape(len(first), width, *flat.shape[1:])
    taken = np.full((len(first), width, *flat.shape[1:]), np.nan, dtype=flat.dtype)
    if not taken.size:
        return taken
    if whole.any():
        taken[whole] = _take(flat, first=first[whole], width=width, low=low[whole], high=high[whole])
    part = np.flatnonzero(~whole)
    index = first[part, None] + np.arange(width)
    window, step = np.nonzero((index >= low[part, None]) & (index < high[part, None]))
    taken[part[window], step] = flat[index[window, step]]
    return taken
