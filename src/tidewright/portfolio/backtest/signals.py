"""From signals to a ledger: enter and leave one bar after the signal, end at a stop, a target, or after some time.

T bars, A assets, K trades. The rules, each stated once:

- A signal of bar t is known at its close and filled at bar t + 1, at its close or its open. One of the last bar has no
  bar to be filled at and is noted.
- An entry counts where the asset is flat at its fill; what is held is not added to. An exit counts where it is held.
- An exit and an entry of one bar and side: the exit counts, and nothing is entered. A long exit and a short entry of
  one bar turn the position. A long and a short entry of one bar: neither counts, and a note counts them.
- Stops and targets are watched from the bar after the fill. With highs, lows and opens they are filled inside the bar
  at their own level, or at the open where the bar opens beyond it. Where both lie within one bar, the stop counts,
  but for a bar that opens beyond the target. Without them they are watched at closes, and what a close has hit is
  filled at the next bar, as a signal is.
- A trailing stop follows the best price since the fill, up to the bar before.
- `max_bars` after its fill a position is closed by the fill of that bar.
- A stake holds its own costs. Cash never goes below zero, but where a short position is bought back for more than there
  is, or `max_leverage` is above one; a note says how far.
- What is open at the last bar stays, valued at its close.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.signal_book import Book, Rules, Signals, Size
from tidewright.portfolio.backtest.signal_inputs import Frame, check_rules, read_frame, read_rate, widen
from tidewright.portfolio.backtest.trades import REASONS, Trades
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.inputs import name_time, read_matrix
from tidewright.portfolio.labels import name_assets
from tidewright.portfolio.ledger import HeldBook, Ledger


@dataclass(frozen=True, slots=True, eq=False)
class SignalBacktest:
    """What signals would have earned: the account at every bar, and every trade from its entry to its exit.

    A ledger's `trades` are the units that each bar added up to; an asset that was left and entered again within a bar
    shows the sum there, and two rows in `trades` here.
    """

    ledger: Ledger
    trades: Trades


def backtest_signals(
    entries: ArrayLike,
    exits: ArrayLike,
    prices: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str],
    costs: Costs,
    fill: Literal["next close", "next open"] = "next close",
    opens: ArrayLike | None = None,
    highs: ArrayLike | None = None,
    lows: ArrayLike | None = None,
    stop_loss: float | None = None,
    take_profit: float | None = None,
    trailing_stop: float | None = None,
    max_bars: int | None = None,
    size: Size = "slots",
    amount: float | None = None,
    short_entries: ArrayLike | None = None,
    short_exits: ArrayLike | None = None,
    max_leverage: float = 1.0,
    initial_cash: float = 1_000_000.0,
) -> SignalBacktest:
    """The account and the trades of signals [T, A] on prices [T, A], or [T] of one asset, by this file's rules.

    Signals are true or false; a NaN is refused by its asset and date. `prices` are closes, adjusted for splits and
    dividends; a NaN price can't be traded: an entry there is passed over and counted in the notes, and a price that is
    missing while the asset is held is an error. `highs`, `lows` and `opens` come together, or opens alone to fill at.

    stop_loss, take_profit, trailing_stop: fractions of the price of the fill (the last of the best price since);
    `max_bars`: bars after the fill. size: "slots" splits what is free into equal parts, `amount` of them at most (one
    an asset unless given); "money" puts `amount` into each entry; "share" that fraction of the equity. Where entries of
    one bar are more than can be paid, those of the first columns are made and the others counted in the notes.
    `max_leverage` bounds the sum of all positions, long and short, in parts of the equity, at each entry.

    >>> days = np.arange("2024-01-01", "2024-01-06", dtype="datetime64[D]")
    >>> closes = [10.0, 10.0, 12.0, 15.0, 15.0]
    >>> entries, exits = [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]
    >>> free = Costs(fee_bps=0, half_spread_bps=0)
    >>> done = backtest_signals(entries, exits, closes, times=days, assets=("A",), costs=free, initial_cash=100.0)
    >>> done.ledger.equity.tolist(), done.trades.profit.tolist(), done.trades.ended.tolist()
    ([100.0, 100.0, 120.0, 150.0, 150.0], [50.0], ['exit'])
    """
    closes = read_matrix(widen(prices), noun="prices")
    assets = name_assets(prices, assets, noun="prices")
    frame = read_frame(times, assets=assets, shape=closes.shape)
    bars = frame.read_bars(closes, fill=fill, opens=opens, highs=highs, lows=lows)
    leave, cover = frame.read_signals(exits, noun="exit"), frame.read_signals(short_exits, noun="short exit")
    signals = Signals(
        frame.read_signals(entries, noun="entry") & ~leave,
        leave,
        frame.read_signals(short_entries, noun="short entry") & ~cover,
        cover,
    )
    if amount is None and size == "slots":
        amount = float(closes.shape[1])
    rules = Rules(stop_loss, take_profit, trailing_stop, max_bars, size, amount or 0.0, max_leverage, read_rate(costs))
    check_rules(rules, amount=amount)
    if not (math.isfinite(initial_cash) and initial_cash > 0.0):
        raise AllocationError(f"initial_cash is {initial_cash}; it is a finite amount above zero.")
    book = Book(signals, bars, rules, float(initial_cash))
    book.keep()
    frame.check_held(book)
    return SignalBacktest(_tell_ledger(frame, book, costs=costs), _tell_trades(frame, book))


def _tell_ledger(frame: Frame, book: Book, *, costs: Costs) -> Ledger:
    worth = book.positions * book.bars.closes
    equity = book.money + worth.sum(axis=1)
    lost = np.flatnonzero(~np.isfinite(equity) | (equity <= 0.0))
    if lost.size:
        raise AllocationError(
            f"equity at {name_time(frame.times, row=int(lost[0]))} is {equity[lost[0]]:g}: the positions lose all "
            "there is. Lower max_leverage or the stakes of short entries, or check the prices."
        )
    paid = book.rules.rate * book.traded
    traded = np.flatnonzero(book.traded)
    trades = np.diff(book.positions, axis=0, prepend=np.zeros((1, len(frame.assets))))
    return Ledger(
        times=frame.times.copy(),
        assets=frame.assets,
        book=HeldBook(book.positions, trades, book.bars.closes),
        costs=paid,
        cash=book.money,
        equity=equity,
        turnover=book.traded / 2.0 / (equity + paid),
        first_fill=int(traded[0]) if traded.size else None,
        notes=_notes(frame, book, filled=traded.size > 0),
        spread=costs.half_spread_bps / 10_000.0 * book.traded,
    )


def _notes(frame: Frame, book: Book, *, filled: bool) -> tuple[str, ...]:
    notes = [f"entries passed over, {why}: {count}" for why, count in book.passed_over.items()]
    if book.waits():
        last = name_time(frame.times, row=len(frame.times) - 1)
        notes.append(f"the signals of the last bar, {last}, have no bar to be filled at")
    if not filled:
        notes.append("no entry was filled: all is cash throughout")
    lowest = int(np.argmin(book.money))
    if book.money[lowest] < 0.0:
        when = name_time(frame.times, row=lowest)
        notes.append(f"cash goes down to {book.money[lowest]:,.2f} at {when}: that is borrowed, without interest")
    return tuple(notes)


def _tell_trades(frame: Frame, book: Book) -> Trades:
    asset, entered, start, end, units, why = (
        np.concatenate([getattr(one, name) for one in book.ended] or [np.empty(0, dtype=kind)])
        for name, kind in _COLUMNS.items()
    )
    left = np.repeat([one.bar for one in book.ended], [one.asset.size for one in book.ended]).astype(np.intp)
    closed = np.where(np.array(REASONS)[why] == "end", 0.0, end)
    return Trades(
        asset=np.array(frame.assets)[asset],
        entered=frame.times[entered],
        left=frame.times[left],
        entry_price=start,
        exit_price=end,
        units=units,
        profit=units * (end - start) - book.rules.rate * np.abs(units) * (start + closed),
        ended=np.array(REASONS)[why],
    )


_COLUMNS: dict[str, type] = {
    "asset": np.intp,
    "since": np.intp,
    "paid_in": np.float64,
    "price": np.float64,
    "units": np.float64,
    "reason": np.intp,
}
