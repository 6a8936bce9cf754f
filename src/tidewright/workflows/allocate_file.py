"""Weights for the next bar from a file of prices, and forecasts where there are some, within limits.

T bars, A assets. A decision sees the prices up to its date alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.dated import Dated, measure_periods
from tidewright.errors import ConfigError
from tidewright.portfolio import Costs, tilt_by_forecast
from tidewright.portfolio.allocate.catalog import RULES, find_options
from tidewright.portfolio.allocate.door import allocate
from tidewright.portfolio.allocate.risk import risk_contributions
from tidewright.portfolio.covariance.estimate import estimate_covariance
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.forecasts.predictions import Predictions, fill_spread
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.limits.use import LimitUse, use_limits
from tidewright.portfolio.optimise.nearest import move_within
from tidewright.portfolio.optimise.read import CostBasis
from tidewright.portfolio.optimise.views import Views
from tidewright.portfolio.risk.measure import value_at_risk
from tidewright.portfolio.weights import Weights
from tidewright.workflows.forecast_file import FileForecast
from tidewright.workflows.price_window import NAMED, Window, cut_window, name_date, refuse_returns

ViewForm = Literal["tilt", "black_litterman", "none"]
VIEWS: tuple[ViewForm, ...] = ("tilt", "black_litterman", "none")
CONFIDENCE = 0.95
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How weights are decided: a `method` of `tw.RULES` with its `options`, from the `lookback` latest returns (None:
    252, or all where there are fewer), within `limits`, from the `previous` weights at `costs`, spread over `holding`
    bars. `risk_free` is a year's; `views` is how forecasts move the weights."""

    method: str = "hrp"
    covariance: str | None = None
    lookback: int | None = None
    limits: Limits | None = None
    previous: Weights | None = None
    costs: Costs | None = None
    holding: float = 21.0
    risk_free: float = 0.0
    views: ViewForm = "tilt"
    benchmark: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Figures:
    """The risk of weights over the bars of the lookback: `volatility` a year by the covariance, `var` and `es` of a bar
    at 95 %, of the past as it was, as positive losses; each asset's `shares` [A] of the variance. Beside a benchmark,
    its `beta` and `tracking_error` a year."""

    volatility: float
    var: float
    es: float
    shares: Doubles
    beta: float | None = None
    tracking_error: float | None = None


@dataclass(frozen=True, eq=False, slots=True)
class FileAllocation:
    """The weights decided after the close of `time`, what they would be without forecasts (`base`), their risk, what
    they make of each limit, and the forecast that was asked. `turnover` is the sum of the trades' sizes from the
    weights before, None without any."""

    weights: Weights
    base: Weights
    time: np.datetime64
    first: np.datetime64
    bars: int
    figures: Figures
    limits: tuple[LimitUse, ...]
    forecast: FileForecast | None
    moved: bool
    turnover: float | None
    periods_per_year: float
    notes: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why forecasts moved the weights, or did not."""
        if self.forecast is None:
            return "No forecast was given: the weights rest on returns alone."
        return self.forecast.reason


def allocate_file(
    prices: Dated,
    *,
    plan: Plan,
    forecast: FileForecast | None = None,
    frequency: str | None = None,
    calendar: str | None = None,
    tell: Callable[[str], Any] = lambda _: None,
) -> FileAllocation:
    """Weights for the bar after the last price.

    An asset without all returns of the lookback, or without variance in it, gets none, and a note names it; so does the
    benchmark. A forecast moves weights as far as its measured skill goes, and where it beats its floor alone. Raises
    `AllocationError`.
    """
    if plan.views not in VIEWS:
        raise ConfigError(explain_unknown("way of views", plan.views, VIEWS))
    periods, told = measure_periods(prices.times, frequency=frequency, calendar=calendar)
    refuse_returns(prices)
    window = cut_window(prices, lookback=plan.lookback, limits=plan.limits, benchmark=plan.benchmark)
    tell("weighing")
    base = _decide(window, plan, periods=periods, views=None)
    said = None if forecast is None or plan.views == "none" else _choose_views(forecast, time=prices.times[-1])
    weights, view_notes = base, tuple[str, ...]()
    if said is not None and forecast is not None and forecast.used > 0.0:
        weights, view_notes = _move(base, said, forecast, window=window, plan=plan, periods=periods)
    cov = estimate_covariance(window.returns, assets=window.assets, method=plan.covariance or "sample")
    held = None if plan.previous is None else _hold(plan.previous, window.assets)
    return FileAllocation(
        weights=weights,
        base=base,
        time=prices.times[-1],
        first=window.times[0],
        bars=len(window.returns),
        figures=_measure(weights, window, cov=cov, periods=periods),
        limits=_use(window.limits, weights, held=held, cov=cov),
        forecast=forecast,
        moved=bool(np.abs(weights.values - base.values).max() > 0.0),
        turnover=None if held is None else float(np.abs(weights.values - held).sum()),
        periods_per_year=periods,
        notes=(
            told,
            *prices.notes,
            *window.notes,
            *_tell_plan(plan),
            *view_notes,
            *weights.notes,
            *_tell_age(forecast, prices),
        ),
    )


def _decide(window: Window, plan: Plan, *, periods: float, views: Views | None) -> Weights:
    given: dict[str, Any] = {"covariance": plan.covariance, "limits": window.limits, "views": views}
    heeded = find_options(RULES.load(plan.method))
    held = None if plan.previous is None else plan.previous.as_dict()
    if held is not None and (window.limits is not None or (plan.costs is not None and "costs" in heeded)):
        given["previous"] = held
    if plan.costs is not None:
        given["costs"] = plan.costs
        if "costs" in heeded:  # else the door says which methods do
            given["basis"] = CostBasis(holding=plan.holding, periods_per_year=periods)
            given.setdefault("previous", np.zeros(len(window.assets)))
    free = (1.0 + plan.risk_free) ** (1.0 / periods) - 1.0
    return allocate(
        window.returns, assets=window.assets, times=window.times, method=plan.method, risk_free=free,
        **given, **plan.options,
    )  # fmt: skip


def _use(limits: Limits | None, weights: Weights, *, held: Doubles | None, cov: Covariance) -> tuple[LimitUse, ...]:
    if limits is None:
        return ()
    return use_limits(limits, weights.values, assets=weights.assets, previous=held, covariance=cov.values)


def _tell_plan(plan: Plan) -> tuple[str, ...]:
    notes = () if plan.previous is None else plan.previous.notes
    if plan.costs is None:
        return notes
    start = "cash" if plan.previous is None else "what is held"
    told = f"trades from {start} cost {1e4 * plan.costs.rate:g} bps, spread over {plan.holding:g} bars"
    return (*notes, told)


def _choose_views(forecast: FileForecast, *, time: np.datetime64) -> Predictions | None:
    """The predictions, where the horizon of the newest is not over at the decision."""
    said = forecast.predictions
    if said is None:
        return None
    return said if time < said.times[-1, -1] else None


def _tell_age(forecast: FileForecast | None, prices: Dated) -> tuple[str, ...]:
    if forecast is None:
        return ()
    said = forecast.predictions
    if said is None or said.times[-1, -1] > prices.times[-1]:
        return forecast.notes
    over = name_date(said.times[-1, -1])
    return (*forecast.notes, f"the newest forecast ended at {over}, before the decision, so that it moves no weight")


def _move(
    base: Weights, said: Predictions, forecast: FileForecast, *, window: Window, plan: Plan, periods: float
) -> tuple[Weights, tuple[str, ...]]:
    """The weights that forecasts with skill make of the base, and notes."""
    assert forecast.skill is not None
    names = [name for name in window.assets if name in said.assets]
    columns = [said.assets.index(name) for name in names]
    expected = said.expected()[-1, columns]
    there = np.isfinite(expected)
    missing = [name for name in window.assets if name not in np.array(names)[there]]
    notes = (f"without a forecast, and so without a view: {', '.join(missing[:NAMED])}",) if missing else ()
    if plan.views == "black_litterman":
        arrays = said.views(weight=forecast.skill.weight).per_step()
        own = dict(zip(arrays.assets, zip(arrays.expected, arrays.errors, strict=True), strict=True))
        means, errors = zip(*(own.get(name, (np.nan, 1.0)) for name in window.assets), strict=True)
        views = Views.from_forecasts(means, uncertainty=errors, assets=window.assets)
        return _decide(window, plan, periods=periods, views=views), notes
    spread = fill_spread(said.spread()[-1:, columns])[0]
    places = np.array([window.assets.index(name) for name in names])[there]
    tilted = _tilt(base, places, expected=expected[there], uncertainty=spread[there], skill=forecast.used)
    if window.limits is None:
        return tilted, notes
    kept = None if plan.previous is None else plan.previous.as_dict()
    within = move_within(
        tilted, window.returns, times=window.times, limits=window.limits, covariance=plan.covariance, previous=kept
    )
    return within, notes


def _tilt(
    base: Weights, places: npt.NDArray[np.intp], *, expected: Doubles, uncertainty: Doubles, skill: float
) -> Weights:
    """A tilt among the assets at `places`, which keep their share of the money together."""
    if places.size < 2:
        return base
    own = base.values[places]
    part = Weights(
        assets=tuple(base.assets[place] for place in places), values=own, method=base.method, notes=base.notes,
        net=float(own.sum()),
    )  # fmt: skip
    moved = tilt_by_forecast(part, expected=expected, uncertainty=uncertainty, skill=skill)
    values = base.values.copy()
    values[places] = moved.values
    return replace(base, values=values, method=moved.method, notes=moved.notes)


def _measure(weights: Weights, window: Window, *, cov: Covariance, periods: float) -> Figures:
    values = weights.values
    risk = value_at_risk(window.returns, assets=window.assets, confidence=CONFIDENCE, weights=weights)
    assert risk.portfolio is not None
    earned = window.returns @ values
    beta = apart = None
    if window.benchmark is not None:
        beta = float(np.cov(earned, window.benchmark)[0, 1] / np.var(window.benchmark, ddof=1))
        apart = float(np.std(earned - window.benchmark, ddof=1) * np.sqrt(periods))
    variance = float(values @ cov.values @ values)
    shares = risk_contributions(weights, cov) if variance > 0.0 else np.zeros_like(values)
    return Figures(float(np.sqrt(variance * periods)), risk.portfolio.var, risk.portfolio.es, shares, beta, apart)


def _hold(previous: Weights, assets: tuple[str, ...]) -> Doubles:
    own = previous.as_dict()
    return np.array([own.get(name, 0.0) for name in assets])
