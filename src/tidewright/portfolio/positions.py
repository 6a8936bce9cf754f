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
    if np.nanmax(np.abs(chosen), initial=0.0) > 1.0:
        raise AllocationError(f"a position is {np.nanmax(np.abs(chosen)):g}; positions lie between -1 and 1.")
    there = np.isfinite(chosen)
    gained = np.where(np.isfinite(gained), gained, 0.0)
    weights = np.where(there, chosen, 0.0) / np.maximum(there.sum(axis=1, keepdims=True), 1)
    gross = (weights * gained).sum(axis=1)
    if (gross <= -1.0).any():
        row = int(np.flatnonzero(gross <= -1.0)[0])
        raise AllocationError(f"the positions of row {row} lose all of the equity in one step. Check its returns.")
    held = np.zeros_like(weights)
    held[1:] = (weights * (1.0 + gained) / (1.0 + gross)[:, None])[:-1]
    traded = np.abs(weights - held)
    return Earnings((1.0 + gross) * (1.0 - costs.charge(weights - held)) - 1.0, traded.sum(axis=1))
