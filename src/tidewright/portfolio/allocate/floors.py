"""The floors of an allocation: weights that know nothing, or variances alone. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tidewright.portfolio.allocate.risk import read_risk
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.inputs import read_assets, read_returns
from tidewright.portfolio.weights import Weights


def equal_weights(
    returns: ArrayLike | None = None, /, *, assets: Sequence[str], times: ArrayLike | None = None
) -> Weights:
    """The same weight for every asset. Returns are not needed; where given, they are checked.

    >>> equal_weights(assets=("A", "B", "C", "D")).values
    array([0.25, 0.25, 0.25, 0.25])
    """
    names = read_assets(assets, columns=len(tuple(assets)))
    if returns is not None:
        read_returns(returns, assets=names, times=times)
    return Weights(assets=names, values=np.full(len(names), 1.0 / len(names)), method="equal")


def inverse_variance_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
) -> Weights:
    """Weights in proportion to one over the variance (None: the sample's, ddof = 1), correlations ignored.

    >>> inverse_variance_weights([[0.1, 0.2], [-0.1, -0.2]], assets=("calm", "wild")).values.round(6)
    array([0.8, 0.2])
    """
    matrix, notes = read_risk(returns, assets=assets, times=times, covariance=covariance)
    inverse = 1.0 / np.diag(matrix)
    return Weights(assets=tuple(assets), values=inverse / inverse.sum(), method="inverse_variance", notes=notes)
