"""Value at risk and expected shortfall of assets and of a portfolio, by any method. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.catalog import explain_unknown
from tidewright.checks import check_flag, check_whole
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.inputs import FloatArray, read_returns
from tidewright.portfolio.labels import align, name_assets
from tidewright.portfolio.risk.plans import PLANS, SHARED
from tidewright.portfolio.risk.reach import Plan
from tidewright.portfolio.risk.read import read_column, refuse_returns
from tidewright.portfolio.risk.record import PortfolioRisk, Risk, RiskMethod, Tails
from tidewright.portfolio.weights import Weights

FEW = 10  # outcomes of a tail that are worth a word


def value_at_risk(
    returns: ArrayLike,
    *,
    assets: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    confidence: float = 0.95,
    method: RiskMethod = "historical",
    horizon: int = 1,
    weights: Weights | ArrayLike | None = None,
    incremental: bool = False,
    **options: Any,
) -> Risk:
    """Value at risk and expected shortfall over the next `horizon` bars, as positive losses, from returns [T, A].

    Returns are simple, as fractions, the last row the newest. With `weights` [A] (which sum to one, or a `Weights` with
    its net) the portfolio's too, with what each asset adds and its part; weights are not traded back within the
    horizon. `incremental` adds what the portfolio's risk would lose with the asset's money in cash.

    Options by method: historical, normal, t, cornish_fisher `horizon_by` ("blocks" or "root of time"); normal and
    monte_carlo `covariance` (of one bar: an array [A, A] or a `Covariance`); t and monte_carlo `degrees`;
    cornish_fisher `moments` ("plain" or "matched"); monte_carlo `distribution` ("normal" or "t"), `draws`, `seed`;
    filtered_historical `model` (of `fit_volatility`), `draws`, `seed`, `workers`; extreme_value `threshold` (the share
    of the losses that are peaks) and `model`, which filters them first, with `workers`.

    >>> losses = value_at_risk(np.arange(-50, 50)[:, None] / 1000, assets=("A",), confidence=0.95)
    >>> losses.var.tolist(), losses.es.round(6).tolist()
    ([0.045], [0.048])
    """
    check_confidence(confidence)
    check_whole("horizon", horizon, most=10_000)
    check_flag("incremental", incremental)
    check_options(method, options)
    names = name_assets(returns, assets)
    values = read_returns(returns, assets=names, times=times)
    refuse_returns(values, assets=names, times=None if times is None else np.asarray(times))
    plan = PLANS[method](values, assets=names, confidence=confidence, horizon=horizon, **options)
    tails = plan.tail.measure(plan.outcomes, names=names)
    portfolio = None
    if weights is not None:
        portfolio = _split(plan, read_weights(weights, assets=names), names=names, incremental=incremental)
    elif incremental:
        raise ConfigError("incremental risk is of a portfolio: pass weights too.")
    return Risk(
        assets=names,
        method=method,
        confidence=confidence,
        horizon=horizon,
        horizon_by=plan.horizon_by,
        bars=len(values),
        var=tails.var,
        es=tails.es,
        portfolio=portfolio,
        notes=(*plan.notes, *tails.notes, *_tell(plan, tails.var, names=names, confidence=confidence, whole=portfolio)),
    )


def check_confidence(confidence: float) -> None:
    """Refuses other than a probability above one half and below one, such as 95 or 0.05."""
    given: object = confidence  # a float by its type, but not by every caller's
    number = isinstance(given, Real) and not isinstance(given, bool)
    if number and 0.5 < confidence < 1.0:
        return
    hint = ""
    if number and 50.0 < confidence < 100.0:
        hint = f" For {confidence:g} % pass {confidence / 100:g}."
    elif number and 0.0 < confidence < 0.5:
        hint = f" For a tail of {confidence:g} pass {1 - confidence:g}."
    raise AllocationError(f"confidence is a probability above 0.5 and below 1; got {confidence!r}.{hint}")


def read_weights(weights: Weights | ArrayLike, *, assets: tuple[str, ...]) -> FloatArray:
    """Weights [A] in the assets' order: of a record by name, or an array that sums to one."""
    if isinstance(weights, Weights):
        own = weights.as_dict()
        apart = sorted(set(own) ^ set(assets))
        if apart:
            where = "weights" if apart[0] in own else "returns"
            raise AllocationError(
                f"the asset {apart[0]!r} stands in the {where} alone ({len(apart)} such). Bring both for the "
                "same assets."
            )
        return np.array([own[name] for name in assets])
    weights = align(weights, assets=assets, noun="weights", missing=0.0)
    values = read_column(weights, noun="weights", advice="Give one number an asset, in the assets' order.")
    if values.size != len(assets):
        raise AllocationError(
            f"weights have the shape {values.shape} for {len(assets)} assets. Give one number an asset."
        )
    if not np.isfinite(values).all():
        wrong = int(np.flatnonzero(~np.isfinite(values))[0])
        raise AllocationError(f"the weight of {assets[wrong]!r} is {values[wrong]}. Every weight is a finite fraction.")
    if abs(values.sum() - 1.0) > 1e-9:
        raise AllocationError(
            f"the weights sum to {values.sum():.6g}, not to one. Divide them by their sum, or pass "
            f"tw.Weights(assets=, values=, method=, net={values.sum():.6g}) where the rest is cash."
        )
    return values


def check_options(method: RiskMethod, options: dict[str, Any], *, left_out: Sequence[str] = ()) -> None:
    """Refuses a method that is none and options that the method has not."""
    if method not in PLANS:
        raise ConfigError(explain_unknown("method", method, PLANS))
    known = [name for name in signature(PLANS[method]).parameters if name not in (*SHARED, *left_out)]
    for name in options:
        if name not in known:
            raise ConfigError(f"{explain_unknown('option', name, known)} The method is {method}.")


def _split(plan: Plan, weights: FloatArray, *, names: tuple[str, ...], incremental: bool) -> PortfolioRisk:
    if not _moves(plan, weights[:, None])[0]:
        raise AllocationError(
            "the weights leave nothing that varies: the portfolio has no risk. Hold some of an asset."
        )
    whole = plan.tail.measure(plan.outcomes, loadings=weights[:, None], names=("the portfolio",))
    marginal_var, marginal_es = plan.tail.split(plan.outcomes, weights=weights)
    less_var = less_es = None
    if incremental:
        without = weights[:, None] - np.diag(weights)
        called = [f"the portfolio without {name}" for name in names]
        rest = _measure_moving(plan, without, names=called)
        less_var, less_es = whole.var - rest.var, whole.es - rest.es
    return PortfolioRisk(
        weights=weights,
        var=float(whole.var[0]),
        es=float(whole.es[0]),
        marginal_var=marginal_var,
        marginal_es=marginal_es,
        component_var=weights * marginal_var,
        component_es=weights * marginal_es,
        incremental_var=less_var,
        incremental_es=less_es,
    )


def _moves(plan: Plan, loadings: FloatArray) -> NDArray[np.bool_]:
    """Which portfolios [K] vary at all, beyond rounding."""
    size = np.abs(plan.outcomes).max(axis=0) @ np.abs(loadings)
    return np.asarray(np.ptp(plan.outcomes @ loadings, axis=0) > 1e-13 * size)


def _measure_moving(plan: Plan, loadings: FloatArray, *, names: Sequence[str]) -> Tails:
    """The tails of portfolios; one that does not vary is sure of its mean."""
    moving = _moves(plan, loadings)
    sure = -(plan.outcomes.mean(axis=0) @ loadings)
    var, es = sure.copy(), sure.copy()
    if moving.any():
        some = [name for name, moves in zip(names, moving, strict=True) if moves]
        tails = plan.tail.measure(plan.outcomes, loadings=loadings[:, moving], names=some)
        var[moving], es[moving] = tails.var, tails.es
    return Tails(var, es)


def _tell(
    plan: Plan, var: FloatArray, *, names: tuple[str, ...], confidence: float, whole: PortfolioRisk | None
) -> tuple[str, ...]:
    told: tuple[str, ...] = (plan.splits_by,) if whole is not None and plan.splits_by else ()
    beyond = np.flatnonzero(var > 1.0)
    if beyond.size:
        told += (
            f"the value at risk of {names[int(beyond[0])]!r} is above its whole value ({beyond.size} such): the method "
            "knows no floor at -100 %",
        )
    expected = len(plan.outcomes) * (1.0 - confidence)
    if plan.horizon_by in ("one bar", "blocks") and expected < FEW:
        told += (f"{expected:.1f} outcomes are expected beyond the confidence: what stands there is hardly known",)
    return told
