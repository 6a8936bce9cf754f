"""Sample covariance drawn towards a simpler matrix by a weight that the data give. T bars, A assets.

Each takes returns [T, A] and gives covariances [A, A] and notes. The sample covariance here divides by T, as the papers
and scikit-learn do.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray

Target = Literal["constant_correlation", "identity"]


def ledoit_wolf(returns: FloatArray, *, target: Target = "constant_correlation") -> tuple[FloatArray, tuple[str, ...]]:
    """Sample covariance shrunk to one correlation for all pairs, or to a multiple of the identity.

    "constant_correlation" keeps each asset's variance: Ledoit and Wolf 2004, Honey, I Shrunk the Sample Covariance
    Matrix. "identity" draws variances to their mean as well and is what scikit-learn calls LedoitWolf: Ledoit and Wolf
    2004, A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices.
    """
    if target not in ("constant_correlation", "identity"):
        raise AllocationError(f"the target of ledoit_wolf is constant_correlation or identity; got {target!r}.")
    centred = returns - returns.mean(axis=0)
    sample = centred.T @ centred / len(centred)
    choose = _towards_one_correlation if target == "constant_correlation" else _towards_identity
    aim, share = choose(centred, sample=sample)
    return share * aim + (1.0 - share) * sample, (f"shrunk by {share:.4g} towards {target.replace('_', ' ')}",)


def oas(returns: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """Sample covariance shrunk to a multiple of the identity by the oracle approximation for normal returns.

    Source: Chen, Wiesel, Eldar and Hero 2010, Shrinkage Algorithms for MMSE Covariance Estimation, equation 23 without
    its terms in 2 / A, as in scikit-learn.
    """
    rows, assets = returns.shape
    centred = returns - returns.mean(axis=0)
    sample = centred.T @ centred / rows
    mean = np.trace(sample) / assets
    spread = np.mean(sample**2)
    below = (rows + 1.0) * (spread - mean**2 / assets)
    share = 0.0 if assets == 1 else 1.0 if below <= 0.0 else min((spread + mean**2) / below, 1.0)
    return share * mean * np.eye(assets) + (1.0 - share) * sample, (f"shrunk by {share:.4g} towards identity",)


def _towards_identity(centred: FloatArray, *, sample: FloatArray) -> tuple[FloatArray, float]:
    rows, assets = centred.shape
    aim = np.trace(sample) / assets * np.eye(assets)
    distance = float(((sample - aim) ** 2).sum())
    squares = (centred**2).sum(axis=1)
    error = (float((squares**2).sum()) / rows - float((sample**2).sum())) / rows
    return aim, _share(error, distance=distance, sample=sample)


def _towards_one_correlation(centred: FloatArray, *, sample: FloatArray) -> tuple[FloatArray, float]:
    rows, assets = centred.shape
    if assets == 1:
        return sample, 0.0
    variance = np.diag(sample)
    deviation = np.sqrt(variance)
    products = deviation * deviation[:, None]
    mean = ((sample / products).sum() - assets) / (assets * (assets - 1.0))
    aim = mean * products
    np.fill_diagonal(aim, variance)
    squares = centred**2
    errors = squares.T @ squares / rows - sample**2
    third = (squares * centred).T @ centred / rows - variance[:, None] * sample
    np.fill_diagonal(third, 0.0)
    common = np.trace(errors) + mean * float((deviation / deviation[:, None] * third).sum())
    distance = float(((sample - aim) ** 2).sum())
    return aim, _share((float(errors.sum()) - common) / rows, distance=distance, sample=sample)


def _share(error: float, *, distance: float, sample: FloatArray) -> float:
    """How much of the target: none where the sample is the target already."""
    if distance <= 1e-28 * float((sample**2).sum()):
        return 0.0
    return float(np.clip(error / distance, 0.0, 1.0))
