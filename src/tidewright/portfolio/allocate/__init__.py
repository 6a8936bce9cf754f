"""From past returns to weights: rules by name, and the door to all of them."""

from __future__ import annotations

from tidewright.portfolio.allocate.budget import risk_budget_weights, risk_parity_weights
from tidewright.portfolio.allocate.catalog import RULES, Rule
from tidewright.portfolio.allocate.floors import equal_weights, inverse_variance_weights
from tidewright.portfolio.allocate.herc import herc_weights
from tidewright.portfolio.allocate.hrp import hrp_weights
from tidewright.portfolio.allocate.nco import nco_weights
from tidewright.portfolio.allocate.risk import risk_contributions

__all__ = [
    "RULES",
    "Rule",
    "equal_weights",
    "herc_weights",
    "hrp_weights",
    "inverse_variance_weights",
    "nco_weights",
    "risk_budget_weights",
    "risk_contributions",
    "risk_parity_weights",
]
