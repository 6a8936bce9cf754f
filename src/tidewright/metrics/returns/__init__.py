"""What a run of returns is worth: growth, risk, one for the other, and beside a benchmark.

NaN, infinite and below -1 values are a DataError that names the row: a figure never drops rows. A figure that is not
defined is nan, never infinite and never zero.
"""

from __future__ import annotations

from tidewright.metrics.returns.definitions import OBJECTIVES, RETURN_METRICS, ReturnMetric, find_return_metric
from tidewright.metrics.returns.drawdowns import Drawdown, calmar, list_drawdowns, max_drawdown
from tidewright.metrics.returns.growth import (
    cagr,
    downside_deviation,
    hit_rate,
    sharpe,
    sortino,
    total_return,
    volatility,
)
from tidewright.metrics.returns.sample import Holdings, Sample
from tidewright.metrics.returns.summary import ReturnSummary, summarise

__all__ = [
    "OBJECTIVES",
    "RETURN_METRICS",
    "Drawdown",
    "Holdings",
    "ReturnMetric",
    "ReturnSummary",
    "Sample",
    "cagr",
    "calmar",
    "downside_deviation",
    "find_return_metric",
    "hit_rate",
    "list_drawdowns",
    "max_drawdown",
    "sharpe",
    "sortino",
    "summarise",
    "total_return",
    "volatility",
]
