"""The line of the CAPM: what returns have of a benchmark's, and what they have beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDING = 8 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False, slots=True)
class Line:
    """r - f = alpha + beta (b - f) + error by least squares, per period, with classical standard errors."""

    alpha: Floats
    beta: Floats
    alpha_error: Floats
    beta_error: Floats


def fit_line(ours: Floats, theirs: Floats) -> Line:
    """The least squares line of excess returns on the benchmark's, both [..., T] (residual ddof = 2).

    nan where the benchmark doesn't vary.
    Source: Sharpe 1964, Capital Asset Prices; Jensen 1968 for alpha.
    """
    count, mean = theirs.shape[-1], theirs.mean(axis=-1)
    apart = theirs - mean[..., None]
    square = count * varies(theirs) ** 2
    beta = (apart * (ours - ours.mean(axis=-1, keepdims=True))).sum(axis=-1) / square
    alpha = ours.mean(axis=-1) - beta * mean
    left = ours - alpha[..., None] - beta[..., None] * theirs
    noise = (left**2).sum(axis=-1) / (count - 2) if count > 2 else np.full(beta.shape, np.nan)
    return Line(
        alpha=alpha[()],
        beta=beta[()],
        alpha_error=np.asarray(np.sqrt(noise * (1.0 / count + mean**2 / square)))[()],
        beta_error=np.asarray(np.sqrt(noise / square))[()],
    )


def varies(values: Floats) -> Floats:
    """The deviation over the last axis (ddof = 0), nan where it is no more than rounding."""
    spread = np.asarray(values.std(axis=-1))
    return np.where(spread > ROUNDING, spread, np.nan)[()]
