"""The account of target weights with proportional costs, without a loop over bars.

T bars, A assets, K fills. Between two fills the units are constant, and right after a fill the portfolio is its target
weights times what is left of the equity, so that the whole account follows from one cumulative product over the fills.
Tables of the size [T, A] are read in blocks and none is made: to fill fresh memory takes longer than all of the
arithmetic. Units held and traded are worked out when they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.market import Market
from tidewright.portfolio.backtest.plan import Decisions, Rows, cut_blocks, size_block, take_rows
from tidewright.portfolio.costs import Costs, price_rebalance
from tidewright.portfolio.inputs import FloatArray, name_time
from tidewright.portfolio.ledger import Ledger


def settle_plain(
    decisions: Decisions, *, market: Market, costs: Costs, initial_cash: float, notes: tuple[str, ...]
) -> Ledger | None:
    """The ledger of decisions that are filled at the bars after them; None where short positions or a loan use up the
    equity on the way."""
    fills = decisions.rows + 1
    account = _account(decisions, market=market, rate=costs.rate, initial_cash=initial_cash)
    cash, worth = account.cash, account.worth
    equity = cash + worth
    if decisions.may_fail and not ((account.growth > 0.0).all() and (equity > 0.0).all()):
        return None
    _check_finite(equity, market=market)
    paid, turnover = np.zeros(equity.size), np.zeros(equity.size)
    paid[fills], turnover[fills] = account.paid, account.traded
    return Ledger(
        times=market.stamps.copy(),
        assets=market.assets,
        book=TargetBook(decisions, market=market, rate=costs.rate, initial_cash=initial_cash, account=account),
        costs=paid,
        cash=cash,
        equity=equity,
        turnover=turnover,
        first_fill=int(fills[0]) if fills.size else None,
        notes=notes,
        spread=paid * costs.spread_part,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """Of each fill [K]: the growth of equity since the one before, the equity right after it, the costs paid, and half
    of the value traded over the equity; of each bar [T]: cash, and what the positions are worth."""

    growth: FloatArray
    value: FloatArray
    paid: FloatArray
    traded: FloatArray
    cash: FloatArray
    worth: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TargetBook:
    """Units that follow from target weights and prices.

    They are worked out when they are first asked for, from the caller's own tables; if these were changed since, the
    account is another one than it was, and asking is an AllocationError.
    """

    decisions: Decisions
    market: Market
    rate: float
    initial_cash: float
    account: Account
    _kept: dict[str, FloatArray] = field(default_factory=dict, init=False, repr=False)

    @property
    def positions(self) -> FloatArray:
        """Units held after the close of each bar [T, A]."""
        if "positions" not in self._kept:
            self._kept["positions"] = self._hold()
        return self._kept["positions"]

    @property
    def trades(self) -> FloatArray:
        """Units bought (+) or sold (-) at each bar [T, A]."""
        if "trades" not in self._kept:
            traded = np.diff(self.positions, axis=0, prepend=np.zeros((1, len(self.market.assets))))
            traded.flags.writeable = False
            self._kept["trades"] = traded
        return self._kept["trades"]

    @property
    def prices(self) -> FloatArray:
        """The closes that value the positions [T, A]."""
        locked = self.market.closes.view()
        locked.flags.writeable = False
        return locked

    def _hold(self) -> FloatArray:
        again = _account(self.decisions, market=self.market, rate=self.rate, initial_cash=self.initial_cash)
        if not (np.array_equal(again.value, self.account.value) and np.array_equal(again.worth, self.account.worth)):
            raise AllocationError(
                "the target weights or prices were changed in place after the backtest, so that its positions are no "
                "longer known. Give the backtest a copy, or ask for the positions before changing them."
            )
        units = np.zeros(self.market.closes.shape)
        segment = _find_segments(self.decisions, bars=len(units))
        owned = np.flatnonzero(segment >= 0)
        for block in cut_blocks(owned.size, columns=len(self.market.assets)):
            chosen = segment[owned[block]]
            units[owned[block]] = _find_units(self.decisions, chosen=chosen, market=self.market, value=again.value)
        units.flags.writeable = False
        return units


def _account(decisions: Decisions, *, market: Market, rate: float, initial_cash: float) -> Account:
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        growth, share, traded = _rebalance(decisions, market=market, rate=rate)
        value = np.asarray(initial_cash * np.cumprod(growth * (1.0 - share)), dtype=np.float64)
        before = np.concatenate([[initial_cash], value[:-1]])[: value.size] * growth
        cash, worth = _value(decisions, market=market, value=value, initial_cash=initial_cash)
    return Account(growth=growth, value=value, paid=share * before, traded=traded, cash=cash, worth=worth)


def _rebalance(decisions: Decisions, *, market: Market, rate: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each fill [K]: the growth of equity since the fill before it, the share of equity that it costs, and half of
    the value that it trades over the equity."""
    fills, columns = decisions.rows + 1, len(market.assets)
    fills_before = np.concatenate([fills[:1], fills[:-1]])
    cash_before = np.concatenate([[1.0], decisions.cash])
    growth, share, traded = np.ones(fills.size), np.zeros(fills.size), np.zeros(fills.size)
    want = np.zeros((size_block(columns) + 1, columns))  # the targets of a block, after the last of the block before
    for block in cut_blocks(fills.size, columns=columns):
        size = block.stop - block.start
        want[0] = want[-1]
        np.divide(decisions.values[block], decisions.sums[block, None], out=want[1 : size + 1])
        before, target = want[:size], want[1 : size + 1]
        held = before * (take_rows(market.fills, fills[block]) / take_rows(market.fills, fills_before[block]))
        if market.gaps:
            held[before == 0.0] = 0.0
        growth[block] = held.sum(axis=1) + cash_before[block]
        held /= growth[block, None]
        share[block] = price_rebalance(held, target=target, rate=rate)
        if rate == 0.0:
            traded[block] = np.abs(target - held).sum(axis=1) / 2.0
    return growth, share, share / rate / 2.0 if rate > 0.0 else traded


def _value(
    decisions: Decisions, *, market: Market, value: FloatArray, initial_cash: float
) -> tuple[FloatArray, FloatArray]:
    """Cash and the worth of the positions after the close of each bar [T]."""
    fills, bars = decisions.rows + 1, market.stamps.size
    segment = _find_segments(decisions, bars=bars)
    cash = np.concatenate([[initial_cash], decisions.cash * value])[segment + 1]
    worth, open_ = np.zeros(bars), segment >= 0
    if market.at_close:
        worth[fills] = value * (1.0 - decisions.cash)
        open_[fills] = False
    rest = np.flatnonzero(open_)
    for block in cut_blocks(rest.size, columns=len(market.assets)):
        rows = rest[block]
        units = _find_units(decisions, chosen=segment[rows], market=market, value=value)
        worth[rows] = _add_worth(units, closes=take_rows(market.closes, rows))
    return cash, worth


def _find_segments(decisions: Decisions, *, bars: int) -> Rows:
    """The fill that each bar comes after [T], -1 before the first."""
    filled = np.zeros(bars, dtype=np.intp)
    filled[decisions.rows + 1] = 1
    return np.cumsum(filled) - 1


def _find_units(decisions: Decisions, *, chosen: Rows, market: Market, value: FloatArray) -> FloatArray:
    """The units held after each of some fills [n, A]."""
    weights = decisions.values[chosen] / decisions.sums[chosen, None]
    units = weights * value[chosen, None] / market.fills[decisions.rows[chosen] + 1]
    if market.gaps:
        units[weights == 0.0] = 0.0
    return np.asarray(units)


def _add_worth(units: FloatArray, *, closes: FloatArray) -> FloatArray:
    """What the units are worth [n]; what isn't held needs no price."""
    return np.asarray(np.einsum("ij,ij->i", units, np.where(units == 0.0, 0.0, closes)))


def _check_finite(equity: FloatArray, *, market: Market) -> None:
    wrong = np.flatnonzero(~np.isfinite(equity) | (equity <= 0.0))
    if wrong.size:
        row = int(wrong[0])
        raise AllocationError(
            f"equity at {name_time(market.stamps, row=row)} is {equity[row]}: the prices up to there grow or shrink "
            "beyond what numbers can hold. Check them for errors of scale."
        )
