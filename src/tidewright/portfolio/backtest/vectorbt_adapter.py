"""The same targets through vectorbt's simulation: a cross-check of the engine, not a faster way.

vectorbt is under the Apache licence with the Commons Clause: it may be used and not be sold. It is no dependency and is
imported only here. T bars, A assets.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.optional import require
from tidewright.portfolio.backtest.checks import check_tradable
from tidewright.portfolio.backtest.market import Market, read_market
from tidewright.portfolio.backtest.plan import Decisions, Rules, read_decisions
from tidewright.portfolio.backtest.signal_inputs import read_rate
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.ledger import HeldBook, Ledger


def backtest_by_vectorbt(
    targets: ArrayLike,
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    costs: Costs,
    decided: ArrayLike | None = None,
    initial_cash: float = 1_000_000.0,
    allow_cash: bool = False,
) -> Ledger:
    """The ledger of long-only targets at the next close, as vectorbt's `Portfolio.from_orders` fills them.

    Arguments are those of `backtest_weights`, and without costs its weights are too, to rounding. With costs they are
    not: vectorbt sizes every order from the equity before costs, sells first, and buys last what the cash is short of,
    where `backtest_weights` takes the costs out of what is split. The ledger holds vectorbt's orders; cash and equity
    are counted from these. Needs the extra "vectorbt"; its first call compiles for some seconds.
    """
    rate = read_rate(costs)
    market = read_market(
        prices, times=times, assets=assets, fill="next close", opens=None, costs=costs, volumes=None, volatility=None,
        cash_rate=0.0, actions=None,
    )  # fmt: skip
    rules = Rules(allow_cash=allow_cash, allow_short=False, max_gross=1.0)
    decisions = read_decisions(targets, stamps=market.stamps, decided=decided, assets=market.assets, rules=rules)
    decisions = decisions.until(market.stamps.size)
    check_tradable(decisions, market=market)
    if not (np.isfinite(initial_cash) and initial_cash > 0.0):
        raise AllocationError(f"initial_cash is {initial_cash}; it is a finite amount above zero.")
    orders = _simulate(decisions, market=market, rate=rate, initial_cash=float(initial_cash))
    return _tell(orders, market=market, costs=costs, initial_cash=float(initial_cash))


def _simulate(decisions: Decisions, *, market: Market, rate: float, initial_cash: float) -> Any:
    """vectorbt's order records: idx is the bar, col the asset, side 0 a purchase and 1 a sale."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, at its import and in its kernels
        vectorbt = require("vectorbt", extra="vectorbt", purpose="the cross-check of a backtest")
        size = np.full(market.closes.shape, np.nan)
        size[decisions.rows + 1] = decisions.values / decisions.sums[:, None]
        portfolio = vectorbt.Portfolio.from_orders(
            market.closes,
            size=size,
            size_type="targetpercent",
            group_by=True,
            cash_sharing=True,
            call_seq="auto",
            fees=rate,
            init_cash=initial_cash,
        )
        return portfolio.order_records


def _tell(orders: Any, *, market: Market, costs: Costs, initial_cash: float) -> Ledger:
    bars, assets = market.closes.shape
    trades, spent, paid, traded = np.zeros((bars, assets)), np.zeros(bars), np.zeros(bars), np.zeros(bars)
    signed = np.where(orders["side"] == 0, orders["size"], -orders["size"])
    value = signed * orders["price"]
    np.add.at(trades, (orders["idx"], orders["col"]), signed)
    np.add.at(spent, orders["idx"], value + orders["fees"])
    np.add.at(paid, orders["idx"], orders["fees"])
    np.add.at(traded, orders["idx"], np.abs(value))
    positions = np.cumsum(trades, axis=0)
    positions[np.abs(positions) < 1e-12 * np.maximum.accumulate(np.abs(positions), axis=0)] = (
        0.0  # sold but for rounding
    )
    worth = np.multiply(positions, market.closes, out=np.zeros_like(positions), where=positions != 0.0)
    cash = initial_cash - np.cumsum(spent)
    equity = cash + worth.sum(axis=1)
    filled = np.flatnonzero(traded)
    rate = costs.rate or 1.0
    return Ledger(
        times=market.stamps.copy(),
        assets=market.assets,
        book=HeldBook(positions, trades, market.closes),
        costs=paid,
        cash=cash,
        equity=equity,
        turnover=traded / 2.0 / (equity + paid),
        first_fill=int(filled[0]) if filled.size else None,
        notes=("filled by vectorbt: sized before costs, sales first",),
        spread=paid * (costs.half_spread_bps / 10_000.0 / rate),
    )
