"""What a caller brings, read into a `Problem`: moments, views, limits, what is held, what trading costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.allocate.risk import read_risk
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.covariance.repair import repair_matrix
from tidewright.portfolio.inputs import FloatArray, read_assets, read_returns
from tidewright.portfolio.labels import align, name_assets
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.limits.rows import Limit
from tidewright.portfolio.optimise.problem import Problem
from tidewright.portfolio.optimise.views import Views, black_litterman
from tidewright.portfolio.weights import Weights

_MOST_HELD = 20.0  # times the money, long and short
Held = Weights | Mapping[str, float] | ArrayLike


@dataclass(frozen=True, slots=True, eq=False)
class CostBasis:
    """What the optimiser must know beside `Costs` to count them against returns of one period.

    `holding` is how many periods the new weights are held: a trade's cost is spread over them. `volume` [A] is the
    money traded in a bar of each asset and `equity` the portfolio's money, for impact and participation;
    `periods_per_year` is for what is borrowed.
    """

    holding: float = 1.0
    volume: ArrayLike | None = None
    equity: float | None = None
    periods_per_year: float | None = None

    def __post_init__(self) -> None:
        for name in ("holding", "equity", "periods_per_year"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0.0):
                raise AllocationError(f"{name} is {value!r}; it is a finite number above 0.")


def read_problem(
    returns: ArrayLike | None,
    /,
    *,
    assets: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
    expected: ArrayLike | None = None,
) -> Problem:
    """The problem, with everything checked. Expected returns are `expected` [A], else the means of the returns."""
    named = name_assets(returns, assets)
    names = read_assets(named, columns=len(named))
    matrix, notes = read_risk(returns, assets=names, times=times, covariance=covariance)
    scenarios = np.zeros((0, len(names))) if returns is None else read_returns(returns, assets=names)
    if covariance in (None, "sample") and 0 < len(scenarios) <= len(names):
        notes = (
            *notes,
            f"{len(scenarios)} rows of {len(names)} assets: the sample covariance has portfolios without risk",
        )
    if not np.isfinite(risk_free):
        raise AllocationError(f"risk_free is {risk_free!r}; it is the finite return of cash a period.")
    mean = _read_mean(expected, scenarios=scenarios, names=names)
    if views is not None:
        known = Covariance(values=repair_matrix(matrix)[0], assets=names, method="sample")
        after = black_litterman(views, covariance=known, risk_free=risk_free)
        mean, matrix, notes = after.mean, after.covariance.values, (*notes, *after.notes)
    limits = Limits() if limits is None else limits
    if not isinstance(limits, Limits):
        raise AllocationError(f"limits is a Limits, such as Limits.parse('each <= 0.1'); got {type(limits).__name__}.")
    held = None if previous is None else _read_held(previous, names=names)
    found = Problem(
        assets=names,
        mean=mean,
        covariance=matrix,
        scenarios=scenarios,
        risk_free=float(risk_free),
        limits=limits,
        convex=limits.resolve(names),
        previous=held,
        notes=notes,
    )
    if costs is None and basis is not None:
        raise AllocationError("basis says how costs are counted, and there are none. Pass costs= too.")
    return found if costs is None else _add_costs(found, costs, basis or CostBasis())


def check_expected(problem: Problem, *, method: str) -> None:
    """Refuses a problem without expected returns, and one of percent: a mean beside a variance has a unit."""
    if np.isnan(problem.mean).any():
        raise AllocationError(f"{method} needs expected returns. Bring returns, expected= or views=.")
    below = np.argwhere(problem.scenarios < -1.0)
    if below.size:
        row, asset = (int(place) for place in below[0])
        raise AllocationError(
            f"the return of {problem.assets[asset]!r} at row {row} is {problem.scenarios[row, asset]:g} ({len(below)} "
            f"such), and {method} weighs means against variances in fractions: none is below -1. Divide percent by 100."
        )


def _read_mean(expected: ArrayLike | None, *, scenarios: FloatArray, names: tuple[str, ...]) -> FloatArray:
    if expected is None:
        return np.asarray(scenarios.mean(axis=0)) if len(scenarios) else np.full(len(names), np.nan)
    mean = np.array(align(expected, assets=names, noun="expected returns"), dtype=np.float64)
    if mean.shape != (len(names),):
        raise AllocationError(f"expected has the shape {mean.shape}; give one return a period for {len(names)} assets.")
    wrong = np.flatnonzero(~np.isfinite(mean))
    if wrong.size:
        raise AllocationError(
            f"the expected return of {names[int(wrong[0])]!r} is {mean[wrong[0]]}. Give a number, or leave it out."
        )
    return mean


def _read_held(previous: Held, *, names: tuple[str, ...]) -> FloatArray:
    """Weights held now [A]: a `Weights` or a mapping by name, where a missing one is zero, or an array in order."""
    table = previous.as_dict() if isinstance(previous, Weights) else previous
    if isinstance(table, Mapping):
        gone = [name for name, weight in table.items() if name not in names and weight]
        if gone:
            raise AllocationError(
                f"previous holds {gone[0]!r}, which is not among the assets. Add it, with '{gone[0]} <= 0' to sell it."
            )
        held = np.array([float(table.get(name, 0.0)) for name in names])
    else:
        held = np.array(align(table, assets=names, noun="previous weights", missing=0.0), dtype=np.float64)
    if np.abs(held).sum() > _MOST_HELD:
        raise AllocationError(
            f"previous weights add up to {np.abs(held).sum():g} times the money. They are fractions: divide percent by "
            "100, and money by its sum."
        )
    if held.shape != (len(names),) or not np.isfinite(held).all():
        raise AllocationError(
            f"previous has the shape {held.shape} for {len(names)} assets, or a number that is not finite. Give the "
            "weight of each, 0 for what is not held."
        )
    return held


def _add_costs(problem: Problem, costs: Costs, basis: CostBasis) -> Problem:
    if problem.previous is None:
        raise AllocationError(
            "costs are paid on trades, and nothing says from what. Pass previous=, the weights that are held now "
            "(zeros where all is cash)."
        )
    changes: dict[str, object] = {"rate": costs.rate / basis.holding}
    if costs.borrow_rate > 0.0 and not problem.limits.long_only:
        if basis.periods_per_year is None:
            raise AllocationError("borrowing is paid by the year. Pass CostBasis(periods_per_year=...), such as 252.")
        changes["borrow"] = costs.borrow_rate / basis.periods_per_year
    if costs.needs_volume:
        volume, equity = _read_volume(basis, names=problem.assets)
        if costs.impact > 0.0:
            volatility = np.sqrt(np.diag(problem.covariance))
            scale = costs.impact_scale(volatility=volatility, volume=volume, equity=equity)
            changes["impact"] = scale / basis.holding
        if costs.max_participation is not None:
            words = f"participation <= {costs.max_participation:g} (of the costs)"
            band = costs.max_participation * volume / equity
            changes["convex"] = (*problem.convex, Limit(words, "trades", rows=band[None, :]))
    return replace(problem, **changes)  # type: ignore[arg-type]  # each value has its field's type


def _read_volume(basis: CostBasis, *, names: tuple[str, ...]) -> tuple[FloatArray, float]:
    if basis.volume is None or basis.equity is None:
        raise AllocationError(
            "impact and participation depend on what is traded in a bar. Pass CostBasis(volume=..., equity=...), money "
            "a bar of each asset and of the portfolio."
        )
    volume = np.array(align(basis.volume, assets=names, noun="volumes"), dtype=np.float64)
    if volume.shape != (len(names),) or not (volume > 0.0).all():
        raise AllocationError(f"volume has the shape {volume.shape}, or one not above 0; give money a bar an asset.")
    return volume, basis.equity
