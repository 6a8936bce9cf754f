"""Returns of known volatility."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def garch_returns(rows: int, *, assets: int = 1, seed: int = 0, omega: float = 2e-6, alpha: float = 0.08) -> Floats:
    """Returns [T, A] of GARCH(1,1) with beta 0.9, mean 0.0005 and normal shocks."""
    draw = np.random.default_rng(seed)
    variance = np.full(assets, omega / (0.1 - alpha))
    returns = np.empty((rows, assets))
    for row in returns:
        shocks = np.sqrt(variance) * draw.standard_normal(assets)
        row[:] = 0.0005 + shocks
        variance = omega + alpha * shocks**2 + 0.9 * variance
    return returns


def name(count: int) -> tuple[str, ...]:
    return tuple(f"A{number}" for number in range(count))
