"""Filtered historical simulation: past shocks in units of their bar's volatility, on the volatility to come.

T bars, A assets, n outcomes.
Source: Barone-Adesi, Giannopoulos and Vosper 1999, VaR without Correlations for Portfolios of Derivative Securities.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np

from tidewright.errors import AllocationError, FallbackWarning
from tidewright.portfolio.inputs import FloatArray

if TYPE_CHECKING:
    from tidewright.portfolio.volatility.fit import VolatilityFit

VolatilityModel = Literal["garch", "egarch", "gjr", "tarch", "ewma"]
_ROOM = 4_000_000  # numbers that are simulated at a time: what is drawn depends on it


def filter_outcomes(
    values: FloatArray,
    *,
    assets: tuple[str, ...],
    model: VolatilityModel,
    horizon: int,
    draws: int | None = None,
    seed: int = 0,
    workers: int = 1,
) -> tuple[FloatArray, tuple[str, ...]]:
    """Outcomes [n, A] over the horizon from returns [T, A], and what to say of them.

    All assets of an outcome take the shocks of the same bars, so that what moves together does so in it. Without
    `draws`, for one bar, each past shock is one outcome; else so many paths take past bars at random, compounded.
    """
    fit = fit_all(values, assets=assets, model=model, workers=workers)
    said = f"volatility by {model}, each asset on its own"
    if draws is None:
        ahead = fit.forecast(horizon=1).volatility[0]
        mean = values[0] - fit.volatility[0] * fit.residuals[0]
        return mean + ahead * fit.residuals, (said, f"{len(values)} outcomes: each past shock once")
    step = max(_ROOM // (horizon * len(assets)), 1)
    seeds = np.random.SeedSequence(seed).generate_state(-(-draws // step))
    outcomes, cut = np.empty((draws, len(assets))), 0
    for place, own in enumerate(seeds.tolist()):
        part = outcomes[place * step : (place + 1) * step]
        growth = 1.0 + fit.simulate(horizon=horizon, method="bootstrap", paths=len(part), seed=own)
        cut += int((growth < 0.0).sum())
        part[:] = np.maximum(growth, 0.0).prod(axis=1) - 1.0
    paths = "draws of one bar" if horizon == 1 else f"simulated paths of {horizon} bars, compounded"
    notes = (said, f"{draws} {paths}; seed {seed}")
    return outcomes, (*notes, f"{cut} simulated returns below -100 % were cut there") if cut else notes


def fit_all(values: FloatArray, *, assets: tuple[str, ...], model: VolatilityModel, workers: int) -> VolatilityFit:
    """The volatility model of every asset; one that could not be fitted is an error that says why."""
    from tidewright.portfolio.volatility.fit import fit_volatility

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)  # the error below says the same
        fit = fit_volatility(values, assets=assets, model=model, workers=workers)
    if fit.failures:
        name, why = next(iter(fit.failures.items()))
        raise AllocationError(
            f"{name!r} has no volatility model: {why} ({len(fit.failures)} such of {len(assets)}). Leave it out, or "
            "take method='historical'."
        )
    return fit
