"""Covariances by weighted sums: the sample's, and that of the latest bars. T bars, A assets.

Each takes returns [T, A] and gives covariances [A, A] and notes.
"""

from __future__ import annotations

import numpy as np

from tidewright.checks import check_real
from tidewright.portfolio.inputs import FloatArray


def sample(returns: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """The sample covariance (ddof = 1)."""
    return np.atleast_2d(np.cov(returns, rowvar=False)), ()


def ewma(returns: FloatArray, *, decay: float = 0.94) -> tuple[FloatArray, tuple[str, ...]]:
    """Products of returns, the newest weighing most: weights fall by `decay` a bar back and sum to one; mean zero.

    Source: RiskMetrics Technical Document 1996 (J.P. Morgan), whose decay for daily returns is 0.94.
    """
    check_real("decay", decay, words="a number above 0 and below 1 (0.94 by RiskMetrics)", low=1e-9, high=1.0 - 1e-9)
    powers = decay ** np.arange(len(returns) - 1, -1, -1, dtype=np.float64)
    weights = powers / powers.sum()
    effective = 1.0 / float((weights**2).sum())
    return (returns * weights[:, None]).T @ returns, (f"decay {decay:g}: as much as {effective:.0f} bars",)
