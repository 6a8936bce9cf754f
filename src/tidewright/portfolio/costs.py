"""What trading costs, and how a rebalancing pays for itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray

_LIMIT_BPS = 1_000.0
_LIMIT_BORROW_BPS = 30_000.0
_LIMIT_IMPACT = 10.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What trades and short positions cost; one record for the backtest and the optimiser.

    `fee_bps` and `half_spread_bps` are basis points of the value traded, paid on every purchase and every sale. Each
    is from 0 to 1,000 (10 %); anything else is an AllocationError, because 10 % in and 10 % out is beyond any market
    and most often a unit that went wrong.

    `impact` is the coefficient of the square root law (Grinold and Kahn 2000; Almgren et al. 2005 measured a power of
    0.6): a trade of the share v of a bar's volume moves its price by impact * volatility * sqrt(v), and pays that on
    its value; volatility is a fraction of one bar. About 1 is usual, 0 is none. `max_participation` is the share of
    a bar's volume, up to 1, that can be filled; None fills everything. `borrow_bps` is what a short position's value
    pays a year. Impact and participation need volumes wherever they are used.

    >>> Costs(fee_bps=5, half_spread_bps=5).rate
    0.001
    """

    fee_bps: float
    half_spread_bps: float
    impact: float = 0.0
    max_participation: float | None = None
    borrow_bps: float = 0.0

    def __post_init__(self) -> None:
        for name in ("fee_bps", "half_spread_bps", "impact"):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, Real):
                raise AllocationError(f"{name} is {value!r}, which is no number. Give one.")
        for name, value in (("fee_bps", self.fee_bps), ("half_spread_bps", self.half_spread_bps)):
            if not (math.isfinite(value) and 0.0 <= value <= _LIMIT_BPS):
                raise AllocationError(
                    f"{name} is {value:g}, that is {value / 100:g} % of the value traded; it must be from 0 to "
                    f"{_LIMIT_BPS:g} basis points. One percent is 100."
                )
        if not (math.isfinite(self.impact) and 0.0 <= self.impact <= _LIMIT_IMPACT):
            raise AllocationError(
                f"impact is {self.impact:g}; the coefficient of the square root law is from 0 to {_LIMIT_IMPACT:g}. "
                "Take 0 for none, or about 1."
            )
        share = self.max_participation
        if share is not None and not 0.0 < share <= 1.0:
            raise AllocationError(
                f"max_participation is {share:g}; it is a share of a bar's volume above 0 and at most 1, such as 0.1. "
                "Take None to fill everything."
            )
        if not (math.isfinite(self.borrow_bps) and 0.0 <= self.borrow_bps <= _LIMIT_BORROW_BPS):
            raise AllocationError(
                f"borrow_bps is {self.borrow_bps:g}, that is {self.borrow_bps / 100:g} % a year; it must be from 0 to "
                f"{_LIMIT_BORROW_BPS:g} basis points a year."
            )

    @property
    def rate(self) -> float:
        """The fee and half of the spread of one unit of value traded, as a fraction."""
        return (self.fee_bps + self.half_spread_bps) / 10_000.0

    @property
    def spread_part(self) -> float:
        """The half spread's part of `rate`, 0 where nothing is paid."""
        return self.half_spread_bps / 10_000.0 / self.rate if self.rate > 0.0 else 0.0

    @property
    def borrow_rate(self) -> float:
        """What one unit of value sold short pays a year, as a fraction."""
        return self.borrow_bps / 10_000.0

    @property
    def needs_volume(self) -> bool:
        """Whether a trade's cost or its filling depends on the volume of its bar."""
        return self.impact > 0.0 or self.max_participation is not None

    def impact_scale(self, *, volatility: ArrayLike, volume: ArrayLike, equity: float = 1.0) -> FloatArray:
        """The k [..., A] of the impact's cost sum(k * |trade| ** 1.5), a fraction of equity, of trades as changes of
        weight. `volatility` is a fraction a bar and `volume` the money traded in a bar, both [..., A].

        >>> Costs(0, 0, impact=1.0).impact_scale(volatility=[0.02], volume=[4e6], equity=1e6)
        array([0.01])
        """
        moved, traded = np.asarray(volatility, dtype=np.float64), np.asarray(volume, dtype=np.float64)
        if np.any(~(traded > 0.0)) or np.any(~(moved >= 0.0)):
            raise AllocationError(
                "the square root law needs a volatility of at least 0 and a volume above 0 of every asset. "
                "Leave out the assets that don't trade."
            )
        return np.asarray(self.impact * moved * np.sqrt(equity / traded))

    def charge(
        self,
        trades: ArrayLike,
        *,
        equity: float = 1.0,
        volatility: ArrayLike | None = None,
        volume: ArrayLike | None = None,
    ) -> FloatArray:
        """The cost [...] of trades [..., A], given as changes of weight, of an equity in money.

        The sum of rate * |trade| * equity, and with `impact` of `impact_scale` * |trade| ** 1.5 * equity, for which
        `volatility` and `volume` must be there.

        >>> Costs(fee_bps=10, half_spread_bps=0).charge([0.5, -0.25], equity=1000.0)
        array(0.75)
        """
        size = np.abs(np.asarray(trades, dtype=np.float64))
        paid = self.rate * size.sum(axis=-1)
        if self.impact > 0.0:
            if volatility is None or volume is None:
                raise AllocationError(
                    f"the costs have an impact of {self.impact:g}, which needs the volatility and the volume of each "
                    "asset. Pass them, or costs without impact."
                )
            scale = self.impact_scale(volatility=volatility, volume=volume, equity=equity)
            paid = paid + (scale * size**1.5).sum(axis=-1)
        return np.asarray(paid * equity)


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
    if rate == 0.0:
        return share
    active = np.arange(held.shape[0])
    while active.size:
        every = active.size == share.size
        have, want = (held, target) if every else (held[active], target[active])
        gap = want - have
        sign = np.sign(want * (1.0 - share[active])[:, None] - have if share.any() else gap)
        paid, slope = np.einsum("ij,ij->i", sign, gap), np.einsum("ij,ij->i", sign, want)
        root = rate * paid / (1.0 + rate * slope)
        higher = root > share[active]
        active = active[higher]
        share[active] = root[higher]
    return share
