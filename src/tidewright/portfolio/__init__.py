"""The decision: weights from past returns and forecasts, and what they would have earned after costs."""

from __future__ import annotations

from tidewright.portfolio.allocate import (
    RULES,
    Rule,
    equal_weights,
    herc_weights,
    hrp_weights,
    inverse_variance_weights,
    nco_weights,
    risk_budget_weights,
    risk_contributions,
    risk_parity_weights,
)
from tidewright.portfolio.backtest import (
    Crossover,
    SignalBacktest,
    Trades,
    backtest_signals,
    backtest_weights,
    crossover,
    moving_average,
)
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.covariance import COVARIANCES, Covariance, estimate_covariance, repair_covariance
from tidewright.portfolio.inference import (
    DeflatedSharpe,
    Paths,
    Permutation,
    RealityCheck,
    SharpeSample,
    SuperiorAbility,
    cross_validate_paths,
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_record,
    pbo,
    permutation_test,
    probabilistic_sharpe,
    reality_check,
    sample_sharpe,
    spa,
)
from tidewright.portfolio.ledger import Book, Exposure, HeldBook, Ledger
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.lookahead import Lookahead, check_lookahead
from tidewright.portfolio.optimise import CostBasis, Frontier, Optimum, Views, black_litterman, frontier, optimise
from tidewright.portfolio.positions import Earnings, earn_positions, hold_positions
from tidewright.portfolio.rules import POSITION_RULES, PositionRule, choose_positions
from tidewright.portfolio.tilt import tilt_by_forecast
from tidewright.portfolio.universe import Universe
from tidewright.portfolio.walk import Targets, View, returns_from_prices, walk_weights
from tidewright.portfolio.weights import Weights

__all__ = [
    "COVARIANCES",
    "POSITION_RULES",
    "RULES",
    "Book",
    "CostBasis",
    "Costs",
    "Covariance",
    "Crossover",
    "DeflatedSharpe",
    "Earnings",
    "Exposure",
    "Frontier",
    "HeldBook",
    "Ledger",
    "Limits",
    "Lookahead",
    "Optimum",
    "Paths",
    "Permutation",
    "PositionRule",
    "RealityCheck",
    "Rule",
    "SharpeSample",
    "SignalBacktest",
    "SuperiorAbility",
    "Targets",
    "Trades",
    "Universe",
    "View",
    "Views",
    "Weights",
    "backtest_signals",
    "backtest_weights",
    "black_litterman",
    "check_lookahead",
    "choose_positions",
    "cross_validate_paths",
    "crossover",
    "deflated_sharpe",
    "earn_positions",
    "equal_weights",
    "estimate_covariance",
    "expected_best_sharpe",
    "frontier",
    "herc_weights",
    "hold_positions",
    "hrp_weights",
    "inverse_variance_weights",
    "minimum_track_record",
    "moving_average",
    "nco_weights",
    "optimise",
    "pbo",
    "permutation_test",
    "probabilistic_sharpe",
    "reality_check",
    "repair_covariance",
    "returns_from_prices",
    "risk_budget_weights",
    "risk_contributions",
    "risk_parity_weights",
    "sample_sharpe",
    "spa",
    "tilt_by_forecast",
    "walk_weights",
]
