"""A user's own strategy file, run in a process of its own: what it decides, and whether it looks ahead."""

from __future__ import annotations

from tidewright.portfolio.strategy.check import StrategyCheck, check_strategy
from tidewright.portfolio.strategy.process import Answer, Isolation, StrategyProcess, open_strategy
from tidewright.portfolio.strategy.template import TEMPLATE
from tidewright.portfolio.strategy.weights import Plan, decide_weights

__all__ = [
    "TEMPLATE",
    "Answer",
    "Isolation",
    "Plan",
    "StrategyCheck",
    "StrategyProcess",
    "check_strategy",
    "decide_weights",
    "open_strategy",
]
