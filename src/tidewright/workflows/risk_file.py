"""The risk of a file of prices and of weights on it: by several methods, what volatility comes, crises, and whether it
would have been right. A assets; losses are positive fractions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.dated import Dated, measure_periods
from tidewright.errors import AllocationError, ConfigError, FallbackWarning, FitError
from tidewright.portfolio import returns_from_prices
from tidewright.portfolio.risk.backtests import VarTest, test_var
from tidewright.portfolio.risk.measure import check_confidence, value_at_risk
from tidewright.portfolio.risk.plans import PLANS
from tidewright.portfolio.risk.record import Risk, RiskMethod
from tidewright.portfolio.risk.rolling import RollingRisk, rolling_var
from tidewright.portfolio.risk.stress import Stress, stress
from tidewright.portfolio.volatility.catalog import VolatilitySpec
from tidewright.portfolio.volatility.fit import VolatilityFit, fit_volatility
from tidewright.portfolio.weights import Weights
from tidewright.workflows.price_window import Window, cut_window, refuse_returns

LOOKBACK = 1000
WINDOW = 500
EVERY = {"filtered_historical": 250}  # bars that a rolling estimate holds; other methods but the compiled ones: a month
MONTH = 21
COMPILED = ("historical", "normal")
Key = tuple[str, float]


@dataclass(frozen=True, kw_only=True)
class RiskPlan:
    """What is measured: value at risk by `methods` at `confidences` over `horizon` bars from the `lookback` latest
    returns (None: 1,000, or all where there are fewer); a `volatility` model with its `distribution`; `crises` of all
    of the history; and with `tested` each method's value at risk of every bar, from `window` bars before it (None: 500,
    or half of what there is)."""

    methods: tuple[str, ...] = ("historical",)
    confidences: tuple[float, ...] = (0.95, 0.99)
    horizon: int = 1
    lookback: int | None = None
    volatility: str | None = None
    distribution: str = "normal"
    crises: bool = False
    tested: bool = False
    window: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class VolatilityAhead:
    """The fitted models and, a year, the volatility of the last bar, of the next one, and the mean of the horizon's
    bars [A] each; NaN for an asset that `fit.failures` names."""

    fit: VolatilityFit
    last: npt.NDArray[np.float64]
    following: npt.NDArray[np.float64]
    horizon: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class FileRisk:
    """What was found; `failed` says of a method, a test or the volatility that could not be had why."""

    weights: Weights
    time: np.datetime64
    first: np.datetime64
    bars: int
    horizon: int
    risks: Mapping[Key, Risk]
    volatility: VolatilityAhead | None
    stress: Stress | None
    tests: Mapping[Key, VarTest]
    rolled: Mapping[Key, RollingRisk]
    earned: npt.NDArray[np.float64]
    times: npt.NDArray[np.datetime64]
    failed: Mapping[str, str]
    periods_per_year: float
    notes: tuple[str, ...] = field(default=())


def measure_file(
    prices: Dated,
    *,
    plan: RiskPlan,
    weights: Weights | None = None,
    frequency: str | None = None,
    calendar: str | None = None,
    tell: Callable[[str], Any] = lambda _: None,
    count: Callable[[int, int], Any] = lambda done, total: None,
) -> FileRisk:
    """The risk of each asset and of the weights (None: equal ones, noted) for the bars after the last price.

    An asset without all returns of the lookback is left out by name; weights that hold it are an AllocationError. Of
    several methods one that refuses these returns is in `failed`; of one alone its error is raised.
    """
    _check_plan(plan)
    periods, told = measure_periods(prices.times, frequency=frequency, calendar=calendar)
    refuse_returns(prices)
    window = cut_window(prices, lookback=plan.lookback, usual=LOOKBACK)
    held, notes = _hold(weights, window)
    failed: dict[str, str] = {}
    risks = _measure(window, held, plan, failed=failed, tell=tell)
    volatility = None
    if plan.volatility is not None:
        tell(f"fitting {plan.volatility} to {len(window.assets)} assets")
        volatility = _fit(window, plan, periods=periods, failed=failed, count=count)
    returns, times, gaps = _earn(prices, held)
    found = stress(held, returns=returns, times=times) if plan.crises else None
    tests, rolled = _test(returns @ held.values, times, plan, failed=failed, tell=tell) if plan.tested else ({}, {})
    return FileRisk(
        weights=held,
        time=prices.times[-1],
        first=window.times[0],
        bars=len(window.returns),
        horizon=plan.horizon,
        risks=risks,
        volatility=volatility,
        stress=found,
        tests=tests,
        rolled=rolled,
        earned=returns @ held.values,
        times=times,
        failed=failed,
        periods_per_year=periods,
        notes=(
            told,
            *prices.notes,
            *window.notes,
            *notes,
            *(gaps if plan.tested or plan.crises else ()),
            *_one_bar(plan),
            *_collect(risks),
        ),
    )


def _check_plan(plan: RiskPlan) -> None:
    for method in plan.methods:
        if method not in PLANS:
            raise ConfigError(explain_unknown("method", method, (*PLANS, "all")))
    for confidence in plan.confidences:
        check_confidence(confidence)
    if plan.volatility is not None:
        given: dict[str, Any] = {"model": plan.volatility, "distribution": plan.distribution}
        VolatilitySpec(**given)


def _hold(weights: Weights | None, window: Window) -> tuple[Weights, tuple[str, ...]]:
    """The weights of who has prices."""
    if weights is None:
        equal = np.full(len(window.assets), 1.0 / len(window.assets))
        return Weights(window.assets, equal, method="equal"), ("no weights were given: the portfolio is of equal ones",)
    own = weights.as_dict()
    lost = [name for name, weight in own.items() if weight and name not in window.assets]
    if lost:
        raise AllocationError(
            f"the weights hold {lost[0]!r} ({len(lost)} such), which lacks prices in the lookback, or does not move. "
            "Say --carry 5 to hold a price over gaps, ask for a shorter --lookback, or leave it out."
        )
    values = np.array([own.get(name, 0.0) for name in window.assets])
    return Weights(window.assets, values, method=weights.method, notes=weights.notes, net=weights.net), weights.notes


def _measure(
    window: Window, held: Weights, plan: RiskPlan, *, failed: dict[str, str], tell: Callable[[str], Any]
) -> dict[Key, Risk]:
    found: dict[Key, Risk] = {}
    for method in plan.methods:
        tell(f"value at risk: {method}")
        for confidence in plan.confidences:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FallbackWarning)  # what failed is in the notes
                    found[method, confidence] = value_at_risk(
                        window.returns, assets=window.assets, times=window.times, confidence=confidence,
                        method=_name(method), horizon=plan.horizon, weights=held,
                    )  # fmt: skip
            except (AllocationError, FitError) as error:
                if len(plan.methods) == 1 and len(plan.confidences) == 1:
                    raise
                failed[f"{method} at {confidence:g}"] = str(error)
    if not found:
        raise AllocationError(
            "; ".join(dict.fromkeys(f"{name.partition(' at ')[0]}: {failed[name]}" for name in failed))
        )
    return found


def _fit(
    window: Window, plan: RiskPlan, *, periods: float, failed: dict[str, str], count: Callable[[int, int], Any]
) -> VolatilityAhead | None:
    given: dict[str, Any] = {"model": plan.volatility, "distribution": plan.distribution}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)  # failures are told by name
        try:
            fit = fit_volatility(
                window.returns, assets=window.assets, times=window.times,
                callbacks=(lambda one: count(one.done, one.total),), **given,
            )  # fmt: skip
        except FitError as error:
            failed[f"volatility by {plan.volatility}"] = str(error)
            return None
    exact = plan.horizon == 1 or plan.volatility in ("garch", "gjr", "ewma")
    ahead = fit.forecast(horizon=plan.horizon, method="analytic" if exact else "simulation")
    failed.update({f"{plan.volatility} of {name}": why for name, why in fit.failures.items()})
    year = np.sqrt(periods)
    mean = ahead.cumulated[-1] * np.sqrt(periods / plan.horizon)
    return VolatilityAhead(fit, fit.volatility[-1] * year, ahead.volatility[0] * year, mean)


def _earn(prices: Dated, held: Weights) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.datetime64], tuple[str, ...]]:
    """The returns [T, A] of all of the history; a missing one counts as none, and a note says how many are."""
    places = [prices.names.index(name) for name in held.assets]
    values = np.ascontiguousarray(prices.values[:, places])
    returns = returns_from_prices(values, times=prices.times, assets=held.assets)
    missing = int(np.isnan(returns[:, held.values != 0.0]).sum())
    notes = (f"{missing} missing returns of the history count as zero",) if missing else ()
    return np.where(np.isnan(returns), 0.0, returns), prices.times[1:], notes


def _test(
    earned: npt.NDArray[np.float64],
    times: npt.NDArray[np.datetime64],
    plan: RiskPlan,
    *,
    failed: dict[str, str],
    tell: Callable[[str], Any],
) -> tuple[dict[Key, VarTest], dict[Key, RollingRisk]]:
    """Each method's value at risk of every bar of the portfolio, from the window before it, held against what came."""
    window = min(WINDOW, len(earned) // 2) if plan.window is None else plan.window
    tests: dict[Key, VarTest] = {}
    rolled: dict[Key, RollingRisk] = {}
    for method in plan.methods:
        tell(f"testing {method}")
        for confidence in plan.confidences:
            every = 1 if method in COMPILED else EVERY.get(method, MONTH)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FallbackWarning)  # windows that were refused are in the notes
                    said = rolling_var(
                        earned[:, None], assets=("portfolio",), times=times, window=window, confidence=confidence,
                        method=_name(method), every=every,
                    )  # fmt: skip
                tests[method, confidence] = test_var(earned, said.var[:, 0], es=said.es[:, 0], confidence=confidence)
                rolled[method, confidence] = said
            except (AllocationError, FitError) as error:
                failed[f"test of {method} at {confidence:g}"] = str(error)
    if not tests:
        raise AllocationError("; ".join(dict.fromkeys(failed[name] for name in failed if name.startswith("test of"))))
    return tests, rolled


def _one_bar(plan: RiskPlan) -> tuple[str, ...]:
    return ("tests are of one bar ahead, whatever the horizon",) if plan.tested and plan.horizon > 1 else ()


def _name(method: str) -> RiskMethod:
    return method  # type: ignore[return-value]  # it is one of PLANS, which was checked


def _collect(risks: Mapping[Key, Risk]) -> Sequence[str]:
    """Each method's notes once."""
    told = [f"{method} at {level:g}: {note}" for (method, level), risk in risks.items() for note in risk.notes]
    first: dict[str, str] = {}
    for line in told:
        method, _, rest = line.partition(" at ")
        first.setdefault(f"{method}: {rest.partition(': ')[2]}", line)
    return tuple(first)
