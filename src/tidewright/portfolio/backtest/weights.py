"""From target weights to a ledger: decide at bar t, fill at bar t+1, pay, hold, drift.

T bars, A assets, D decisions. A price of NaN means that the asset can't be traded or valued at that bar: an
AllocationError names asset and date if it is held or targeted there, and otherwise it is no matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tidewright.checks import check_kind
from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.actions import Actions
from tidewright.portfolio.backtest.checks import check_tradable, note_jumps
from tidewright.portfolio.backtest.decide import Planner
from tidewright.portfolio.backtest.loop import run_bars
from tidewright.portfolio.backtest.market import Market, read_market
from tidewright.portfolio.backtest.plain import settle_plain
from tidewright.portfolio.backtest.plan import Decisions, Rules, read_decisions
from tidewright.portfolio.backtest.rebalance import Rebalance, follow_calendar
from tidewright.portfolio.backtest.tell import tell_ledgers
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.inputs import FloatArray, TimeArray, name_time
from tidewright.portfolio.ledger import Ledger

Fill = Literal["next close", "next open"]
Unfilled = Literal["carry", "drop"]


def backtest_weights(
    targets: ArrayLike,
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    costs: Costs,
    decided: ArrayLike | None = None,
    initial_cash: float = 1_000_000.0,
    fill: Fill = "next close",
    opens: ArrayLike | None = None,
    allow_cash: bool = False,
    allow_short: bool = False,
    max_gross: float = 1.0,
    cash_rate: ArrayLike = 0.0,
    rebalance: Rebalance | None = None,
    actions: Actions | None = None,
    volumes: ArrayLike | None = None,
    volatility: ArrayLike | None = None,
    unfilled: Unfilled = "carry",
) -> Ledger:
    """The ledger of a portfolio that is brought to its target weights one bar after each decision.

    `prices` [T, A] are closes at `times` [T], adjusted for splits and dividends, or unadjusted with `actions`.
    `targets` are [T, A] with one row a bar, where a row of NaN decides nothing; or [D, A] with `decided` [D], the
    times of the bars after whose close each row was known. Rows are long-only and sum to one; with `allow_cash` to one
    or less, the rest staying in cash. With `allow_short` weights may be below zero, and with it or with a `max_gross`
    above 1 a row may sum to anything, long plus short being at most `max_gross`; what is missing to one is cash, and
    what is above one a loan.

    A decision of bar t is filled at bar t+1, at its close or (with `opens` [T, A]) at its open: the weights are those
    of t, the money is split at the fill's prices, and the costs come out of the equity that is split, so cash never
    goes below zero but for a loan. Fractions of units are held. Between fills the units stay and the weights drift;
    `rebalance` says what is done about that. A decision of the last bar has no bar to be filled at and is noted.

    `cash_rate` is what cash earns, and a loan pays, over one bar, a number or one a bar [T]. Costs with an impact or a
    participation need `volumes` in units [T, A]; `volatility` [T, A] is a fraction a bar as known at each close, by
    default that of the last 21 returns. What a bar's volume or the cash doesn't fill is carried to the next bar, until
    a new decision, or dropped (`unfilled`).

    >>> import numpy as np
    >>> days = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]")
    >>> targets = [[0.5, 0.5]] + [[np.nan, np.nan]] * 3
    >>> closes = [[10.0, 20.0], [10.0, 20.0], [11.0, 20.0], [12.0, 20.0]]
    >>> ledger = backtest_weights(targets, closes, times=days, assets=("A", "B"),
    ...                           costs=Costs(fee_bps=0, half_spread_bps=0), initial_cash=1000.0)
    >>> ledger.equity
    array([1000., 1000., 1050., 1100.])
    """
    (ledger,) = backtest_accounts(
        [targets], prices, times=times, assets=assets, costs=costs, decided=decided, money=[initial_cash], fill=fill,
        opens=opens, allow_cash=allow_cash, allow_short=allow_short, max_gross=max_gross, cash_rate=cash_rate,
        rebalance=rebalance, actions=actions, volumes=volumes, volatility=volatility, unfilled=unfilled,
    )  # fmt: skip
    return ledger


def backtest_strategies(
    targets: Mapping[str, ArrayLike] | ArrayLike,
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    costs: Costs,
    initial_cash: float = 1_000_000.0,
    **options: Any,
) -> dict[str, Ledger]:
    """The ledgers of several strategies on the same prices, by name, each with its own `initial_cash`.

    `targets` are tables of target weights by the strategy's name, or [S, T, A], named "0", "1" and so on. Everything
    else, `options` too, is as with `backtest_weights` and holds for all of them; the prices are read and checked once.
    """
    tables = dict(targets) if isinstance(targets, Mapping) else _name_tables(targets)
    if not tables:
        raise AllocationError("there is no strategy. Give a table of target weights by name.")
    ledgers = backtest_accounts(
        list(tables.values()), prices, times=times, assets=assets, costs=costs, money=[initial_cash] * len(tables),
        **options,
    )  # fmt: skip
    return dict(zip(tables, ledgers, strict=True))


def backtest_accounts(
    targets: Sequence[ArrayLike],
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    costs: Costs,
    money: Sequence[float],
    decided: ArrayLike | None = None,
    fill: Fill = "next close",
    opens: ArrayLike | None = None,
    allow_cash: bool = False,
    allow_short: bool = False,
    max_gross: float = 1.0,
    cash_rate: ArrayLike = 0.0,
    rebalance: Rebalance | None = None,
    actions: Actions | None = None,
    volumes: ArrayLike | None = None,
    volatility: ArrayLike | None = None,
    unfilled: Unfilled = "carry",
) -> list[Ledger]:
    """One ledger for each table of targets [T, A] and its money at the start; all else as with `backtest_weights`."""
    _check_records(costs, rebalance=rebalance, actions=actions)
    market = read_market(
        prices, times=times, assets=assets, fill=fill, opens=opens, costs=costs, volumes=volumes,
        volatility=volatility, cash_rate=cash_rate, actions=actions,
    )  # fmt: skip
    _check_options(money, unfilled=unfilled)
    rules = Rules(allow_cash=allow_cash, allow_short=allow_short, max_gross=max_gross)
    plans, notes = [], []
    for table in targets:
        plan = read_decisions(table, stamps=market.stamps, decided=decided, assets=market.assets, rules=rules)
        if rebalance is not None and rebalance.band is None:
            plan = follow_calendar(plan, rule=rebalance, stamps=market.stamps)
        notes.append(_note_decisions(plan, stamps=market.stamps))
        plans.append(plan.until(market.stamps.size))
    paths = market.events is not None or market.rates is not None or costs.needs_volume
    if paths or (rebalance is not None and rebalance.band is not None) or (rules.free and costs.borrow_bps > 0.0):
        return _keep(plans, market=market, costs=costs, money=money, rule=rebalance, unfilled=unfilled, notes=notes)
    ledgers = []
    for plan, cash, told in zip(plans, money, notes, strict=True):
        check_tradable(plan, market=market)
        said = (*told, *note_jumps(plan, market=market))
        ledger = settle_plain(plan, market=market, costs=costs, initial_cash=cash, notes=said)
        if ledger is None:  # the account ends on the way, which its bars tell
            (ledger,) = _keep(
                [plan], market=market, costs=costs, money=[cash], rule=None, unfilled=unfilled, notes=[told]
            )
        ledgers.append(ledger)
    return ledgers


def _keep(
    plans: Sequence[Decisions],
    *,
    market: Market,
    costs: Costs,
    money: Sequence[float],
    rule: Rebalance | None,
    unfilled: Unfilled,
    notes: list[tuple[str, ...]],
) -> list[Ledger]:
    planner = Planner.read(plans, rule=rule, market=market)
    run = run_bars(planner, market=market, costs=costs, money=np.array(money, dtype=np.float64), unfilled=unfilled)
    return tell_ledgers(run, notes=notes)


def _name_tables(targets: ArrayLike) -> dict[str, FloatArray]:
    tables = np.asarray(targets, dtype=np.float64)
    if tables.ndim != 3:
        raise AllocationError(
            f"targets of several strategies have the shape {tables.shape}. Give tables by name, or numbers [S, T, A]."
        )
    return {str(number): table for number, table in enumerate(tables)}


def _check_records(costs: Costs, *, rebalance: Rebalance | None, actions: Actions | None) -> None:
    check_kind("costs", costs, kind=Costs, advice="Give tw.Costs(fee_bps=1, half_spread_bps=2)")
    if rebalance is not None:
        check_kind("rebalance", rebalance, kind=Rebalance, advice="Give tw.Rebalance(every='month') or leave it out")
    if actions is not None:
        check_kind("actions", actions, kind=Actions, advice="Give tw.Actions(dividends=..., splits=...)")


def _check_options(money: Sequence[float], *, unfilled: str) -> None:
    for amount in money:
        if not (math.isfinite(amount) and amount > 0.0):
            raise AllocationError(f"initial_cash is {amount}; it is a finite amount above zero.")
    if unfilled not in ("carry", "drop"):
        raise AllocationError(f"unfilled is {unfilled!r}; it is 'carry' or 'drop'.")


def _note_decisions(decisions: Decisions, *, stamps: TimeArray) -> tuple[str, ...]:
    notes, rows = [], decisions.rows
    if rows.size and rows[-1] == stamps.size - 1:
        last = name_time(stamps, row=int(rows[-1]))
        notes.append(f"the decision of the last bar, {last}, has no bar to be filled at")
        rows = rows[:-1]
    if rows.size == 0:
        notes.append("no decision could be filled: all is cash throughout")
    return tuple(notes)
