"""`calculate_var` and `calculate_cvar` as the technology guide has them: of one series, with the return's sign."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, read_matrix
from tidewright.portfolio.risk.measure import check_confidence
from tidewright.portfolio.risk.read import refuse_returns


def calculate_var(returns: ArrayLike, confidence: float = 0.95) -> float:
    """The return [T] that is undershot with a probability of 1 - confidence: a loss is negative.

    The sample's percentile, with linear interpolation. `value_at_risk` has the other sign, no interpolation, and many
    assets.

    >>> round(calculate_var(np.arange(-50, 51) / 1000, confidence=0.95), 6)
    -0.045
    """
    check_confidence(confidence)
    return float(np.percentile(_read_one(returns), (1.0 - confidence) * 100.0))


def calculate_cvar(returns: ArrayLike, confidence: float = 0.95) -> float:
    """The mean of the returns [T] at or below `calculate_var`: a loss is negative.

    >>> round(calculate_cvar(np.arange(-50, 51) / 1000, confidence=0.95), 6)
    -0.0475
    """
    values = _read_one(returns)
    return float(values[values <= calculate_var(values, confidence)].mean())


def _read_one(returns: ArrayLike) -> FloatArray:
    """One series of finite simple returns; a table of several assets is not pooled into one."""
    shape = np.shape(returns)
    if len(shape) == 2 and shape[1] > 1:
        raise AllocationError(
            f"returns have the shape {shape}: the percentile of {shape[1]} assets in one pool is the risk of none of "
            "them. Pass one asset's returns [T], or take tw.value_at_risk(returns, assets=...) for each of them."
        )
    values = read_matrix(np.reshape(returns, (-1, 1)), noun="returns").ravel()
    if values.size == 0:
        raise AllocationError("there are no returns. Pass one series of them.")
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise AllocationError(
            f"the return of row {int(wrong[0])} is {values[wrong[0]]} ({wrong.size} such of {values.size}). Fill or "
            "drop those rows."
        )
    refuse_returns(values[:, None], assets=("returns",), times=None)
    return values
