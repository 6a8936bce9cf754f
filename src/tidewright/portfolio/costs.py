"""What trading costs, and how a rebalancing pays for itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray

_LIMIT_BPS = 1_000.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Proportional trading costs: a fee and half of the bid-ask spread, in basis points of the value traded.

    Both are paid on every purchase and every sale. Each is from 0 to 1,000 bps (10 %); anything else is an
    AllocationError, because 10 % in and 10 % out is beyond any market and most often a unit that went wrong.

    >>> Costs(fee_bps=5, half_spread_bps=5).rate
    0.001
    """

    fee_bps: float
    half_spread_bps: float

    def __post_init__(self) -> None:
        for name, value in (("fee_bps", self.fee_bps), ("half_spread_bps", self.half_spread_bps)):
            if not (math.isfinite(value) and 0.0 <= value <= _LIMIT_BPS):
                raise AllocationError(
                    f"{name} is {value:g}, that is {value / 100:g} % of the value traded; it must be from 0 "
                    "to "
                    f"{_LIMIT_BPS:g} basis points. One percent is 100."
                )

    @property
    def rate(self) -> float:
        """The cost of one unit of value traded, as a fraction."""
        return (self.fee_bps + self.half_spread_bps) / 10_000.0

    def charge(self, trades: ArrayLike, *, equity: float = 1.0) -> FloatArray:
        """The cost of trades [..., A], given as changes of weight: rate * sum |trade| * equity, [...].

        >>> Costs(fee_bps=10, half_spread_bps=0).charge([0.5, -0.25], equity=1000.0)
        array(0.75)
        """
        return np.asarray(self.rate * np.abs(np.asarray(trades, dtype=np.float64)).sum(axis=-1) * equity)


def price_rebalance(held: FloatArray, *, target: FloatArray, rate: float) -> FloatArray:
    """The share of equity that a rebalancing costs [K] when the cost is paid out of what is rebalanced.

    `held` and `target` [K, A] are weights before and after; what is missing to one is cash. The share x
    solves x = rate * sum |target * (1 - x) - held|. Both sides are piecewise linear and the right one is
    convex with a slope under one, so Newton's method from x = 0 rises to the root and hits it after
    finitely many steps. A row's answer depends on that row alone.

    >>> price_rebalance(np.array([[0.0]]), target=np.array([[1.0]]), rate=0.01)  # 1 = bought * 1.01
    array([0.00990099])
    """
    share = np.zeros(held.shape[0])
    active = np.arange(held.shape[0])
    while active.size:
        have, want = held[active], target[active]
        sign = np.sign(want * (1.0 - share[active])[:, None] - have)
        root = rate * (sign * (want - have)).sum(axis=1) / (1.0 + rate * (sign * want).sum(axis=1))
        higher = root > share[active]
        active = active[higher]
        share[active] = root[higher]
    return share
