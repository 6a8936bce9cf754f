"""Ledgers of accounts that were kept bar by bar, with notes on what happened. T bars, S accounts, A assets."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.backtest.checks import find_jumps, tell_jumps
from tidewright.portfolio.backtest.loop import Run
from tidewright.portfolio.backtest.market import Market
from tidewright.portfolio.inputs import FloatArray, name_time
from tidewright.portfolio.ledger import Ledger


@dataclass(frozen=True, slots=True, eq=False)
class BarBook:
    """Units as they were kept; trades are what changed them but for splits. [T, A] each."""

    positions: FloatArray
    prices: FloatArray
    splits: FloatArray | None
    _kept: dict[str, FloatArray] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("positions", "prices"):
            locked = getattr(self, name).view()
            locked.flags.writeable = False
            object.__setattr__(self, name, locked)

    @property
    def trades(self) -> FloatArray:
        """Units bought (+) or sold (-) at each bar [T, A]."""
        if "trades" not in self._kept:
            traded = self.positions.copy()
            traded[1:] -= self.positions[:-1] if self.splits is None else self.positions[:-1] * self.splits[1:]
            traded.flags.writeable = False
            self._kept["trades"] = traded
        return self._kept["trades"]


def tell_ledgers(run: Run, *, notes: list[tuple[str, ...]]) -> list[Ledger]:
    """The ledger of each account, whose `notes` so far are given."""
    market = run.market
    jumps = find_jumps(market.closes)
    if market.events is not None and market.events.splits is not None:
        jumps = jumps[market.events.splits[jumps[:, 0], jumps[:, 1]] == 1.0]
    ledgers = []
    for account in range(run.cash.size):
        flows = {name: values[account] for name, values in run.flows.items()}
        _check_finite(flows["equity"], market=market)
        positions, traded = run.positions[account], np.flatnonzero(flows["turnover"])
        held = jumps[positions[jumps[:, 0] - 1, jumps[:, 1]] != 0.0]
        if market.events is not None:
            held = held[held[:, 0] != market.events.delisted[held[:, 1]]]
        told = (*notes[account], *tell_jumps(held, closes=market.closes, assets=market.assets, stamps=market.stamps))
        ledgers.append(
            Ledger(
                times=market.stamps.copy(),
                assets=market.assets,
                book=BarBook(positions, market.closes, None if market.events is None else market.events.splits),
                first_fill=int(traded[0]) if traded.size else None,
                ended=int(run.ended[account]) if run.ended[account] < market.stamps.size else None,
                notes=(*told, *_tell_account(run, account=account)),
                **flows,
            )
        )
    return ledgers


def _tell_account(run: Run, *, account: int) -> list[str]:
    market, notes = run.market, []
    short = np.flatnonzero(run.flows["unfilled"][account])
    if short.size:
        what = "carried to the next bar" if run.carry else "dropped"
        notes.append(
            f"bars that left orders unfilled for want of volume or cash: {short.size}, the first at "
            f"{name_time(market.stamps, row=int(short[0]))}; what was left was {what}"
        )
    beyond = np.flatnonzero(run.beyond[account])
    if beyond.size:
        notes.append(
            f"bars that filled more than the whole volume of an asset: {beyond.size}, the first at "
            f"{name_time(market.stamps, row=int(beyond[0]))}: check that volumes are in units, or cap orders by "
            "max_participation"
        )
    notes.extend(_tell_delistings(run, account=account))
    ended = int(run.ended[account])
    if ended < market.stamps.size:
        equity = run.flows["equity"][account, ended]
        notes.append(
            f"the equity is used up at {name_time(market.stamps, row=ended)}, where it is {equity:,.2f}: the account "
            "was closed there, and its return of that bar is told as -100 %"
        )
    return notes


def _tell_delistings(run: Run, *, account: int) -> list[str]:
    market = run.market
    notes: list[str] = []
    if market.events is None:
        return notes
    for asset, row in ((asset, int(row)) for asset, row in enumerate(market.events.delisted)):
        if 0 < row < market.stamps.size and run.positions[account, row - 1, asset] != 0.0:
            notes.append(
                f"{market.assets[asset]!r} is delisted at {name_time(market.stamps, row=row)}: what was held was paid "
                f"out at {market.closes[row, asset]:.6g} a unit"
            )
    return notes


def _check_finite(equity: FloatArray, *, market: Market) -> None:
    wrong = np.flatnonzero(~np.isfinite(equity))
    if wrong.size:
        row = int(wrong[0])
        raise AllocationError(
            f"equity at {name_time(market.stamps, row=row)} is {equity[row]}: the prices up to there grow or shrink "
            "beyond what numbers can hold. Check them for errors of scale."
        )
