"""Backtests: from target weights, or signals, to a ledger that balances at every bar."""

from __future__ import annotations

from tidewright.portfolio.backtest.actions import Actions, Delisting
from tidewright.portfolio.backtest.capacity import Capacity, capacity
from tidewright.portfolio.backtest.crossover import Crossover, crossover, moving_average
from tidewright.portfolio.backtest.rebalance import Rebalance
from tidewright.portfolio.backtest.signals import SignalBacktest, backtest_signals
from tidewright.portfolio.backtest.trades import Trades
from tidewright.portfolio.backtest.weights import backtest_strategies, backtest_weights

__all__ = [
    "Actions",
    "Capacity",
    "Crossover",
    "Delisting",
    "Rebalance",
    "SignalBacktest",
    "Trades",
    "backtest_signals",
    "backtest_strategies",
    "backtest_weights",
    "capacity",
    "crossover",
    "moving_average",
]
