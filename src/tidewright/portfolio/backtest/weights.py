"""From target weights to a ledger: decide at bar t, fill at bar t+1, pay, hold, drift.

T bars, A assets, D decisions. A price of NaN means that the asset can't be traded or valued at that bar: an
AllocationError names asset and date if it is held or targeted there, and otherwise it is no matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.checks import check_tradable, note_jumps
from tidewright.portfolio.backtest.market import read_market
from tidewright.portfolio.backtest.plain import settle_plain
from tidewright.portfolio.backtest.plan import Decisions, Rules, read_decisions
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.inputs import TimeArray, name_time
from tidewright.portfolio.ledger import Ledger


def backtest_weights(
    targets: ArrayLike,
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    costs: Costs,
    decided: ArrayLike | None = None,
    initial_cash: float = 1_000_000.0,
    fill: Literal["next close", "next open"] = "next close",
    opens: ArrayLike | None = None,
    allow_cash: bool = False,
    allow_short: bool = False,
    max_gross: float = 1.0,
) -> Ledger:
    """The ledger of a portfolio that is brought to its target weights one bar after each decision.

    `prices` [T, A] are closes (adjusted for splits and dividends) at `times` [T]. `targets` are [T, A] with
    one row a bar, where a row of NaN decides nothing; or [D, A] with `decided` [D], the times of the bars
    after whose close each row was known. Rows are long-only and sum to one; with `allow_cash` to one or
    less, the rest staying in cash. With `allow_short` weights may be below zero, and with it or with a
    `max_gross` above 1 a row may sum to anything, long plus short being at most `max_gross`; what is
    missing to one is cash, and what is above one a loan.

    A decision of bar t is filled at bar t+1, at its close or (with `opens` [T, A]) at its open: the weights
    are those of t, the money is split at the fill's prices, and the costs come out of the equity that is
    split, so cash never goes below zero but for a loan. Fractions of units are held. Between fills the units
    stay and the weights drift. A decision of the last bar has no bar to be filled at and is noted.

    >>> import numpy as np
    >>> days = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]")
    >>> targets = [[0.5, 0.5]] + [[np.nan, np.nan]] * 3
    >>> closes = [[10.0, 20.0], [10.0, 20.0], [11.0, 20.0], [12.0, 20.0]]
    >>> ledger = backtest_weights(targets, closes, times=days, assets=("A", "B"),
    ...                           costs=Costs(fee_bps=0, half_spread_bps=0), initial_cash=1000.0)
    >>> ledger.equity
    array([1000., 1000., 1050., 1100.])
    """
    market = read_market(prices, times=times, assets=assets, fill=fill, opens=opens)
    _check_money(initial_cash)
    rules = Rules(allow_cash=allow_cash, allow_short=allow_short, max_gross=max_gross)
    decisions = read_decisions(targets, stamps=market.stamps, decided=decided, assets=market.assets, rules=rules)
    notes = _note_decisions(decisions, stamps=market.stamps)
    decisions = decisions.until(market.stamps.size)
    check_tradable(decisions, market=market)
    notes = (*notes, *note_jumps(decisions, market=market))
    ledger = settle_plain(decisions, market=market, costs=costs, initial_cash=initial_cash, notes=notes)
    if ledger is None:
        raise AllocationError(
            "short positions or a loan use up all of the equity. Take smaller positions, or check the prices."
        )
    return ledger


def _check_money(initial_cash: float) -> None:
    if not (math.isfinite(initial_cash) and initial_cash > 0.0):
        raise AllocationError(f"initial_cash is {initial_cash}; it is a finite amount above zero.")


def _note_decisions(decisions: Decisions, *, stamps: TimeArray) -> tuple[str, ...]:
    notes, rows = [], decisions.rows
    if rows.size and rows[-1] == stamps.size - 1:
        last = name_time(stamps, row=int(rows[-1]))
        notes.append(f"the decision of the last bar, {last}, has no bar to be filled at")
        rows = rows[:-1]
    if rows.size == 0:
        notes.append("no decision could be filled: all is cash throughout")
    return tuple(notes)
