"""Weights whose shares of the risk are given: all alike, or a budget for each asset. T bars, A assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.allocate.risk import read_risk
from tidewright.portfolio.covariance.record import Covariance, to_correlation
from tidewright.portfolio.inputs import FloatArray, read_assets
from tidewright.portfolio.labels import as_mapping
from tidewright.portfolio.weights import Weights

_STEPS = 100
_TOLERANCE = 1e-10  # of each risk budget
_ROUNDS = 5
_ENOUGH = 1e-6
_LEAST_STEP = 1e-6


def risk_parity_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
) -> Weights:
    """Long-only weights with which every asset carries the same share of the portfolio's variance.

    `covariance` None is the sample's. Source: Maillard, Roncalli and Teiletche 2010, The Properties of Equally
    Weighted Risk Contribution Portfolios; solved as Spinu 2013, see `solve_budgets`.

    >>> rng = np.random.default_rng(0)
    >>> risk_parity_weights(rng.normal(0, [0.01, 0.02], (500, 2)), assets=("calm", "wild")).values.round(2)
    array([0.66, 0.34])
    """
    matrix, notes = read_risk(returns, assets=assets, times=times, covariance=covariance, inverted=True)
    values = solve_budgets(matrix, budgets=np.full(len(matrix), 1.0 / len(matrix)))
    return Weights(assets=tuple(assets), values=values, method="risk_parity", notes=notes)


def risk_budget_weights(
    returns: ArrayLike | None = None,
    /,
    *,
    assets: Sequence[str],
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    budgets: Mapping[str, float] | None = None,
) -> Weights:
    """Long-only weights with which every asset carries its budget of the portfolio's variance.

    `budgets` are shares by asset, each above zero, that sum to one. `covariance` None is the sample's.
    Source: Bruder and Roncalli 2012, Managing Risk Exposures Using the Risk Budgeting Approach.

    >>> rng = np.random.default_rng(0)
    >>> budgets = {"calm": 0.2, "wild": 0.8}
    >>> returns = rng.normal(0, [0.01, 0.02], (500, 2))
    >>> risk_budget_weights(returns, assets=("calm", "wild"), budgets=budgets).values.round(2)
    array([0.49, 0.51])
    """
    names = read_assets(assets, columns=len(tuple(assets)))
    shares = _read_budgets(budgets, names=names)
    matrix, notes = read_risk(returns, assets=names, times=times, covariance=covariance, inverted=True)
    return Weights(assets=names, values=solve_budgets(matrix, budgets=shares), method="risk_budget", notes=notes)


def solve_budgets(covariance: FloatArray, *, budgets: FloatArray) -> FloatArray:
    """Weights [A] above zero that sum to one, with w * (Sigma w) in proportion to the budgets.

    The point where x' C x / 2 - sum b log x is least, by Newton's method over the correlations C, divided by the
    deviations. The function is convex and has one such point. Source: Spinu 2013, An Algorithm for Computing Risk
    Parity Weights, with a line search in the place of his fixed damping, from a nearer start.
    """
    correlation, deviation = to_correlation(covariance), np.sqrt(np.diag(covariance))
    point = _approach(np.sqrt(budgets), correlation=correlation, budgets=budgets)
    off = _miss(point, correlation=correlation, budgets=budgets)
    for _ in range(_STEPS):
        if off <= _TOLERANCE:
            break
        before = off
        point = _step(point, correlation=correlation, budgets=budgets)
        off = _miss(point, correlation=correlation, budgets=budgets)
        if off <= _ENOUGH and off > before / 2.0:  # at the floor of rounding
            break
    if not off <= _ENOUGH:
        raise AllocationError(
            f"the risk budgets were missed by {off:.2g} of themselves after {_STEPS} steps: assets move too much "
            "together, or budgets are too far apart. Take covariance='ledoit_wolf', or budgets nearer to each other."
        )
    weights = point / deviation
    return np.asarray(weights / weights.sum())


def _approach(point: FloatArray, *, correlation: FloatArray, budgets: FloatArray) -> FloatArray:
    """Each weight set to its best in turn, the others as they are: near enough for Newton's whole steps.

    Source: Griveau-Billion, Richard and Roncalli 2013, A Fast Algorithm for Computing High-Dimensional Risk Parity.
    """
    for _ in range(_ROUNDS):
        for asset, budget in enumerate(budgets):
            others = float(correlation[asset] @ point) - point[asset]
            root = np.sqrt(others**2 + 4.0 * budget)
            point[asset] = (root - others) / 2.0 if others < 0.0 else 2.0 * budget / (root + others)
    return point


def _miss(point: FloatArray, *, correlation: FloatArray, budgets: FloatArray) -> float:
    return float(np.abs(point * (correlation @ point) / budgets - 1.0).max())


def _step(point: FloatArray, *, correlation: FloatArray, budgets: FloatArray) -> FloatArray:
    """One step of Newton's, halved until the point stays above zero and the function falls.

    The function over its least budget is self-concordant, so that near the end the whole step is right.
    """
    slope = correlation @ point - budgets / point
    step = np.linalg.solve(correlation + np.diag(budgets / point**2), slope)
    fall = float(slope @ step)
    if fall <= 0.0625 * float(budgets.min()):
        return np.asarray(point - step)
    before = _height(point, correlation=correlation, budgets=budgets)
    size = 1.0
    while size > _LEAST_STEP:
        there = point - size * step
        if there.min() > 0.0 and before - _height(there, correlation=correlation, budgets=budgets) >= 0.1 * size * fall:
            return there
        size /= 2.0
    return point


def _height(point: FloatArray, *, correlation: FloatArray, budgets: FloatArray) -> float:
    return float(point @ correlation @ point / 2.0 - budgets @ np.log(point))


def _read_budgets(budgets: Mapping[str, float] | None, *, names: tuple[str, ...]) -> FloatArray:
    if budgets is None:
        raise AllocationError(
            "risk_budget came without budgets. Pass budgets={asset: share of the risk}, or take risk_parity: all alike."
        )
    shared = as_mapping(budgets)
    if not isinstance(shared, Mapping):
        raise AllocationError(f"budgets are a {type(budgets).__name__}; they are shares of the risk by asset's name.")
    for name in (*names, *shared):
        if name not in shared or name not in names:
            place = "no budget" if name not in shared else "a budget but no returns"
            raise AllocationError(
                f"the asset {name!r} has {place}. Give every asset its share of the risk by its name."
            )
    try:
        shares = np.array([float(shared[name]) for name in names])
    except (TypeError, ValueError) as error:
        raise AllocationError(f"budgets hold something that is no number ({error}). Bring numbers only.") from error
    wrong = np.flatnonzero(~(np.isfinite(shares) & (shares > 0.0)))
    if wrong.size:
        raise AllocationError(
            f"the risk budget of {names[int(wrong[0])]!r} is {shares[wrong[0]]:g}; each is above zero. Leave the "
            "asset out where it shall carry no risk."
        )
    if abs(shares.sum() - 1.0) > 1e-9:
        raise AllocationError(f"the risk budgets sum to {shares.sum():.6g}, not to one. Divide them by their sum.")
    return shares
