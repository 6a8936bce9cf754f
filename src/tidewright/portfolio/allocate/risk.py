"""What rules know of risk: the covariance that the caller asks for, and each asset's share of it. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.covariance.estimate import estimate_read, measure
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.inputs import FloatArray, read_assets, read_returns
from tidewright.portfolio.weights import Weights


def read_risk(
    returns: ArrayLike | None,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    inverted: bool = False,
) -> tuple[FloatArray, tuple[str, ...]]:
    """The covariance [A, A] for a rule, in the order of `assets`, and notes.

    `covariance` is a method of `COVARIANCES`, a `Covariance` of the same assets (then returns may be None), or None
    for the sample's. The sample covariance is repaired only for rules that need its inverse (`inverted`).
    """
    names = read_assets(assets, columns=len(tuple(assets)))
    values = None if returns is None else read_returns(returns, assets=names, times=times)
    if not isinstance(covariance, Covariance | str | None):
        raise AllocationError(
            f"covariance is the name of a method or a Covariance; got {type(covariance).__name__}. Make one of a "
            "matrix with Covariance(values=..., assets=..., method=...), or repair_covariance."
        )
    if isinstance(covariance, Covariance):
        same = covariance.order(names)
        return same.values, (f"covariance {same.method}", *same.notes)
    if values is None:
        raise AllocationError("there are neither returns nor a Covariance. Bring one of them.")
    if covariance is None and not inverted:
        return measure(values, assets=names, options={})
    estimate = estimate_read(values, assets=names, method=covariance or "sample")
    return estimate.values, (() if covariance is None else (f"covariance {estimate.method}",)) + estimate.notes


def risk_contributions(weights: Weights, covariance: Covariance) -> FloatArray:
    """Each asset's share [A] of the portfolio's variance, w * (Sigma w) / (w' Sigma w); they sum to one.

    Assets are met by name. An asset that hedges the others has a share below zero. A portfolio without risk (nothing
    but cash) has no shares and is an AllocationError.
    Source: Litterman 1996, Hot Spots and Hedges.

    >>> both = Covariance(values=np.diag([0.04, 0.01]), assets=("A", "B"), method="by hand")
    >>> risk_contributions(Weights(assets=("A", "B"), values=np.array([0.5, 0.5]), method="equal"), both)
    array([0.8, 0.2])
    """
    matrix = covariance.order(weights.assets).values
    parts = weights.values * (matrix @ weights.values)
    total = float(parts.sum())
    if total <= 0.0:
        raise AllocationError("all of the money is in cash: a portfolio without risk has no contributions to it.")
    return np.asarray(parts / total)
