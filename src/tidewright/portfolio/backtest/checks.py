"""What is wrong or odd with prices where they matter: where an asset is held or targeted. T bars, A assets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.market import Market
from tidewright.portfolio.backtest.plan import Decisions, Rows, cut_blocks
from tidewright.portfolio.inputs import FloatArray, TimeArray, name_time

_FALL, _RISE = 0.55, 1.8  # what a split of two for one, or one for two, leaves of a price


def check_tradable(decisions: Decisions, *, market: Market) -> None:
    """An AllocationError where a price that is needed is missing."""
    if not market.gaps:
        return
    fills = decisions.rows + 1
    cells = np.argwhere(np.isnan(market.closes))
    before, after = _held(decisions, cells, side="left"), _held(decisions, cells, side="right")
    missing = cells[before | after if market.at_close else after]
    if not market.at_close:
        cells = np.argwhere(np.isnan(market.fills))
        cells = cells[np.isin(cells[:, 0], fills)]
        traded = _held(decisions, cells, side="left") | _held(decisions, cells, side="right")
        missing = np.concatenate([missing, cells[traded]])
    if missing.size:
        row, asset = (int(place) for place in missing[np.lexsort((missing[:, 1], missing[:, 0]))[0]])
        raise AllocationError(
            f"{market.assets[asset]!r} has no price at {name_time(market.stamps, row=row)}, where it is held or "
            "targeted. Fill the gap, or decide on weights without the asset before it."
        )


def _held(decisions: Decisions, cells: Rows, *, side: str) -> NDArray[np.bool_]:
    """Whether the asset of each cell [n, 2] is held before (`left`) or after (`right`) the fill of its bar."""
    newest = np.searchsorted(decisions.rows + 1, cells[:, 0], side="left" if side == "left" else "right") - 1
    if decisions.rows.size == 0:
        return np.zeros(len(cells), dtype=np.bool_)
    return np.asarray((newest >= 0) & (decisions.values[newest, cells[:, 1]] != 0.0))


def note_jumps(decisions: Decisions, *, market: Market) -> tuple[str, ...]:
    """One-bar moves of held assets that are as large as a split's."""
    cells = find_jumps(market.closes)
    held = cells[_held(decisions, cells, side="left")]
    return tell_jumps(held, closes=market.closes, assets=market.assets, stamps=market.stamps)


def find_jumps(closes: FloatArray) -> Rows:
    """The cells [n, 2] whose price is a split's multiple of the one before."""
    found = [np.empty((0, 2), dtype=np.intp)]
    with np.errstate(over="ignore", invalid="ignore"):
        for block in cut_blocks(len(closes) - 1, columns=closes.shape[1]):
            ratio = closes[block.start + 1 : block.stop + 1] / closes[block]
            if not (ratio.min() > _FALL and ratio.max() < _RISE):
                found.append(np.argwhere((ratio <= _FALL) | (ratio >= _RISE)) + np.array([block.start + 1, 0]))
    return np.concatenate(found)


def tell_jumps(cells: Rows, *, closes: FloatArray, assets: tuple[str, ...], stamps: TimeArray) -> tuple[str, ...]:
    """A note on the first of some jumps, with the number of all."""
    if cells.size == 0:
        return ()
    row, asset = (int(place) for place in cells[0])
    with np.errstate(over="ignore"):
        move = closes[row, asset] / closes[row - 1, asset] - 1.0
    more = f" ({len(cells)} such moves)" if len(cells) > 1 else ""
    return (
        f"{assets[asset]!r} moves by {move:+.0%} in one bar at "
        f"{name_time(stamps, row=row)}{more}: if that is a split, adjust the prices for it",
    )
