"""The account of target weights bar by bar: for what depends on the path, several accounts at once.

T bars, S accounts, A assets. A bar in its order:

1. Cash earns the bar's interest (a loan pays it), and short positions pay for borrowing, on their value at the close
   before, for the calendar days since, of 365 a year.
2. Splits turn units; dividends are paid on what is held then.
3. What the bar before decided is filled at the bar's price, or what is left of an order; costs are paid.
4. At the close delisted assets are paid out, equity is told, and an account without any is closed.
5. The close decides what the next bar fills.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.decide import Order, Planner
from tidewright.portfolio.backtest.market import Market
from tidewright.portfolio.backtest.orders import Terms, fill_orders, price_orders, set_terms
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.inputs import FloatArray, name_time

Flags = NDArray[np.bool_]
FLOWS = ("cash", "equity", "costs", "spread", "impact", "borrow", "interest", "dividends", "unfilled", "turnover")


@dataclass(slots=True, eq=False)
class Run:
    """S accounts on their way. `units` are held and `left` are ordered and not yet filled [S, A]; `cash` [S]; `ended`
    [S] is the bar that closed an account, T for one that lives; `positions` [S, T, A], `flows` [S, T] and `beyond`
    [S, T], the bars that filled more than their whole volume, are written bar by bar."""

    market: Market
    costs: Costs
    carry: bool
    units: FloatArray
    left: FloatArray
    cash: FloatArray
    loan: FloatArray
    ended: NDArray[np.intp]
    positions: FloatArray
    flows: dict[str, FloatArray]
    beyond: Flags

    def accrue(self, bar: int) -> None:
        """Interest and borrowing since the bar before, then the bar's splits and dividends."""
        market = self.market
        if market.rates is not None:
            earned = np.where(self.ended > bar, self.cash * market.rates[bar], 0.0)
            self.cash += earned
            self.flows["interest"][:, bar] = earned
        if self.costs.borrow_bps > 0.0:
            sold = np.minimum(self.units, 0.0)
            owed = -self.worth(sold, prices=market.closes[bar - 1]) * self.costs.borrow_rate * market.years[bar]
            self.cash -= owed
            self.flows["borrow"][:, bar] = owed
        events = market.events
        if events is not None and events.splits is not None and events.splitting[bar]:
            self.units *= events.splits[bar]
            self.left *= events.splits[bar]
        if events is not None and events.dividends is not None and events.paying[bar]:
            paid = (self.units * events.dividends[bar]).sum(axis=1)
            self.cash += paid
            self.flows["dividends"][:, bar] = paid

    def trade(self, bar: int, *, order: Order | None) -> None:
        """Fills what the bar before asked for, and what is left of earlier orders."""
        market = self.market
        known = ~np.isnan(market.fills[bar])
        prices = np.where(known, market.fills[bar], market.closes[bar - 1]) if market.gaps else market.fills[bar]
        equity = self.cash + self.worth(self.units, prices=prices)
        live = (self.ended > bar) & (equity > 0.0)
        which = np.zeros(self.units.shape, dtype=np.bool_) if order is None else order.which & live[:, None]
        fresh: Flags = np.any(which, axis=1)
        if market.gaps:
            which &= self._allow(bar, known=known, which=which, order=order)
            prices = np.where(np.isnan(prices), 1.0, prices)
        terms = self._terms(bar, which=which)
        wealth = np.where(live, equity, 1.0)
        delta = np.where(fresh[:, None], 0.0, self.left)
        if order is not None:
            delta = self._order(order.weights, which=which, wealth=wealth, prices=prices, terms=terms, delta=delta)
            self.loan = np.where(fresh, order.loan, self.loan)
        filled = fill_orders(delta, cash=self.cash, floor=self.loan * wealth, prices=prices, terms=terms)
        self._pay(bar, filled=filled, prices=prices, terms=terms, equity=wealth)
        rest = np.zeros_like(delta) if filled is delta else delta - filled
        self.left = rest if self.carry else np.zeros_like(delta)
        if filled is not delta:
            self.flows["unfilled"][:, bar] = (np.abs(rest) * prices).sum(axis=1)

    def close(self, bar: int) -> None:
        """Pays out what is delisted, tells the equity, and closes accounts that have none left."""
        market, closes = self.market, self.market.closes[bar]
        if market.gaps:
            missing = np.isnan(closes) & (self.units != 0.0).any(axis=0)
            if missing.any():
                _refuse_gap(market, bar=bar, asset=int(np.flatnonzero(missing)[0]))
        if market.events is not None:
            gone = market.events.delisted == bar
            if gone.any():
                self.cash += np.where(self.units == 0.0, 0.0, self.units * closes)[:, gone].sum(axis=1)
                self.units[:, gone] = self.left[:, gone] = 0.0
        equity = self.cash + self.worth(self.units, prices=closes)
        broke = (self.ended > bar) & ~(equity > 0.0)
        if broke.any():
            self.units[broke] = self.left[broke] = 0.0
            self.cash[broke] = equity[broke]
            self.ended[broke] = bar
        self.positions[:, bar] = self.units
        self.flows["cash"][:, bar], self.flows["equity"][:, bar] = self.cash, equity

    def worth(self, units: FloatArray, *, prices: FloatArray) -> FloatArray:
        """What units [S, A] are worth [S]; what isn't held needs no price."""
        if self.market.gaps:
            prices = np.where(units == 0.0, 0.0, prices)
        return np.asarray((units * prices).sum(axis=1))

    def _allow(self, bar: int, *, known: Flags, which: Flags, order: Order | None) -> Flags:
        """The assets that have a price to be filled at; one that lacks it must be none of those that matter, or be on
        its way out of the market, where orders lapse."""
        market = self.market
        leaving = np.zeros_like(known) if market.events is None else market.events.delisted < market.stamps.size
        matters = (self.left != 0.0) | (self.units != 0.0)
        if order is not None:
            matters |= which & (order.weights != 0.0)
        missing = ~known & ~leaving & matters.any(axis=0)
        if missing.any():
            _refuse_gap(market, bar=bar, asset=int(np.flatnonzero(missing)[0]))
        open_ = known if market.events is None else known & (market.events.delisted > bar)
        self.left = np.where(open_, self.left, 0.0)
        return open_

    def _order(
        self,
        weights: FloatArray,
        *,
        which: Flags,
        wealth: FloatArray,
        prices: FloatArray,
        terms: Terms,
        delta: FloatArray,
    ) -> FloatArray:
        """The units that bring some assets to their weights after costs [S, A], `delta` of the others."""
        held = self.units * prices / wealth[:, None]
        every = which.all()
        if not every:
            held, weights = np.where(which, held, 0.0), np.where(which, weights, 0.0)
        share = price_orders(held, wanted=weights, equity=wealth, prices=prices, terms=terms)
        ordered = weights * (wealth * (1.0 - share))[:, None] / prices - self.units
        return np.asarray(ordered if every else np.where(which, ordered, delta))

    def _terms(self, bar: int, *, which: Flags) -> Terms:
        market = self.market
        if not self.costs.needs_volume:
            return Terms(self.costs.rate, None, None)
        assert market.volumes is not None
        traded = which.any(axis=0) | (self.left != 0.0).any(axis=0)
        volatility = market.tell_volatility(bar - 1, needed=traded) if self.costs.impact > 0.0 else None
        return set_terms(self.costs, volumes=market.volumes[bar], volatility=volatility)

    def _pay(self, bar: int, *, filled: FloatArray, prices: FloatArray, terms: Terms, equity: FloatArray) -> None:
        bought = filled * prices
        value = np.abs(bought).sum(axis=1)
        moved = terms.impact(filled, prices=prices).sum(axis=1) if terms.scale is not None else 0.0
        paid = terms.rate * value + moved
        self.cash -= bought.sum(axis=1) + paid
        self.units = self.units + filled
        if self.market.volumes is not None:
            self.beyond[:, bar] = (np.abs(filled) > self.market.volumes[bar]).any(axis=1)
        flows = self.flows
        flows["costs"][:, bar], flows["impact"][:, bar] = paid, moved
        flows["spread"][:, bar] = terms.rate * self.costs.spread_part * value
        flows["turnover"][:, bar] = value / 2.0 / equity


def run_bars(
    planner: Planner, *, market: Market, costs: Costs, money: FloatArray, unfilled: Literal["carry", "drop"]
) -> Run:
    """Accounts that begin with `money` [S] in cash, through all bars."""
    shape, bars = (money.size, len(market.assets)), market.stamps.size
    run = Run(
        market=market,
        costs=costs,
        carry=unfilled == "carry",
        units=np.zeros(shape),
        left=np.zeros(shape),
        cash=money.astype(np.float64),
        loan=np.zeros(money.size),
        ended=np.full(money.size, bars, dtype=np.intp),
        positions=np.zeros((money.size, bars, shape[1])),
        flows={name: np.zeros((money.size, bars)) for name in FLOWS},
        beyond=np.zeros((money.size, bars), dtype=np.bool_),
    )
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        run.close(0)
        order = planner.decide(0, run.units, equity=run.flows["equity"][:, 0], market=market)
        for bar in range(1, bars):
            run.accrue(bar)
            if order is not None or run.left.any():
                run.trade(bar, order=order)
            run.close(bar)
            order = planner.decide(bar, run.units, equity=run.flows["equity"][:, bar], market=market)
    return run


def _refuse_gap(market: Market, *, bar: int, asset: int) -> None:
    raise AllocationError(
        f"{market.assets[asset]!r} has no price at {name_time(market.stamps, row=bar)}, where it is held or targeted. "
        "Fill the gap, decide on weights without the asset before it, or say when it was delisted."
    )
