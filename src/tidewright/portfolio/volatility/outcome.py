"""What a fit of one asset ends in, and what stands before the first bar."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.catalog import VolatilitySpec

EARLY, WEIGHT = 75, 0.94  # arch's: so many first squares, each weighing so much of the one before


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Parameters [K], log-likelihood, backcast (a variance) and conditional variance [T] of one asset's returns; or,
    with everything empty, the `failure` in words."""

    parameters: FloatArray = field(default_factory=lambda: np.empty(0))
    log_likelihood: float = np.nan
    backcast: float = np.nan
    variance: FloatArray = field(default_factory=lambda: np.empty(0))
    failure: str = ""


def fail(why: str) -> Outcome:
    """An outcome without a model."""
    return Outcome(failure=why)


def find_fault(returns: FloatArray) -> str:
    """Why no model can be fitted to returns [T], or nothing where one can."""
    wrong = np.flatnonzero(~np.isfinite(returns))
    if wrong.size:
        first = int(wrong[0])
        return f"{wrong.size} of {returns.size} returns are no finite number, the first in row {first}"
    if returns.size < 2:
        return f"{returns.size} returns are too few"
    low, high = float(returns.min()), float(returns.max())
    if high / 2 - low / 2 <= 1e-14 * max(1.0, abs(high)):
        return f"its return is {low + 0.0:g} in all {returns.size} rows"
    with np.errstate(all="ignore"):
        spread = float(returns.std())
        square = float(np.sum((returns / spread) ** 2)) if spread > 0.0 else np.nan
    if not (np.isfinite(square) and 1e-100 < spread < 1e100):
        return f"its returns, from {low:g} to {high:g}, are beyond what can be computed with"
    return ""


def choose_backcast(spec: VolatilitySpec, shocks: FloatArray) -> float:
    """The variance before the first bar of shocks [T]; where the first ones are all zero, the mean of all squares.

    "arch" weighs the first 75 as the package does: their squares, or for tarch their sizes.
    """
    early = np.abs(shocks[:EARLY])
    if spec.backcast == "sample" or not early.any():
        return float(np.mean(shocks**2))
    weights = WEIGHT ** np.arange(early.size)
    power = spec.power or 2
    return float((np.sum(early**power * weights) / weights.sum()) ** (2 / power))
