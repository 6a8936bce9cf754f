"""The optimiser's methods as allocation rules, for `allocate`. T bars, A assets; see `optimise` for what each heeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from tidewright.portfolio.costs import Costs
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.inputs import FloatArray, read_assets
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.optimise.optimise import optimise
from tidewright.portfolio.optimise.read import CostBasis, Held
from tidewright.portfolio.optimise.views import Views
from tidewright.portfolio.weights import Weights

NONE: FloatArray = np.zeros(0)


def min_variance_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
) -> Weights:
    """The least variance within the limits. Source: Markowitz 1952.

    >>> min_variance_weights([[0.1, 0.2], [-0.1, 0.2], [0.1, -0.2], [-0.1, -0.2]], assets=("A", "B")).values.round(6)
    array([0.8, 0.2])
    """
    return optimise(
        returns,
        method="min_variance",
        assets=assets,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
    ).weights


def min_cvar_weights(
    returns: ArrayLike,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    confidence: float = 0.95,
) -> Weights:
    """The least expected shortfall of the past's returns. Source: Rockafellar and Uryasev 2000.

    The covariance is for a limit on the tracking error alone.
    """
    return optimise(
        returns,
        method="min_cvar",
        assets=assets,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
        costs=costs,
        basis=basis,
        confidence=confidence,
    ).weights


def max_sharpe_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
    expected: ArrayLike | None = None,
) -> Weights:
    """The highest Sharpe ratio after costs. Source: Cornuejols and Tutuncu 2007."""
    return optimise(
        returns,
        method="max_sharpe",
        assets=assets,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
        costs=costs,
        basis=basis,
        views=views,
        risk_free=risk_free,
        expected=expected,
    ).weights


def max_utility_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
    expected: ArrayLike | None = None,
    risk_aversion: float = 2.5,
) -> Weights:
    """The highest expected return after costs less risk_aversion / 2 times the variance. Source: Markowitz 1952."""
    return optimise(
        returns,
        method="max_utility",
        assets=assets,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
        costs=costs,
        basis=basis,
        views=views,
        risk_free=risk_free,
        expected=expected,
        risk_aversion=risk_aversion,
    ).weights


def target_return_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
    expected: ArrayLike | None = None,
    target: float | None = None,
) -> Weights:
    """The least variance with an expected return a period, after costs, of at least `target`, which must be given."""
    return optimise(
        returns,
        method="target_return",
        assets=assets,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
        costs=costs,
        basis=basis,
        views=views,
        risk_free=risk_free,
        expected=expected,
        target=target,
    ).weights


def target_risk_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
    expected: ArrayLike | None = None,
    target: float | None = None,
) -> Weights:
    """The highest expected return after costs with a standard deviation a period of at most `target`, to be given."""
    return optimise(
        returns,
        method="target_risk",
        assets=assets,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
        costs=costs,
        basis=basis,
        views=views,
        risk_free=risk_free,
        expected=expected,
        target=target,
    ).weights


def black_litterman_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
) -> Weights:
    """The highest utility at the views' own risk aversion, of what the views make of the equilibrium.

    Without `views` it is the equilibrium's own portfolio, within the limits. Source: He and Litterman 1999.
    """
    names = read_assets(assets, columns=len(tuple(assets)))
    views = Views(names, picks=np.zeros((0, len(names))), values=NONE, variances=NONE) if views is None else views
    found = optimise(
        returns,
        method="max_utility",
        assets=names,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
        costs=costs,
        basis=basis,
        views=views,
        risk_free=risk_free,
        risk_aversion=views.risk_aversion,
    ).weights
    return replace(found, method="black_litterman")
