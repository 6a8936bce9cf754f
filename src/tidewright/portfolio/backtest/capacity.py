"""How much money a strategy can carry: its net figures as the money at the start grows. M amounts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.metrics.returns import cagr, sharpe
from tidewright.portfolio.backtest.weights import backtest_accounts
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.ledger import Ledger


@dataclass(frozen=True, slots=True, eq=False)
class Capacity:
    """Figures of one strategy with different money at the start [M], ascending: the net Sharpe ratio and compound
    return a year, costs as a fraction of mean equity a year, and the share of what was to be traded that wasn't filled
    at its bar. `notes` are those of the ledgers, by amount."""

    money: FloatArray
    sharpe: FloatArray
    cagr: FloatArray
    cost_drag: FloatArray
    unfilled: FloatArray
    notes: tuple[str, ...] = ()

    def limit(self, *, sharpe: float) -> float:
        """The money up to which the net Sharpe ratio is at least `sharpe`, between amounts on the logarithm of money;
        0 where not even the least amount has it, inf where even the largest has."""
        below = np.flatnonzero(~(self.sharpe >= sharpe))
        if below.size == 0:
            return math.inf
        first = int(below[0])
        if first == 0:
            return 0.0
        above, under = self.sharpe[first - 1], self.sharpe[first]
        if math.isnan(under):
            return float(self.money[first - 1])
        part = (above - sharpe) / (above - under)
        return float(self.money[first - 1] * (self.money[first] / self.money[first - 1]) ** part)


def capacity(
    targets: ArrayLike,
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    costs: Costs,
    volumes: ArrayLike,
    money: Sequence[float],
    periods_per_year: float,
    risk_free: float = 0.0,
    **options: Any,
) -> Capacity:
    """The capacity curve of target weights: one account for each amount of `money`, all in one pass.

    `costs` need an impact or a participation: without, every amount earns the same. All else, and `options`, is as with
    `backtest_weights`; `risk_free` is a return per period.
    """
    amounts = np.asarray(money, dtype=np.float64)
    if amounts.ndim != 1 or amounts.size == 0 or np.any(np.diff(amounts) <= 0.0):
        raise AllocationError(f"money is {money!r}; it is one or more amounts, each more than the one before.")
    if not costs.needs_volume:
        raise AllocationError(
            "these costs have no impact and no participation, so that every amount of money earns the same. Give "
            "costs with impact=, max_participation=, or both."
        )
    ledgers = backtest_accounts(
        [targets] * amounts.size, prices, times=times, assets=assets, costs=costs, money=amounts.tolist(),
        volumes=volumes, **options,
    )  # fmt: skip
    figures = np.array([_measure(one, per_year=periods_per_year, risk_free=risk_free) for one in ledgers])
    notes = [f"{amount:,.0f}: {note}" for amount, one in zip(amounts, ledgers, strict=True) for note in one.notes]
    return Capacity(amounts, figures[:, 0], figures[:, 1], figures[:, 2], figures[:, 3], tuple(notes))


def _measure(ledger: Ledger, *, per_year: float, risk_free: float) -> tuple[float, float, float, float]:
    returns = ledger.net_returns()
    first = 1 if ledger.first_fill is None else ledger.first_fill
    drag = float(ledger.costs.sum()) / float(ledger.equity[first : first + returns.size].mean())
    missed, filled = float(ledger.unfilled.sum()), float(2.0 * (ledger.turnover * ledger.equity).sum())
    return (
        sharpe(returns, periods_per_year=per_year, risk_free=risk_free),
        cagr(returns, periods_per_year=per_year),
        drag * per_year / returns.size,
        missed / (missed + filled) if missed > 0.0 else 0.0,
    )
