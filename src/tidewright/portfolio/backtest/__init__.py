"""Backtests: from target weights, or signals, to a ledger that balances at every bar."""

from __future__ import annotations

from tidewright.portfolio.backtest.weights import backtest_weights

__all__ = ["backtest_weights"]
