"""How much prices move: conditional volatility by the GARCH family and EWMA, and volatility that was measured."""

from __future__ import annotations

from tidewright.portfolio.volatility.catalog import MODELS, VolatilitySpec
from tidewright.portfolio.volatility.crew import AssetFitted
from tidewright.portfolio.volatility.fit import VolatilityFit, fit_volatility
from tidewright.portfolio.volatility.forecast import VolatilityForecast
from tidewright.portfolio.volatility.ranges import range_volatility, realised_volatility

__all__ = [
    "MODELS",
    "AssetFitted",
    "VolatilityFit",
    "VolatilityForecast",
    "VolatilitySpec",
    "fit_volatility",
    "range_volatility",
    "realised_volatility",
]
