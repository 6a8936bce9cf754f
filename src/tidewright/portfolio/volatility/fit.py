"""`fit_volatility`: a model of each asset's changing volatility, and what it gives. T bars, A assets, K parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.checks import check_calls, check_whole
from tidewright.errors import AllocationError, FallbackWarning, FitError
from tidewright.portfolio.inputs import (
    FloatArray,
    TimeArray,
    read_assets,
    read_matrix,
    read_times,
    refuse_prices,
    tell_percent,
)
from tidewright.portfolio.labels import name_assets
from tidewright.portfolio.show import show
from tidewright.portfolio.volatility.catalog import Backcast, Distribution, Mean, ModelName, VolatilitySpec
from tidewright.portfolio.volatility.crew import Callback, fit_all
from tidewright.portfolio.volatility.outcome import Outcome, find_fault
from tidewright.portfolio.volatility.persistence import measure_persistence
from tidewright.portfolio.volatility.recursion import FURTHEST, filter_variance, read_recursion

if TYPE_CHECKING:
    import polars as pl

    from tidewright.portfolio.volatility.forecast import Method, VolatilityForecast

NAMED = 5  # assets that a warning names
STALE = 0.2  # share of returns of exactly 0
NO_LEVEL = 1.0 - 1e-6  # a persistence that is one to the optimiser


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityFit:
    """The models of A assets on T bars; all in fractions of a period, an asset that failed is NaN throughout.

    parameters [K, A] in the order of `spec.names` (omega in the unit of the power that the model moves: variance,
    volatility or log variance). log_likelihood, aic, bic [A]: of the returns as fractions; a fit of percent has
    T ln 100 less log-likelihood. persistence [A]: how much of a shock's effect is left a bar later; of variance, of
    volatility (tarch) or of log variance (egarch). converged [A]. volatility [T, A]: that of each bar, told from the
    bars before it. residuals [T, A]: (return - mu) / volatility. backcast [A]: the variance before the first bar.
    `failures` says of each asset without a model why, `notes` what the reader should know. Arrays are read-only.
    """

    spec: VolatilitySpec
    assets: tuple[str, ...]
    times: TimeArray | None
    parameters: FloatArray
    log_likelihood: FloatArray
    aic: FloatArray
    bic: FloatArray
    persistence: FloatArray
    converged: NDArray[np.bool_]
    backcast: FloatArray
    volatility: FloatArray
    residuals: FloatArray
    failures: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "failures", MappingProxyType(dict(self.failures)))
        for name in ("parameters", "log_likelihood", "aic", "bic", "persistence", "converged", "backcast",
                     "volatility", "residuals"):  # fmt: skip
            getattr(self, name).flags.writeable = False

    def __repr__(self) -> str:
        return show(self, by_asset=("log_likelihood", "aic", "bic", "persistence", "converged", "backcast"))

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row an asset, with its parameters, criteria and newest volatility, or why it has none."""
        import polars as pl

        names = ("log_likelihood", "aic", "bic", "persistence", "converged")
        columns: dict[str, Any] = {"asset": self.assets} | dict(zip(self.spec.names, self.parameters, strict=True))
        columns |= {name: getattr(self, name) for name in names} | {"volatility": self.volatility[-1]}
        failures = [self.failures.get(name) for name in self.assets]
        return pl.DataFrame(columns | {"failure": pl.Series(failures, dtype=pl.String)})

    def parameters_of(self, asset: str) -> dict[str, float]:
        """One asset's parameters by name; an asset that failed is an AllocationError that says why."""
        if asset not in self.assets:
            raise AllocationError(f"no asset is called {asset!r}. There are: {', '.join(self.assets)}.")
        if asset in self.failures:
            raise AllocationError(f"{asset!r} has no model: {self.failures[asset]}.")
        return dict(zip(self.spec.names, self.parameters[:, self.assets.index(asset)].tolist(), strict=True))

    def apply(self, returns: ArrayLike, *, times: ArrayLike | None = None) -> VolatilityFit:
        """The same parameters on other returns [T, A] of the same assets, such as a year more of them.

        Nothing is estimated: the volatility of a bar depends on the bars before it alone, whatever comes later. An
        asset whose returns can't be used fails as it does in a fit. The log-likelihood and its criteria stay those of
        the fit.
        """
        values, stamps = _read(returns, assets=self.assets, times=times)
        failures = dict(self.failures)
        for place, asset in enumerate(self.assets):
            wrong = not np.isfinite(values[:, place]).all()
            if asset not in failures and wrong:
                failures[asset] = find_fault(values[:, place])
        lost = np.array([asset in failures for asset in self.assets])
        recursion = read_recursion(self.spec, np.where(lost, np.nan, self.parameters))
        shocks = np.where(lost, np.nan, values - np.where(lost, 0.0, recursion.mu))
        with np.errstate(invalid="ignore"):
            volatility = np.sqrt(filter_variance(recursion, shocks, backcast=self.backcast))
        _warn(failures, before=self.failures)
        parts: dict[str, Any] = {"volatility": volatility, "residuals": shocks / volatility, "failures": failures}
        parts["notes"] = (*self.notes, *_tell_held(self, volatility))
        return replace(self, times=stamps, converged=self.converged & ~lost, **parts)

    def forecast(
        self,
        *,
        horizon: int,
        method: Method = "analytic",
        paths: int = 10_000,
        seed: int = 0,
        levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    ) -> VolatilityForecast:
        """The volatility of the next `horizon` bars; see `VolatilityForecast`.

        "analytic" is exact for garch, gjr and ewma, and for the others one step ahead. "simulation" draws shocks from
        the fitted distribution, "bootstrap" from the asset's own residuals; both make `paths` and give quantiles at
        `levels`. Equal seeds give equal numbers, of an asset whatever others stand beside it.
        """
        from tidewright.portfolio.volatility.forecast import make_forecast

        return make_forecast(self, horizon=horizon, method=method, paths=paths, seed=seed, levels=levels)

    def simulate(
        self,
        *,
        horizon: int,
        method: Literal["simulation", "bootstrap"] = "bootstrap",
        paths: int = 10_000,
        seed: int = 0,
    ) -> FloatArray:
        """Returns [paths, horizon, A] of the next bars, as fractions, mu included.

        A path of "bootstrap" takes the residuals of one and the same past bar for all assets, so that what moves
        together does so in it (filtered historical simulation: Barone-Adesi, Giannopoulos and Vosper 1999);
        "simulation" draws each asset on its own.
        """
        from tidewright.portfolio.volatility.simulate import simulate_returns

        return simulate_returns(self, horizon=horizon, method=method, paths=paths, seed=seed)


def fit_volatility(
    returns: ArrayLike,
    *,
    assets: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    model: ModelName = "garch",
    distribution: Distribution = "normal",
    p: int = 1,
    o: int | None = None,
    q: int = 1,
    mean: Mean | None = None,
    backcast: Backcast = "arch",
    decay: float | Literal["fitted"] | None = None,
    workers: int = 1,
    callbacks: Sequence[Callback] = (),
) -> VolatilityFit:
    """A model of each asset's volatility, from simple returns [T, A] as fractions; each is fitted on its own.

    The options of a model are those of `VolatilitySpec`. `workers` processes share the assets, with the numbers of
    one; each of `callbacks` is given an `AssetFitted` as each asset is done. An asset that can't be fitted (it does not
    move, is too short, has NaN, or the optimiser did not converge) is named with its reason in `failures`, in a
    `FallbackWarning`, and has NaN; the others are fitted all the same. `FitError` where every asset failed.
    """
    spec = VolatilitySpec(model, distribution, p=p, o=o, q=q, mean=mean, backcast=backcast, decay=decay)
    check_whole("workers", workers, most=512)
    check_calls("callbacks", callbacks)
    names = name_assets(returns, assets)
    values, stamps = _read(returns, assets=names, times=times)
    outcomes = fit_all(spec, values, assets=names, workers=workers, callbacks=callbacks)
    failures = {name: outcome.failure for name, outcome in zip(names, outcomes, strict=True) if outcome.failure}
    if len(failures) == len(names):
        raise FitError(f"no asset has a volatility model: {_name_some(failures)}. Mend or leave out these returns.")
    _warn(failures, before={})
    return _gather(spec, names, stamps, values, outcomes=outcomes, failures=failures)


def _read(
    returns: ArrayLike, *, assets: tuple[str, ...], times: ArrayLike | None
) -> tuple[FloatArray, TimeArray | None]:
    values = read_matrix(returns, noun="returns")
    names = read_assets(name_assets(returns, assets), columns=values.shape[1])
    stamps = None if times is None else read_times(times, rows=values.shape[0])
    if values.shape[0] == 0:
        raise AllocationError("there are no rows of returns. Bring one row a bar.")
    refuse_prices(values, names=names)
    return values, stamps


def _gather(
    spec: VolatilitySpec,
    assets: tuple[str, ...],
    times: TimeArray | None,
    returns: FloatArray,
    *,
    outcomes: Sequence[Outcome],
    failures: Mapping[str, str],
) -> VolatilityFit:
    rows = returns.shape[0]
    parameters = np.column_stack([one.parameters if not one.failure else _nothing(len(spec.names)) for one in outcomes])
    variance = np.column_stack([one.variance if not one.failure else _nothing(rows) for one in outcomes])
    recursion = read_recursion(spec, parameters)
    persistence = measure_persistence(spec, recursion)
    volatility = np.sqrt(variance)
    likelihood = np.array([one.log_likelihood for one in outcomes])
    notes = [*_tell_persistent(spec, assets, persistence), *_tell_stale(assets, returns, failures=failures)]
    notes += tell_percent(returns, assets=assets)
    return VolatilityFit(
        spec=spec,
        assets=assets,
        times=times,
        parameters=parameters,
        log_likelihood=likelihood,
        aic=2.0 * spec.estimated - 2.0 * likelihood,
        bic=np.log(rows) * spec.estimated - 2.0 * likelihood,
        persistence=persistence,
        converged=np.array([name not in failures for name in assets]),
        backcast=np.array([one.backcast for one in outcomes]),
        volatility=volatility,
        residuals=(returns - recursion.mu) / volatility,
        failures=failures,
        notes=tuple(notes),
    )


def _tell_held(fit: VolatilityFit, volatility: FloatArray) -> list[str]:
    """Of a log variance that ran as far as it may, how often."""
    if fit.spec.power:
        return []
    with np.errstate(invalid="ignore"):
        far = np.abs(2.0 * np.log(volatility) - np.log(fit.backcast)) >= FURTHEST - 1e-9
    return [
        f"the variance of {name!r} ran away from its model in {count} bars and was held within a factor of 1e10 of "
        "where it began"
        for name, count in zip(fit.assets, far.sum(axis=0).tolist(), strict=True)
        if count
    ]


def _tell_persistent(spec: VolatilitySpec, assets: Sequence[str], persistence: FloatArray) -> list[str]:
    return [
        f"the persistence of {name!r} is one: its variance has no level to come back to, and a forecast of it keeps "
        "what a shock left"
        for name, value in zip(assets, persistence, strict=True)
        if value >= NO_LEVEL and spec.model != "ewma"
    ]


def _tell_stale(assets: Sequence[str], returns: FloatArray, *, failures: Mapping[str, str]) -> list[str]:
    return [
        f"{100 * share:.0f} % of the returns of {name!r} are exactly 0, as of prices that stand still: its model "
        "describes these too"
        for name, share in zip(assets, (returns == 0.0).mean(axis=0).tolist(), strict=True)
        if share > STALE and name not in failures
    ]


def _nothing(size: int) -> FloatArray:
    return np.full(size, np.nan)


def _warn(failures: Mapping[str, str], *, before: Mapping[str, str]) -> None:
    new = {name: why for name, why in failures.items() if name not in before}
    if new:
        warnings.warn(f"NaN stands for what has no volatility model: {_name_some(new)}.", FallbackWarning, stacklevel=3)


def _name_some(failures: Mapping[str, str]) -> str:
    said = [f"{name!r}: {why}" for name, why in list(failures.items())[:NAMED]]
    more = len(failures) - len(said)
    return "; ".join(said) + (f"; and {more} more, see failures" if more else "")
