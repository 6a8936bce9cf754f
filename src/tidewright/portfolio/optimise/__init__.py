"""Weights as the answer of a convex problem, within limits and after costs, solved by Clarabel."""

from __future__ import annotations

from tidewright.portfolio.optimise.frontier import Frontier, frontier
from tidewright.portfolio.optimise.optimise import METHODS, Optimum, optimise
from tidewright.portfolio.optimise.read import CostBasis
from tidewright.portfolio.optimise.views import Posterior, Views, black_litterman

__all__ = [
    "METHODS",
    "CostBasis",
    "Frontier",
    "Optimum",
    "Posterior",
    "Views",
    "black_litterman",
    "frontier",
    "optimise",
]
