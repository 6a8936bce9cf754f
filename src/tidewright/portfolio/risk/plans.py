"""How each method comes from returns to outcomes over the horizon: T bars, A assets.

The keyword arguments of each plan, behind those that all share, are the options of its method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from tidewright.catalog import explain_unknown
from tidewright.checks import check_real, check_whole
from tidewright.errors import ConfigError
from tidewright.portfolio.covariance.record import Covariance, read_square
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.cornish_fisher import CornishFisher, Moments
from tidewright.portfolio.risk.extreme_value import ExtremeValue
from tidewright.portfolio.risk.filtered import VolatilityModel, filter_outcomes
from tidewright.portfolio.risk.historical import Historical
from tidewright.portfolio.risk.monte_carlo import choose_degrees, simulate_outcomes
from tidewright.portfolio.risk.normal import Normal
from tidewright.portfolio.risk.reach import Plan, check_root, make_blocks, take_blocks
from tidewright.portfolio.risk.record import HorizonBy, RiskMethod
from tidewright.portfolio.risk.student import StudentT
from tidewright.portfolio.risk.student_fit import LEAST

Reach = Literal["blocks", "root of time"]
_AROUND = "the parts of VaR are read off a line through the outcomes around it"


def plan_historical(
    values: FloatArray, *, assets: tuple[str, ...], confidence: float, horizon: int, horizon_by: Reach = "blocks"
) -> Plan:
    """The past as it was: blocks of the horizon, or one bar times the root of time."""
    tail = Historical(confidence)
    if _by_blocks(horizon_by, horizon):
        blocks, notes = take_blocks(values, horizon=horizon, confidence=confidence)
        return Plan(blocks, tail, _name("blocks", horizon), notes, _AROUND)
    check_root(values, horizon=horizon)
    take_blocks(values, horizon=1, confidence=confidence)
    note = f"horizon by the root of time: losses of one bar times the root of {horizon}, which is only nearly so"
    return Plan(values * math.sqrt(horizon), tail, "root of time", (note,), _AROUND)


def plan_normal(
    values: FloatArray,
    *,
    assets: tuple[str, ...],
    confidence: float,
    horizon: int,
    horizon_by: Reach = "root of time",
    covariance: ArrayLike | Covariance | None = None,
) -> Plan:
    """A normal with the sample's covariance or another."""
    if covariance is not None:
        matrix = _read_covariance(covariance, assets=assets)
        if horizon_by == "blocks":
            raise ConfigError(
                "covariance is of one bar, blocks are of many. Leave out one of covariance and horizon_by."
            )
        return _by_root(
            values, Normal(confidence, horizon, matrix), horizon=horizon, words="exact for sums of independent bars"
        )
    if _by_blocks(horizon_by, horizon):
        blocks, notes = take_blocks(values, horizon=horizon, confidence=confidence)
        return Plan(blocks, Normal(confidence), _name("blocks", horizon), notes)
    return _by_root(values, Normal(confidence, horizon), horizon=horizon, words="exact for sums of independent bars")


def plan_t(
    values: FloatArray,
    *,
    assets: tuple[str, ...],
    confidence: float,
    horizon: int,
    horizon_by: Reach = "root of time",
    degrees: float | None = None,
) -> Plan:
    """Student's t, with degrees of freedom of greatest likelihood or given."""
    if degrees is not None:
        check_real("degrees", degrees, words="a number above 1.01", low=LEAST, open_low=True)
    if _by_blocks(horizon_by, horizon):
        blocks, notes = take_blocks(values, horizon=horizon, confidence=confidence)
        return Plan(blocks, StudentT(confidence, degrees=degrees), _name("blocks", horizon), notes)
    return _by_root(
        values, StudentT(confidence, horizon, degrees), horizon=horizon, words="a sum of t is no t: its tail is thinner"
    )


def plan_cornish_fisher(
    values: FloatArray,
    *,
    assets: tuple[str, ...],
    confidence: float,
    horizon: int,
    horizon_by: Reach = "root of time",
    moments: Moments = "plain",
) -> Plan:
    """The normal's quantile bent by skewness and kurtosis."""
    _check_word("moments", moments, known=get_args(Moments))
    if _by_blocks(horizon_by, horizon):
        blocks, notes = take_blocks(values, horizon=horizon, confidence=confidence)
        return Plan(blocks, CornishFisher(confidence, moments=moments), _name("blocks", horizon), notes)
    return _by_root(
        values,
        CornishFisher(confidence, horizon, moments),
        horizon=horizon,
        words="exact cumulants for sums of independent bars",
    )


def plan_monte_carlo(
    values: FloatArray,
    *,
    assets: tuple[str, ...],
    confidence: float,
    horizon: int,
    distribution: Literal["normal", "t"] = "normal",
    degrees: float | None = None,
    covariance: ArrayLike | Covariance | None = None,
    draws: int = 20_000,
    seed: int = 0,
) -> Plan:
    """Draws of a multivariate normal or t with the sample's mean and its covariance or another."""
    _check_word("distribution", distribution, known=("normal", "t"))
    _check_draws(draws, seed=seed, confidence=confidence)
    matrix = np.atleast_2d(np.cov(values.T)) if covariance is None else _read_covariance(covariance, assets=assets)
    paths = "draws of one bar" if horizon == 1 else f"simulated paths of {horizon} bars, compounded"
    notes = [f"{draws} {paths}; seed {seed}"]
    if distribution == "t":
        degrees, told = _settle_degrees(values, degrees)
        notes.append(told)
    elif degrees is not None:
        raise ConfigError("degrees belong to distribution='t'; the normal has none. Leave them out.")
    outcomes, cut = simulate_outcomes(
        values.mean(axis=0), matrix, draws=draws, horizon=horizon, seed=seed, degrees=degrees
    )
    if cut:
        notes.append(f"{cut} simulated returns below -100 % were cut there")
    return Plan(outcomes, Historical(confidence), _name("simulation", horizon), tuple(notes), _AROUND)


def plan_filtered_historical(
    values: FloatArray,
    *,
    assets: tuple[str, ...],
    confidence: float,
    horizon: int,
    model: VolatilityModel = "garch",
    draws: int | None = None,
    seed: int = 0,
    workers: int = 1,
) -> Plan:
    """Past shocks, each in units of its day's volatility, on the volatility of the days to come."""
    if horizon == 1 and draws is None:
        take_blocks(values, horizon=1, confidence=confidence)
    else:
        draws = 20_000 if draws is None else draws
        _check_draws(draws, seed=seed, confidence=confidence)
    outcomes, notes = filter_outcomes(
        values, assets=assets, model=model, horizon=horizon, draws=draws, seed=seed, workers=workers
    )
    return Plan(outcomes, Historical(confidence), _name("simulation", horizon), notes, _AROUND)


def plan_extreme_value(
    values: FloatArray,
    *,
    assets: tuple[str, ...],
    confidence: float,
    horizon: int,
    threshold: float = 0.1,
    model: VolatilityModel | None = None,
    workers: int = 1,
) -> Plan:
    """Peaks over a threshold of blocks of the horizon; with a volatility model of its residuals, for one bar."""
    check_real("threshold", threshold, words="a share above 0 and at most 0.5", low=0.0, high=0.5, open_low=True)
    splits_by = "the parts are read off a line through the exceedances"
    if model is not None:
        if horizon > 1:
            raise ConfigError(
                f"extreme_value with a volatility model is for one bar; got horizon={horizon}. Leave the model out, or "
                "take method='filtered_historical'."
            )
        outcomes, notes = filter_outcomes(values, assets=assets, model=model, horizon=1, workers=workers)
        return Plan(outcomes, ExtremeValue(confidence, threshold), "one bar", notes, splits_by)
    if workers != 1:
        raise ConfigError("workers share the fits of a volatility model; without a model there are none.")
    blocks, notes = make_blocks(values, horizon=horizon)
    return Plan(blocks, ExtremeValue(confidence, threshold, horizon), _name("blocks", horizon), notes, splits_by)


PLANS: Mapping[RiskMethod, Callable[..., Plan]] = MappingProxyType(
    {
        "historical": plan_historical,
        "normal": plan_normal,
        "t": plan_t,
        "cornish_fisher": plan_cornish_fisher,
        "monte_carlo": plan_monte_carlo,
        "filtered_historical": plan_filtered_historical,
        "extreme_value": plan_extreme_value,
    }
)
SHARED = ("values", "assets", "confidence", "horizon")


def _by_blocks(horizon_by: str, horizon: int) -> bool:
    _check_word("horizon_by", horizon_by, known=get_args(Reach))
    return horizon == 1 or horizon_by == "blocks"


def _by_root(values: FloatArray, tail: Normal | StudentT | CornishFisher, *, horizon: int, words: str) -> Plan:
    check_root(values, horizon=horizon)
    if horizon == 1:
        return Plan(values, tail, "one bar")
    note = f"horizon by the root of time: {words}, and only nearly so for compounded returns"
    return Plan(values, tail, "root of time", (note,))


def _name(way: HorizonBy, horizon: int) -> HorizonBy:
    return "one bar" if horizon == 1 else way


def _read_covariance(covariance: ArrayLike | Covariance, *, assets: tuple[str, ...]) -> FloatArray:
    if isinstance(covariance, Covariance):
        return covariance.order(assets).values
    return read_square(covariance, assets=assets)


def _settle_degrees(values: FloatArray, degrees: float | None) -> tuple[float, str]:
    if degrees is None:
        found = choose_degrees(values)
        return found, f"t with {found:.1f} degrees of freedom, shared by all assets, by composite likelihood"
    check_real("degrees", degrees, words="a number above 2, or there is no variance", low=2.0, open_low=True)
    return float(degrees), f"t with {degrees:g} degrees of freedom, as given"


def _check_draws(draws: int, *, seed: int, confidence: float) -> None:
    check_whole("draws", draws, least=math.ceil(10.0 / (1.0 - confidence) - 1e-9), most=10_000_000)
    check_whole("seed", seed, least=0)


def _check_word(name: str, value: object, *, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(explain_unknown(name, value, known))
