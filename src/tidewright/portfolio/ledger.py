"""The account of a backtest: what was held, traded, paid and owned at every bar."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tidewright.errors import AllocationError
from tidewright.metrics.returns import RETURN_METRICS, Holdings, Sample
from tidewright.portfolio.inputs import FloatArray, TimeArray, name_time


class Book(Protocol):
    """Units held and traded and the prices that value them, each [T, A]."""

    @property
    def positions(self) -> FloatArray:
        """Units held after the close of each bar."""
        ...

    @property
    def trades(self) -> FloatArray:
        """Units bought (+) or sold (-) at each bar; a split changes positions without a trade."""
        ...

    @property
    def prices(self) -> FloatArray:
        """The closes that value the positions; any number, or NaN, where nothing is held."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class HeldBook:
    """A book that is written out: three read-only arrays [T, A]."""

    positions: FloatArray
    trades: FloatArray
    prices: FloatArray

    def __post_init__(self) -> None:
        for name in ("positions", "trades", "prices"):
            locked = getattr(self, name).view()
            locked.flags.writeable = False
            object.__setattr__(self, name, locked)


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """Shares of equity at each bar [T]: `gross` is long plus short, `net` long minus short."""

    gross: FloatArray
    net: FloatArray


def _nothing() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """T bars of A assets, as they stand after the close of each bar; money in the prices' currency.

    `book` has what is held and traded. costs: money paid for trading at the bar, never negative [T], of which `spread`
    is the half spread, `impact` the market impact and the rest fees. cash [T], below zero where money is borrowed.
    equity: cash + sum of positions times closes [T]. turnover: half of the value traded at the bar over the equity
    just before the trade [T]. `borrow` is what short positions paid, never negative, `interest` what cash earned,
    `dividends` what positions were paid (below zero: what shorts owed), `unfilled` the value of orders that the bar's
    volume or the cash did not fill: all money [T], 0 where not told. From bar to bar, cash changes by
    -(value bought less value sold) - costs - borrow + interest + dividends.

    `first_fill` is the row of the first trade, None where nothing was traded; `ended` the row at whose close equity
    was gone and the account was closed, None where it was not. `notes` say what the reader should know. All arrays are
    read-only.
    """

    times: TimeArray
    assets: tuple[str, ...]
    book: Book
    costs: FloatArray
    cash: FloatArray
    equity: FloatArray
    turnover: FloatArray
    first_fill: int | None
    notes: tuple[str, ...] = ()
    spread: FloatArray = field(default_factory=_nothing)
    impact: FloatArray = field(default_factory=_nothing)
    borrow: FloatArray = field(default_factory=_nothing)
    interest: FloatArray = field(default_factory=_nothing)
    dividends: FloatArray = field(default_factory=_nothing)
    unfilled: FloatArray = field(default_factory=_nothing)
    ended: int | None = None

    def __post_init__(self) -> None:
        for name in ("spread", "impact", "borrow", "interest", "dividends", "unfilled"):
            if getattr(self, name).size == 0:
                object.__setattr__(self, name, np.zeros(self.times.size))
            getattr(self, name).flags.writeable = False
        for name in ("times", "costs", "cash", "equity", "turnover"):
            getattr(self, name).flags.writeable = False

    def __repr__(self) -> str:
        """The account in a line; its arrays would fill the screen."""
        told = f"{self.times.size} bars of {len(self.assets)} assets"
        if self.times.size:
            told += f", {name_time(self.times, row=0)} to {name_time(self.times, row=-1)}: equity "
            told += f"{self.equity[0]:,.2f} to {self.equity[-1]:,.2f}, costs {self.costs.sum():,.2f}"
        return f"Ledger({told}, {len(self.notes)} notes)"

    @property
    def positions(self) -> FloatArray:
        """Units held after the close of each bar [T, A]."""
        return self.book.positions

    @property
    def trades(self) -> FloatArray:
        """Units bought (+) or sold (-) at each bar [T, A]."""
        return self.book.trades

    @property
    def weights(self) -> FloatArray:
        """The share of equity in each asset [T, A], below zero for a short; what is missing to one is cash."""
        units = self.book.positions
        worth = np.multiply(units, self.book.prices, out=np.zeros_like(units), where=units != 0.0)
        worth /= np.where(self.equity == 0.0, 1.0, self.equity)[:, None]
        return worth

    def exposure(self) -> Exposure:
        """Gross and net exposure at each bar, as shares of equity."""
        weights = self.weights
        return Exposure(gross=np.abs(weights).sum(axis=1), net=weights.sum(axis=1))

    def net_returns(self) -> FloatArray:
        """Simple returns of equity after costs, one a bar, from the first trade on (it pays the entry).

        The bars before the first decision could be filled are no part of the strategy and are left out, as are those
        after the account has ended; the return that ended it is -1, whatever was owed beyond that.
        """
        start = 1 if self.first_fill is None else self.first_fill
        stop = self.equity.size if self.ended is None else self.ended + 1
        returns = self.equity[start:stop] / self.equity[start - 1 : stop - 1] - 1.0
        return returns if self.ended is None else np.maximum(returns, -1.0)

    def turnover_per_year(self, *, periods_per_year: float) -> float:
        """One-way turnover a year: the sum of `turnover` after the entry over the years; nan without a trade.

        One means that in a year as much is sold, and bought again, as the portfolio is worth. The purchase
        that builds the portfolio from cash is not counted (its cost is).
        """
        bars = self.net_returns().size
        if self.first_fill is None or bars == 0:
            return math.nan
        return float(self.turnover[self.first_fill + 1 :].sum() * periods_per_year / bars)

    def summary(self, *, periods_per_year: float, risk_free: float = 0.0) -> dict[str, float]:
        """Every figure of `RETURN_METRICS` that needs no benchmark, on the net returns; nan where undefined.

        `risk_free` is a return per period. `turnover` is one-way a year, `costs` the money paid over all
        bars, `cost_drag` the same as a fraction of mean equity a year, `gross_exposure` and `net_exposure` the mean
        sum of the weights' sizes and of the weights, `periods` the number of net returns.
        """
        returns = self.net_returns()
        if returns.size == 0:
            raise AllocationError("the ledger has one bar and no return. Bring at least two bars of prices.")
        first = 1 if self.first_fill is None else self.first_fill
        bars = slice(first, first + returns.size)
        traded = np.concatenate(([0.0], self.turnover[bars][1:]))  # the entry is no turnover
        held = Holdings(self.weights[bars], traded, self.costs, self.equity[bars])
        sample = Sample.read(returns, periods_per_year=periods_per_year, risk_free=risk_free, holdings=held)
        figures = {one.name: float(one.compute(sample)) for one in RETURN_METRICS.values() if one.of != "benchmark"}
        return figures | {
            "turnover": self.turnover_per_year(periods_per_year=periods_per_year),
            "costs": float(self.costs.sum()),
            "periods": float(returns.size),
        }
