"""The backtest of the technology guide: two moving averages that cross, on the stock that it names.

The guide takes its prices from Yahoo and fills a signal at the close that made it. Here the prices are the packaged
ones, and a signal is filled at the next close, which can be traded.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import tidewright as tw
from tidewright.data.market import load_market

FAST, SLOW = 10, 50
COSTS = tw.Costs(fee_bps=5, half_spread_bps=5)


@cache
def read_apple() -> tuple[NDArray[np.float64], NDArray[np.datetime64]]:
    market = load_market()
    apple = market.filter(market["stock"] == "AAPL")
    return apple["price"].to_numpy(), apple["date"].to_numpy().astype("datetime64[D]")


def test_the_averages_cross_and_the_account_is_the_one_kept_by_hand() -> None:
    price, days = (column[-1500:] for column in read_apple())
    fast_ma, slow_ma = tw.moving_average(price, FAST), tw.moving_average(price, SLOW)
    lines = tw.crossover(fast_ma, slow_ma)
    entries, exits = lines.above, lines.below
    portfolio = tw.backtest_signals(entries, exits, price, times=days, assets=["AAPL"], costs=COSTS)
    cash, units = 1_000_000.0, 0.0
    for bar in range(1, len(price)):
        now = price[bar - FAST : bar].mean() > price[bar - SLOW : bar].mean() if bar >= SLOW else False
        then = price[bar - FAST - 1 : bar - 1].mean() > price[bar - SLOW - 1 : bar - 1].mean() if bar > SLOW else False
        if bar > SLOW and now and not then and units == 0.0:
            units, cash = cash / 1.001 / price[bar], 0.0
        elif bar > SLOW and then and not now and units > 0.0:
            cash, units = units * price[bar] * 0.999, 0.0
    assert portfolio.ledger.equity[-1] == pytest.approx(cash + units * price[-1], rel=1e-9)


def test_its_stats_are_the_figures_of_the_ledger_and_of_the_trades() -> None:
    price, days = read_apple()
    lines = tw.crossover(tw.moving_average(price, FAST), tw.moving_average(price, SLOW))
    portfolio = tw.backtest_signals(lines.above, lines.below, price, times=days, assets=["AAPL"], costs=COSTS)
    stats = portfolio.ledger.summary(periods_per_year=252) | portfolio.trades.summary()
    assert stats["trades"] == pytest.approx(int(lines.below[np.argmax(lines.above) :].sum()), abs=1)
    assert 0 < stats["max_drawdown"] < 1
    assert 0.3 < stats["win_rate"] < 0.6
    assert stats["total_return"] == pytest.approx(portfolio.ledger.equity[-1] / 1e6 - 1, rel=1e-9)
    gross = tw.backtest_signals(lines.above, lines.below, price, times=days, assets=["AAPL"], costs=tw.Costs(0, 0))
    assert gross.ledger.equity[-1] > portfolio.ledger.equity[-1]


def test_its_plots_are_a_tear_sheet_beside_holding_the_stock(tmp_path: Path) -> None:
    price, days = (column[-1500:] for column in read_apple())
    lines = tw.crossover(tw.moving_average(price, FAST), tw.moving_average(price, SLOW))
    portfolio = tw.backtest_signals(lines.above, lines.below, price, times=days, assets=["AAPL"], costs=COSTS)
    page = tw.write_tear_sheet(
        tmp_path / "averages.html",
        ledger=portfolio.ledger,
        benchmark=price,
        benchmark_name="AAPL",
        periods_per_year=252,
    )
    figures = pl.read_parquet(tmp_path / "averages_data" / "figures.parquet")
    names = ("sharpe", "max_drawdown", "total_return")
    shown = {name: figures.filter(strategy="strategy", figure=name)["value"].item() for name in names}
    stats = portfolio.ledger.summary(periods_per_year=252)
    assert shown == pytest.approx({name: stats[name] for name in names}, rel=1e-9)
    assert page.stat().st_size > 100_000
