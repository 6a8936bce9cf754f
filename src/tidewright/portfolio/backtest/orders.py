"""What an order asks for, what of it is filled and what that costs. S accounts, A assets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.costs import Costs, price_rebalance
from tidewright.portfolio.inputs import FloatArray

_SLACK = 1e-12  # of the equity: what rounding may take from cash
_STEPS = 50
_EXACT = 1e-15


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What trading costs at one bar: the proportional rate, the square root law's coefficient of each asset [A] (the
    cost of q units is scale * q ** 1.5), None without impact, and the units that can be filled [A], None for all."""

    rate: float
    scale: FloatArray | None
    most: FloatArray | None

    def impact(self, units: FloatArray, *, prices: FloatArray) -> FloatArray:
        """The money that the impact of some trades costs [S, A]."""
        if self.scale is None:
            return np.zeros_like(units)
        size = np.abs(units)
        return np.asarray(self.scale * size * np.sqrt(size) * prices)


def set_terms(costs: Costs, *, volumes: FloatArray | None, volatility: FloatArray | None) -> Terms:
    """The terms of a bar whose volume is `volumes` units [A], NaN or 0 where nothing trades."""
    if volumes is None:
        return Terms(costs.rate, None, None)
    traded = np.where(volumes > 0.0, volumes, 0.0)
    share = np.inf if costs.max_participation is None else costs.max_participation
    most = np.where(traded > 0.0, share * np.where(traded > 0.0, traded, 1.0), 0.0)
    if costs.impact == 0.0 or volatility is None:
        return Terms(costs.rate, None, most)
    scale = costs.impact * volatility / np.sqrt(np.where(traded > 0.0, traded, np.inf))
    return Terms(costs.rate, scale, most)


def price_orders(
    held: FloatArray, *, wanted: FloatArray, equity: FloatArray, prices: FloatArray, terms: Terms
) -> FloatArray:
    """The share of equity [S] that orders cost when the cost comes out of what is split.

    `held` and `wanted` [S, A] are shares of `equity` [S] before and after; assets that aren't traded are 0 in both.
    The share x solves x = cost(wanted * (1 - x) - held) by Newton's method from 0. What is beyond a bar's participation
    is priced as if each further bar were like this one.
    """
    if terms.scale is None:
        return price_rebalance(held, target=wanted, rate=terms.rate)
    # scale * units ** 1.5 * price, of a value v = units * price, is scale * v ** 1.5 / price ** 0.5
    scale = terms.scale / np.sqrt(prices) * np.sqrt(equity)[:, None]
    most = np.full_like(held, np.inf) if terms.most is None else terms.most * prices / equity[:, None]
    share = np.zeros(len(held))
    for _ in range(_STEPS):
        gap = wanted * (1.0 - share)[:, None] - held
        size = np.abs(gap)
        root = np.sqrt(np.minimum(size, most))
        paid = (size * (terms.rate + scale * root)).sum(axis=1)
        marginal = terms.rate + np.where(size < most, 1.5, 1.0) * scale * root
        slope = 1.0 + (marginal * np.sign(gap) * wanted).sum(axis=1)
        if np.any(slope <= 0.0) or np.any(paid - share >= slope * (1.0 - share)):
            break
        step = (paid - share) / slope
        open_ = np.abs(step) > _EXACT
        if not open_.any():
            return share
        share = np.where(open_, share + step, share)
    raise AllocationError(
        "an order costs more than the equity that it splits: it is too large for the volume. Begin with less money, "
        "cap it by max_participation, or check that volumes are in units and volatility is a fraction."
    )


def fill_orders(
    orders: FloatArray, *, cash: FloatArray, floor: FloatArray, prices: FloatArray, terms: Terms
) -> FloatArray:
    """The units of `orders` [S, A] that are filled, `orders` itself where nothing limits them: up to the volume's
    share, and purchases no further than cash [S] allows without going below its floor [S]."""
    filled = orders if terms.most is None else np.clip(orders, -terms.most, terms.most)
    value = filled * prices
    spent = value + terms.rate * np.abs(value)
    if terms.scale is not None:
        spent += terms.impact(filled, prices=prices)
    short = cash - spent.sum(axis=1) < floor - _SLACK * (np.abs(cash) + np.abs(value).sum(axis=1))
    if not short.any():
        return filled
    needed = np.where(filled > 0.0, spent, 0.0).sum(axis=1)
    there = cash - floor - np.where(filled > 0.0, 0.0, spent).sum(axis=1)
    part = np.divide(there, needed, out=np.ones_like(there), where=needed > 0.0).clip(0.0, 1.0)
    return np.asarray(np.where((filled > 0.0) & short[:, None], filled * part[:, None], filled))
