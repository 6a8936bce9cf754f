"""The account of a backtest: what was held, traded, paid and owned at every bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tidewright.errors import AllocationError
from tidewright.metrics.returns import RETURN_METRICS, Holdings, Sample
from tidewright.portfolio.inputs import FloatArray, TimeArray


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """T bars of A assets, as they stand after the close of each bar; money in the prices' currency.

    positions: units held [T, A]. trades: units bought (+) or sold (-) at the bar [T, A]. costs: money paid
    for trading at the bar, never negative [T]. cash [T]. equity: cash + sum of positions times closes [T].
    weights: share of equity in each asset [T, A]; what is missing to one is cash. turnover: half of the
    value traded at the bar over the equity just before the trade [T]. `first_fill` is the row of the first
    trade, None where nothing was traded. `notes` say what the reader should know. All arrays are read-only.
    """

    times: TimeArray
    assets: tuple[str, ...]
    positions: FloatArray
    trades: FloatArray
    costs: FloatArray
    cash: FloatArray
    equity: FloatArray
    weights: FloatArray
    turnover: FloatArray
    first_fill: int | None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("times", "positions", "trades", "costs", "cash", "equity", "weights", "turnover"):
            getattr(self, name).flags.writeable = False

    def net_returns(self) -> FloatArray:
        """Simple returns of equity after costs, one a bar, from the first trade on (it pays the entry).

        The bars before the first decision could be filled are no part of the strategy and are left out.
        """
        start = 1 if self.first_fill is None else self.first_fill
        return self.equity[start:] / self.equity[start - 1 : -1] - 1.0

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
        bars = slice(self.equity.size - returns.size, None)
        traded = np.concatenate(([0.0], self.turnover[bars][1:]))  # the entry is no turnover
        held = Holdings(self.weights[bars], traded, self.costs, self.equity[bars])
        sample = Sample.read(returns, periods_per_year=periods_per_year, risk_free=risk_free, holdings=held)
        figures = {one.name: float(one.compute(sample)) for one in RETURN_METRICS.values() if one.of != "benchmark"}
        return figures | {
            "turnover": self.turnover_per_year(periods_per_year=periods_per_year),
            "costs": float(self.costs.sum()),
            "periods": float(returns.size),
        }
