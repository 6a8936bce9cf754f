"""Stretches of the past, played on what is held now. T bars, A assets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from tidewright.portfolio.inputs import FloatArray, TimeArray
from tidewright.portfolio.risk.reach import compound_blocks


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Rows start to stop - 1 and what the holdings lose in them [A]; the largest loss on the way, the covered share."""

    start: int
    stop: int
    losses: FloatArray
    deepest: float
    covered: float = 1.0


def play_window(
    values: FloatArray, times: TimeArray, *, holdings: FloatArray, first: date, last: date
) -> Window | None:
    """What the holdings lose from the close of `first` to that of `last`; None where no row lies between.

    The covered share is that of the days between which the rows reach, times that of the returns that are there, each
    weighing as much as its holding.
    """
    days = times.astype("datetime64[D]")
    begin, end = np.datetime64(first, "D"), np.datetime64(last, "D")
    rows = np.flatnonzero((days > begin) & (days <= end))
    if not rows.size:
        return None
    start, stop = int(rows[0]), int(rows[-1]) + 1
    before = days[start - 1] if start else days[0] - (days[1] - days[0] if len(days) > 1 else 1)
    reached = (min(end, days[-1]) - max(begin, before)) / (end - begin)
    there = np.isfinite(values[start:stop]).mean(axis=0)
    size = np.abs(holdings)
    held = float(size @ there / size.sum()) if size.sum() > 0.0 else 1.0
    return _play(values, holdings=holdings, start=start, stop=stop, covered=float(np.clip(reached, 0.0, 1.0)) * held)


def worst_window(values: FloatArray, *, holdings: FloatArray, bars: int) -> Window:
    """The so many bars in a row that cost the most; the first of equal ones."""
    earned = compound_blocks(np.where(np.isnan(values), 0.0, values), bars=bars) @ holdings
    start = int(np.argmin(earned))
    return _play(values, holdings=holdings, start=start, stop=start + bars, covered=1.0)


def _play(values: FloatArray, *, holdings: FloatArray, start: int, stop: int, covered: float) -> Window:
    some = values[start:stop]
    growth = np.cumprod(1.0 + np.where(np.isnan(some), 0.0, some), axis=0) - 1.0
    path = -(growth @ holdings)
    return Window(start, stop, -holdings * growth[-1] + 0.0, max(float(path.max()), 0.0), covered)
