"""The book of a signals backtest: one pass over the bars, every step over all assets at once. T bars, A assets.

Within a bar the order is that of the day: with fills at the open these come first and the stops are watched after
them; with fills at the close the stops come first. So no fill uses money that came in later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidewright.portfolio.inputs import FloatArray

Bools = NDArray[np.bool_]
Places = NDArray[np.intp]
Size = Literal["slots", "money", "share"]
EXIT, STOP, TARGET, TRAILING, TIME, END = range(6)  # places in trades.REASONS
_NOT = -1
_DUST = 1e-9  # a share of equity below which cash under zero is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Checked signals, each [T, A]; entries are without those that an exit of their bar and side cancels."""

    entries: Bools
    exits: Bools
    short_entries: Bools
    short_exits: Bools

    def asked(self) -> Bools:
        """The bars with any signal [T]."""
        return np.asarray((self.entries | self.exits | self.short_entries | self.short_exits).any(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Closes and, where given, opens, highs and lows [T, A]; a missing price is zero, which no price is."""

    closes: FloatArray
    opens: FloatArray | None
    highs: FloatArray | None
    lows: FloatArray | None
    at_open: bool

    @property
    def fills(self) -> FloatArray:
        """The prices at which signals are filled."""
        return self.opens if self.at_open and self.opens is not None else self.closes


@dataclass(frozen=True, slots=True)
class Rules:
    """When positions end by themselves, and how much an entry gets."""

    stop_loss: float | None
    take_profit: float | None
    trailing_stop: float | None
    max_bars: int | None
    size: Size
    amount: float
    leverage: float
    rate: float

    @property
    def watched(self) -> bool:
        return not (self.stop_loss is None and self.take_profit is None and self.trailing_stop is None)


class Ended(NamedTuple):
    """The trades that ended at one bar: asset, bar of entry, prices, units, and a place in REASONS, each [K]."""

    asset: Places
    since: Places
    bar: int
    paid_in: FloatArray
    price: FloatArray
    units: FloatArray
    reason: Places


@dataclass(slots=True, eq=False)
class Book:
    """The state after a bar, and what was written down before it."""

    signals: Signals
    bars: Bars
    rules: Rules
    cash: float
    units: FloatArray = field(init=False)
    paid_in: FloatArray = field(init=False)
    best: FloatArray = field(init=False)
    since: Places = field(init=False)
    due: Places = field(init=False)
    positions: FloatArray = field(init=False)
    money: FloatArray = field(init=False)
    traded: FloatArray = field(init=False)
    ended: list[Ended] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, assets = self.bars.closes.shape
        self.units, self.paid_in, self.best = (np.zeros(assets) for _ in range(3))
        self.since, self.due = np.zeros(assets, dtype=np.intp), np.full(assets, _NOT, dtype=np.intp)
        self.positions = np.zeros((rows, assets))
        self.money, self.traded = np.full(rows, self.cash), np.zeros(rows)

    def keep(self) -> None:
        """Every bar from the second one on."""
        with np.errstate(invalid="ignore", over="ignore"):  # levels of assets that aren't held
            self._keep()

    def waits(self) -> bool:
        """Whether something that was decided by the last bar has no bar to be filled at."""
        asked, units = self.signals, self.units
        enters = (asked.entries[-1] | asked.short_entries[-1]) & (units == 0.0)
        leaves = np.where(units > 0.0, asked.exits[-1], asked.short_exits[-1]) & (units != 0.0)
        return bool((enters | leaves | (self.due >= 0)).any())

    def _keep(self) -> None:
        asked, intraday = self.signals.asked(), self.rules.watched and self.bars.highs is not None
        for bar in range(1, len(self.money)):
            if intraday and not self.bars.at_open:
                self._watch_bar(bar)
            if asked[bar - 1] or self.rules.max_bars is not None or (self.due >= 0).any():
                self._trade(bar)
            if intraday and self.bars.at_open:
                self._watch_bar(bar)
            if self.rules.watched:
                self._end_bar(bar)
            self.positions[bar], self.money[bar] = self.units, self.cash
        self._value_open(len(self.money) - 1)

    def _trade(self, bar: int) -> None:
        """What was decided by the bar before: first out, then in."""
        row, asked = bar - 1, self.signals
        out = np.where(self.units > 0.0, asked.exits[row], asked.short_exits[row]) & (self.units != 0.0)
        reason = np.where(self.due >= 0, self.due, np.where(out, EXIT, _NOT))
        if self.rules.max_bars is not None:
            over = (self.units != 0.0) & (bar - self.since >= self.rules.max_bars)
            reason = np.where((reason < 0) & over, TIME, reason)
        self.due[:] = _NOT
        side = np.sign(self.units)
        self._leave(bar, reason=reason, price=self.bars.fills[bar])
        self._enter(bar, left=side)

    def _leave(self, bar: int, *, reason: Places, price: FloatArray) -> None:
        who = np.flatnonzero(reason >= 0)
        if not who.size:
            return
        units, out = self.units[who], price[who]
        value = units * out
        self._pay(bar, bought=-float(value.sum()), value=float(np.abs(value).sum()))
        self._write_down(who, bar=bar, price=out, reason=reason[who])
        self.units[who] = 0.0

    def _enter(self, bar: int, *, left: FloatArray) -> None:
        """Entries where nothing is held; a side that was `left` at this very fill is not entered again."""
        row, asked, price, flat = bar - 1, self.signals, self.bars.fills[bar], self.units == 0.0
        long = asked.entries[row] & flat & (left <= 0.0)
        short = asked.short_entries[row] & flat & (left >= 0.0)
        self._pass_over("both sides at once", int(np.count_nonzero(long & short)))
        who = np.flatnonzero(long ^ short)
        priced = price[who] > 0.0
        self._pass_over("no price at their fill", int(np.count_nonzero(~priced)))
        who = who[priced]
        if not who.size:
            return
        stake, most = self._stake(price)
        self._pass_over("no slot or money left", max(who.size - most, 0))
        who = who[:most]
        paid = price[who]
        units = np.where(short[who], -stake, stake) / paid
        self.units[who], self.paid_in[who], self.best[who], self.since[who] = units, paid, paid, bar
        self._pay(bar, bought=float(units @ paid), value=stake * who.size)

    def _stake(self, price: FloatArray) -> tuple[float, int]:
        """The value of one entry, its own costs left out, and how many of them can be paid."""
        rules, held = self.rules, np.abs(self.units) @ price
        equity = self.cash + float(self.units @ price)
        with_costs = 1.0 + rules.leverage * rules.rate
        budget = (rules.leverage * equity - float(held)) / with_costs
        if budget <= _DUST * equity or equity <= 0.0:
            return 0.0, 0
        if rules.size == "slots":
            free = int(rules.amount) - int(np.count_nonzero(self.units))
            return budget / max(free, 1), free
        stake = rules.amount * (equity if rules.size == "share" else 1.0) / with_costs
        return stake, int(budget / stake * (1.0 + 1e-12))

    def _watch_bar(self, bar: int) -> None:
        """Stops inside the bar: at their own level, or at the open where that is already beyond it."""
        highs, lows, opens = self.bars.highs, self.bars.lows, self.bars.opens
        assert highs is not None
        assert lows is not None
        assert opens is not None
        held = (self.units != 0.0) & (self.since < bar)
        if not held.any():
            return
        side = np.sign(self.units)
        worst, finest = np.where(side > 0, lows[bar], highs[bar]), np.where(side > 0, highs[bar], lows[bar])
        low, trails, high, start = *self._levels(side), opens[bar]
        stopped = held & (side * worst <= side * low)
        hit = held & (side * finest >= side * high) & (~stopped | (side * start >= side * high))
        reason = np.where(hit, TARGET, np.where(stopped, np.where(trails, TRAILING, STOP), _NOT))
        at_stop, at_target = side * np.minimum(side * start, side * low), side * np.maximum(side * start, side * high)
        self._leave(bar, reason=reason, price=np.where(hit, at_target, at_stop))

    def _end_bar(self, bar: int) -> None:
        """The best price so far; without highs and lows also what the close has hit, to be filled as a signal is."""
        side, bars = np.sign(self.units), self.bars
        held = side != 0.0
        if bars.highs is None or bars.lows is None:
            close = bars.closes[bar]
            low, trails, high = self._levels(side)
            seen = held & (self.since < bar)
            stopped = seen & (side * close <= side * low)
            self.due[:] = np.where(stopped, np.where(trails, TRAILING, STOP), _NOT)
            self.due[seen & ~stopped & (side * close >= side * high)] = TARGET
            finest = close
        else:
            held &= (self.since < bar) | bars.at_open
            finest = np.where(side > 0, bars.highs[bar], bars.lows[bar])
        self.best = np.where(held, side * np.maximum(side * self.best, side * finest), self.best)

    def _levels(self, side: FloatArray) -> tuple[FloatArray, Bools, FloatArray]:
        """The nearer of stop and trailing stop [A], where it is the trailing one, and the target [A]."""
        rules, never = self.rules, np.where(side > 0.0, -np.inf, np.inf)
        stop = never if rules.stop_loss is None else self.paid_in * (1.0 - side * rules.stop_loss)
        trail = never if rules.trailing_stop is None else self.best * (1.0 - side * rules.trailing_stop)
        trails = side * trail > side * stop
        target = -never if rules.take_profit is None else self.paid_in * (1.0 + side * rules.take_profit)
        return np.where(trails, trail, stop), trails, target

    def _pay(self, bar: int, *, bought: float, value: float) -> None:
        self.cash -= bought + self.rules.rate * value
        self.traded[bar] += value
        if self.cash < 0.0 and -self.cash <= _DUST * value:
            self.cash = 0.0

    def _write_down(self, who: Places, *, bar: int, price: FloatArray, reason: Places) -> None:
        self.ended.append(Ended(who, self.since[who], bar, self.paid_in[who], price, self.units[who], reason))

    def _value_open(self, bar: int) -> None:
        who = np.flatnonzero(self.units != 0.0)
        if who.size:
            self._write_down(who, bar=bar, price=self.bars.closes[bar][who], reason=np.full(who.size, END))

    def _pass_over(self, why: str, count: int) -> None:
        if count:
            self.passed_over[why] = self.passed_over.get(why, 0) + count
