"""Findings about the values: constant, stale, doubled, spiked, of a changed unit; prices that no market made.

O observed rows, S series.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.findings import Finding
from tidewright.data.frequency import Ints
from tidewright.data.panel import Floats
from tidewright.data.view import View

Marks = npt.NDArray[np.bool_]

SPIKE = 30.0  # robust standard deviations of a series' own jumps
LEAST_STALE = 8  # a run shorter than this is never called stale
_UNITS = np.log10([100.0, 1000.0, 1e4, 1e6])
_SPLITS = np.log([1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 50.0, 100.0])
_MAD = 1.4826  # median absolute deviation to standard deviation, for a normal distribution


def find_values(view: View) -> list[Finding]:
    """Constant, stale and doubled series, spikes, and jumps that look like a change of unit."""
    return [
        *_find_constant(view),
        *_find_doubled(view),
        *_find_stale(view),
        *_find_units(view),
        *_find_spikes(view),
    ]


def find_prices(view: View) -> list[Finding]:
    """Prices at or below zero, and one-bar ratios that look like a split that was not adjusted for."""
    found = []
    bad = np.flatnonzero(view.values <= 0)
    if bad.size:
        row = int(view.rows[bad[0]])
        message = f"{bad.size} prices are zero or negative, the first ({view.values[bad[0]]:g}) in "
        message += f"{_place(view, row)}."
        remedy = "Leave a missing price empty; give returns or spreads without prices=True."
        found.append(_at(view, "error", "nonpositive_prices", message, row, bad.size, remedy))
    ratio, step = _log_steps(view)
    away = np.abs(np.abs(ratio)[:, None] - _SPLITS)
    close = (away < np.where(_SPLITS < 0.6, 0.02, 0.05)).any(axis=1)
    suspects = _lasting(view, ratio, step, close)
    if suspects.size:
        place = int(step[suspects[0]])
        row = int(view.rows[place])
        told = f"{np.exp(ratio[suspects[0]]):.3g}"
        message = f"{suspects.size} one-bar price ratios look like splits, the first ({told}) in "
        message += f"{_place(view, row)}."
        remedy = "Use prices adjusted for splits, or check that these moves are real."
        found.append(_at(view, "warning", "unadjusted_split", message, row, suspects.size, remedy))
    return found


def _find_constant(view: View) -> list[Finding]:
    spread = np.maximum.reduceat(view.values, view.starts) - np.minimum.reduceat(view.values, view.starts)
    flat = np.flatnonzero((spread == 0) & (view.counts > 1))
    if not flat.size:
        return []
    code = int(flat[0])
    message = f"{flat.size} of {len(spread)} series are constant, the first is {view.name(code)!r} "
    message += f"({view.values[view.starts[code]]:g})."
    severity: Any = "error" if flat.size == len(spread) else "warning"
    remedy = "Nothing can be learnt from them: drop them, or check how the table was made."
    return [Finding(severity, "constant_series", message, view.name(code), rows=int(flat.size), remedy=remedy)]


def _find_doubled(view: View) -> list[Finding]:
    """Series that hold exactly the values of an earlier one at the same times."""
    place = (view.rows - view.first[view.codes]) + view.panel.positions[view.first][view.codes]
    keys = pl.DataFrame({"code": view.codes, "key": pl.DataFrame({"p": place, "v": view.values}).hash_rows()})
    sums = keys.group_by("code", maintain_order=True).agg(pl.col("key").sum(), pl.len().alias("n"))
    twin = sums.with_columns(first=pl.col("code").min().over("key", "n")).filter(
        (pl.col("code") != pl.col("first")) & (pl.col("n") >= 5)
    )
    same = [(int(a), int(b)) for a, b in zip(twin["first"], twin["code"], strict=True) if _equal(view, int(a), int(b))]
    if not same:
        return []
    a, b = (view.name(code) for code in same[0])
    message = f"{len(same)} series are exact copies of another: {b!r} equals {a!r}."
    remedy = "Drop the copies, or check the join that made them."
    return [Finding("warning", "copied_series", message, b, rows=len(same), remedy=remedy)]


def _equal(view: View, a: int, b: int) -> bool:
    first, second = (slice(view.starts[c], view.starts[c] + view.counts[c]) for c in (a, b))
    return bool(np.array_equal(view.values[first], view.values[second]))


def _find_stale(view: View) -> list[Finding]:
    """Runs of one value that are far longer than the series' other runs would ever make."""
    moved = (np.diff(view.values, prepend=np.nan) != 0) | (np.diff(view.codes, prepend=-1) != 0)
    begins = np.flatnonzero(moved)
    lengths = np.diff(np.append(begins, len(view.values)))
    runs = pl.DataFrame({"code": view.codes[begins], "begin": begins, "length": lengths})
    longest = runs.with_columns(n=pl.len().over("code"), all=pl.col("length").sum().over("code"))
    longest = longest.sort("length", descending=True, maintain_order=True).unique("code", keep="first")
    longest = longest.filter((pl.col("length") >= LEAST_STALE) & (pl.col("n") > 1)).sort("begin")
    # neighbours are equal with this chance outside the longest run; the bound is passed once in 1,000 panels
    rest = longest["all"] - longest["length"]
    chance = ((rest - (longest["n"] - 1) + 1) / (rest + 2)).clip(0.01, 0.99).to_numpy()
    bound = np.log(1000.0 * len(view.values)) / -np.log(chance) + 1
    stale = longest.filter(pl.Series(longest["length"].to_numpy() > np.maximum(bound, LEAST_STALE)))
    if not len(stale):
        return []
    worst = int(np.argmax(stale["length"].to_numpy()))
    begin, length = int(stale["begin"][worst]), int(stale["length"][worst])
    row, value = int(view.rows[begin]), view.values[begin]
    message = f"a series stands still far longer than usual ({len(stale)} such series): {length} equal values "
    message += f"({value:g}) begin in {_place(view, row)}."
    zero = bool((view.values[stale["begin"].to_numpy()] == 0).all())
    remedy = f"If {'nothing was sold or traded' if zero else 'the feed had stopped'}, leave those values empty."
    severity = "info" if zero else "warning"
    return [_at(view, severity, "stale_values", message, row, int(stale["length"].sum()), remedy)]


def _find_units(view: View) -> list[Finding]:
    """One-step jumps by a factor of 100, 1,000, ... after which the series stays at the new size."""
    ratio, step = _log_steps(view)
    size = ratio / np.log(10.0)
    near = (np.abs(np.abs(size)[:, None] - _UNITS) < 0.2).any(axis=1)
    width = min(max(7, 2 * view.panel.frequency.season), 100)
    jumps = _lasting(view, ratio, step, near, width=width)
    if not jumps.size:
        return []
    row = int(view.rows[step[jumps[0]]])
    factor = 10.0 ** size[jumps[0]]
    message = f"{jumps.size} jumps change the size of a series for good, the first by a factor of "
    message += f"{factor:.3g} in {_place(view, row)}."
    remedy = "Was the unit changed (cents, thousands)? Bring both parts to one unit."
    return [_at(view, "warning", "unit_change", message, row, jumps.size, remedy)]


def _find_spikes(view: View) -> list[Finding]:
    """Single values far from both neighbours, in the series' own usual distances."""
    if len(view.values) < 3:
        return []
    left, right = np.roll(view.values, 1), np.roll(view.values, -1)
    inside = (np.roll(view.codes, 1) == view.codes) & (np.roll(view.codes, -1) == view.codes)
    inside[[0, -1]] = False
    low, high = np.minimum(left, right), np.maximum(left, right)
    out = np.where(inside, np.maximum(np.maximum(low - view.values, view.values - high), 0.0), 0.0)
    away = np.where(inside, np.abs(view.values - (left + right) / 2.0), np.nan)
    scale = _MAD * _median_of_series(view, away)[view.codes]
    spikes = np.flatnonzero((out > SPIKE * scale) & (scale > 0))
    if not spikes.size:
        return []
    top = int(spikes[np.argmax(out[spikes] / scale[spikes])])
    row = int(view.rows[top])
    message = f"{spikes.size} values are spikes, over {SPIKE:g} times their series' usual step away from both "
    message += f"neighbours; the largest ({view.values[top]:g}) is in {_place(view, row)}."
    remedy = "If they are errors, leave them empty; if they are real (promotions, holidays), give a known column."
    return [_at(view, "info", "spikes", message, row, spikes.size, remedy)]


def _log_steps(view: View) -> tuple[Floats, Ints]:
    """The log ratios of neighbouring positive values of one series, and the place of each second one."""
    step = np.flatnonzero((np.diff(view.codes) == 0) & (view.values[1:] > 0) & (view.values[:-1] > 0)) + 1
    return np.log(view.values[step] / view.values[step - 1]), step.astype(np.int64)


def _lasting(view: View, ratio: Floats, step: Ints, marked: Marks, *, width: int = 5) -> Ints:
    """Which marked steps are over 8 times the usual step of their series and keep their new level."""
    spread = np.full(len(view.values), np.nan)
    spread[step] = np.abs(ratio)
    usual = np.nan_to_num(_MAD * _median_of_series(view, spread)[view.codes[step]])
    chosen = np.flatnonzero(marked & (np.abs(ratio) > 8.0 * usual))
    return chosen[_stays(view, step[chosen], ratio[chosen], width=width)].astype(np.int64)


def _stays(view: View, step: Ints, ratio: Floats, *, width: int) -> Marks:
    """Whether the level of the `width` values from a step on differs from the one before by the step."""
    before, after = step[:, None] - 1 - np.arange(width), step[:, None] + np.arange(width)
    levels = []
    for around in (before, after):
        inside = (around >= 0) & (around < len(view.values))
        places = np.clip(around, 0, len(view.values) - 1)
        inside &= (view.codes[places] == view.codes[step][:, None]) & (view.values[places] > 0)
        window = np.where(inside, np.log(np.where(inside, view.values[places], 1.0)), np.nan)
        window[inside.sum(axis=1) < 3] = np.inf  # too short to tell a level from
        levels.append(np.nanmedian(window, axis=1) if len(step) else np.empty(0))
    known = np.isfinite(levels[0]) & np.isfinite(levels[1])
    change = np.where(known, levels[1], 0.0) - np.where(known, levels[0], 0.0)
    return np.asarray(known & (np.abs(change - ratio) < 0.35 * np.abs(ratio)))


def _median_of_series(view: View, values: Floats) -> Floats:
    """The median of each series' values [O], NaN left out; [S]."""
    table = pl.DataFrame({"code": view.codes, "value": values}).with_columns(pl.col("value").fill_nan(None))
    medians = table.group_by("code", maintain_order=True).agg(pl.col("value").median())["value"]
    return np.asarray(medians.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _place(view: View, row: int) -> str:
    return view.panel.place(row)


def _at(view: View, severity: Any, code: str, message: str, row: int, count: Any, remedy: str) -> Finding:
    name = view.name(int(view.panel.codes[row]))
    return Finding(severity, code, message, name, view.time(row), int(count), remedy)
