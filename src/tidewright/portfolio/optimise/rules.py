"""The optimiser's methods as allocation rules, for `allocate`. T bars, A assets; see `optimise` for what each heeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Required, TypedDict, Unpack

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


class Bounded(TypedDict, total=False):
    """What every method is told beside the returns, as `optimise` takes it."""

    assets: Required[Sequence[str]]
    times: ArrayLike | None
    covariance: str | Covariance | None
    limits: Limits | None
    previous: Held | None


class Costly(Bounded, total=False):
    """What a method is told that counts costs."""

    costs: Costs | None
    basis: CostBasis | None


class Viewed(Costly, total=False):
    """What a method is told that takes views."""

    views: Views | None
    risk_free: float


class Expectant(Viewed, total=False):
    """What a method is told that weighs expected returns, from views or as they are."""

    expected: ArrayLike | None


def min_variance_weights(returns: ArrayLike | None = None, /, **told: Unpack[Bounded]) -> Weights:
    """The least variance within the limits. Source: Markowitz 1952.

    >>> min_variance_weights([[0.1, 0.2], [-0.1, 0.2], [0.1, -0.2], [-0.1, -0.2]], assets=("A", "B")).values.round(6)
    array([0.8, 0.2])
    """
    return optimise(returns, method="min_variance", **told).weights


def min_cvar_weights(returns: ArrayLike, /, *, confidence: float = 0.95, **told: Unpack[Costly]) -> Weights:
    """The least expected shortfall of the past's returns. Source: Rockafellar and Uryasev 2000.

    The covariance is for a limit on the tracking error alone.
    """
    return optimise(returns, method="min_cvar", confidence=confidence, **told).weights


def mean_cvar_weights(
    returns: ArrayLike, /, *, target: float | None = None, confidence: float = 0.95, **told: Unpack[Expectant]
) -> Weights:
    """The least expected shortfall with an expected return a period, after costs, of at least `target`, to be given."""
    return optimise(returns, method="mean_cvar", target=target, confidence=confidence, **told).weights


def max_sharpe_weights(returns: ArrayLike | None = None, /, **told: Unpack[Expectant]) -> Weights:
    """The highest Sharpe ratio after costs. Source: Cornuejols and Tutuncu 2007."""
    return optimise(returns, method="max_sharpe", **told).weights


def max_utility_weights(
    returns: ArrayLike | None = None, /, *, risk_aversion: float = 2.5, **told: Unpack[Expectant]
) -> Weights:
    """The highest expected return after costs less risk_aversion / 2 times the variance. Source: Markowitz 1952."""
    return optimise(returns, method="max_utility", risk_aversion=risk_aversion, **told).weights


def target_return_weights(
    returns: ArrayLike | None = None, /, *, target: float | None = None, **told: Unpack[Expectant]
) -> Weights:
    """The least variance with an expected return a period, after costs, of at least `target`, which must be given."""
    return optimise(returns, method="target_return", target=target, **told).weights


def target_risk_weights(
    returns: ArrayLike | None = None, /, *, target: float | None = None, **told: Unpack[Expectant]
) -> Weights:
    """The highest expected return after costs with a standard deviation a period of at most `target`, to be given."""
    return optimise(returns, method="target_risk", target=target, **told).weights


def black_litterman_weights(returns: ArrayLike | None = None, /, **told: Unpack[Viewed]) -> Weights:
    """The highest utility at the views' own risk aversion, of what the views make of the equilibrium.

    Without `views` it is the equilibrium's own portfolio, within the limits. Source: He and Litterman 1999.
    """
    names = read_assets(told["assets"], columns=len(tuple(told["assets"])))
    views = told.get("views") or Views(names, picks=np.zeros((0, len(names))), values=NONE, variances=NONE)
    told["views"] = views
    found = optimise(returns, method="max_utility", risk_aversion=views.risk_aversion, **told).weights
    return replace(found, method="black_litterman")
