"""What positions earn, long or short, after costs: D decisions, A assets.

The ledger holds long-only weights and units; this is the account of a fund that may also be short, as shares of its
equity. Each decision gives every asset that can be traded an equal part of the equity, times its position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.inputs import FloatArray, read_matrix


@dataclass(frozen=True, slots=True, eq=False)
class Earnings:
    """The net simple return of each decision [D], and the value that it traded [D], as fractions of the equity.

    `turnover` counts purchases and sales both, and holds the entry.
    """

    returns: FloatArray
    turnover: FloatArray


def earn_positions(positions: ArrayLike, earned: ArrayLike, *, costs: Costs) -> Earnings:
    """The earnings of positions [D, A] from -1 to 1, NaN where the asset can't be traded, of consecutive decisions.

    `earned` [D, A] are the simple returns that each position earns from its fill to the next one; a missing one is 0.
    Weights drift until the next decision trades them back, costs come out of the equity, cash earns nothing, and
    borrowing shares is free. Raises `AllocationError` where a step loses all of the equity.

    >>> account = earn_positions([[1.0, 1.0], [1.0, -1.0]], [[0.02, 0.0], [0.01, 0.01]], costs=Costs(0, 0))
    >>> account.returns.round(6).tolist(), account.turnover.round(3).tolist()
    ([0.01, 0.0], [1.0, 1.0])
    """
    chosen, gained = read_matrix(positions, noun="positions"), read_matrix(earned, noun="returns")
    if chosen.shape != gained.shape:
        raise AllocationError(f"positions have the shape {chosen.shape}, returns {gained.shape}. Align them.")
    gained = np.where(np.isfinite(gained), gained, 0.0)
    weights = _weigh(chosen)
    gross = (weights * gained).sum(axis=1)
    if (gross <= -1.0).any():
        row = int(np.flatnonzero(gross <= -1.0)[0])
        raise AllocationError(f"the positions of row {row} lose all of the equity in one step. Check its returns.")
    held = np.zeros_like(weights)
    held[1:] = (weights * (1.0 + gained) / (1.0 + gross)[:, None])[:-1]
    traded = np.abs(weights - held)
    return Earnings((1.0 + gross) * (1.0 - costs.charge(weights - held)) - 1.0, traded.sum(axis=1))


def hold_positions(positions: ArrayLike, earned: ArrayLike, *, fills: ArrayLike, costs: Costs) -> Earnings:
    """The earnings of each bar [T] where positions [D, A] are held over several: the d-th from row `fills[d]` of
    `earned` [T, A], the simple returns of each bar, until the next one is filled.

    Between fills the units stay and the weights drift, so that only a fill is charged; the first one is at row 0. All
    else is as with `earn_positions`, which it equals where each bar has a fill.

    >>> account = hold_positions([[1.0], [0.0]], [[0.10], [0.10], [0.50]], fills=[0, 2], costs=Costs(0, 0))
    >>> account.returns.round(6).tolist(), account.turnover.tolist()
    ([0.1, 0.1, 0.0], [1.0, 0.0, 1.0])
    """
    chosen, gained = read_matrix(positions, noun="positions"), read_matrix(earned, noun="returns")
    rows = np.asarray(fills)
    if chosen.shape[1:] != gained.shape[1:] or rows.shape != chosen.shape[:1]:
        raise AllocationError(
            f"positions have the shape {chosen.shape}, returns {gained.shape}, fills {rows.shape}. Align them."
        )
    if rows[0] != 0 or (np.diff(rows) <= 0).any() or rows[-1] >= len(gained):
        raise AllocationError(f"fills are rows of the returns, ascending from 0; got {rows.tolist()[:5]} and so on.")
    weights, gained = _weigh(chosen), np.where(np.isfinite(gained), gained, 0.0)
    returns, turnover = np.empty(len(gained)), np.zeros(len(gained))
    held = np.zeros(chosen.shape[1])
    for place, (first, last) in enumerate(zip(rows, [*rows[1:], len(gained)], strict=True)):
        grown = weights[place] * (np.cumprod(1.0 + gained[first:last], axis=0) - 1.0)
        equity = 1.0 + grown.sum(axis=1)
        _check_solvent(equity, first=int(first))
        traded = weights[place] - held
        before = np.concatenate([[1.0], equity[:-1]])
        before[0] /= 1.0 - costs.charge(traded)
        returns[first:last], turnover[first] = equity / before - 1.0, np.abs(traded).sum()
        held = (weights[place] + grown[-1]) / equity[-1]
    return Earnings(returns, turnover)


def _weigh(positions: FloatArray) -> FloatArray:
    """The shares of equity [D, A]: an equal part for each asset that can be traded, times its position."""
    if np.nanmax(np.abs(positions), initial=0.0) > 1.0:
        raise AllocationError(f"a position is {np.nanmax(np.abs(positions)):g}; positions lie between -1 and 1.")
    there = np.isfinite(positions)
    return np.asarray(np.where(there, positions, 0.0) / np.maximum(there.sum(axis=1, keepdims=True), 1))


def _check_solvent(equity: FloatArray, *, first: int) -> None:
    lost = np.flatnonzero(equity <= 0.0)
    if lost.size:
        raise AllocationError(f"the positions lose all of the equity by row {first + int(lost[0])}. Check its returns.")
