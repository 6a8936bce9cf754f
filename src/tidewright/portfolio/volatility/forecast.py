"""Volatility of the next bars, by formula or by paths. H steps, A assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.checks import check_real, check_whole
from tidewright.errors import ConfigError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.show import show
from tidewright.portfolio.volatility.persistence import loss_shares
from tidewright.portfolio.volatility.recursion import read_recursion, step_log, step_power
from tidewright.portfolio.volatility.simulate import carry_on, check_paths, draw_paths

if TYPE_CHECKING:
    import polars as pl

    from tidewright.portfolio.volatility.fit import VolatilityFit

Method = Literal["analytic", "simulation", "bootstrap"]


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityForecast:
    """What the next H bars of A assets will vary by; fractions, NaN where an asset has no model. Read-only arrays.

    variance, volatility [H, A]: of each bar's return, the root of its expected variance. cumulated [H, A]: of the sum
    of the returns of all bars up to it (shocks of different bars are uncorrelated). quantiles: level to [H, A], of
    each bar's volatility over the simulated paths; empty for "analytic", where it is one number.
    """

    assets: tuple[str, ...]
    method: Method
    variance: FloatArray
    quantiles: Mapping[float, FloatArray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    volatility: FloatArray = field(init=False)
    cumulated: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "volatility", np.sqrt(self.variance))
        object.__setattr__(self, "cumulated", np.sqrt(np.cumsum(self.variance, axis=0)))
        object.__setattr__(self, "quantiles", MappingProxyType(dict(self.quantiles)))
        for values in (self.variance, self.volatility, self.cumulated, *self.quantiles.values()):
            values.flags.writeable = False

    def __repr__(self) -> str:
        return show(self)

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row a step (from 1) and asset, with the volatility of the step and of all up to it."""
        import polars as pl

        steps, count = self.volatility.shape
        first = {"step": np.repeat(np.arange(1, steps + 1), count), "asset": self.assets * steps}
        quantiles = {f"{level:g}": values.ravel() for level, values in self.quantiles.items()}
        parts = {"volatility": self.volatility.ravel(), "cumulated": self.cumulated.ravel()}
        return pl.DataFrame(first | parts | quantiles)


def make_forecast(
    fit: VolatilityFit, *, horizon: int, method: Method, paths: int, seed: int, levels: Sequence[float]
) -> VolatilityForecast:
    """See `VolatilityFit.forecast`."""
    if method == "analytic":
        check_whole("horizon", horizon, most=100_000)
        return VolatilityForecast(fit.assets, method, _expect(fit, horizon=horizon), notes=fit.notes)
    if method not in ("simulation", "bootstrap"):
        raise ConfigError(explain_unknown("method", method, ("analytic", "simulation", "bootstrap")))
    check_paths(method, horizon=horizon, paths=paths, seed=seed)
    for level in levels:
        check_real("levels", level, words="a list of numbers from 0 to 1", low=0.0, high=1.0)
    count = len(fit.assets)
    variance, spread = np.full((horizon, count), np.nan), np.full((len(levels), horizon, count), np.nan)
    recursion = read_recursion(fit.spec, fit.parameters)
    for asset, name in enumerate(fit.assets):
        if name not in fit.failures:
            shocks = draw_paths(fit, asset, method=method, size=(horizon, paths), seed=seed)
            drawn = carry_on(fit, recursion.of(asset), asset, shocks=shocks)
            variance[:, asset] = drawn.mean(axis=1)
            spread[:, :, asset] = np.quantile(np.sqrt(drawn), levels, axis=1)
    made = f"{paths} paths from the seed {seed}"
    quantiles = dict(zip(map(float, levels), spread, strict=True))
    return VolatilityForecast(fit.assets, method, variance, quantiles, notes=(*fit.notes, made))


def _expect(fit: VolatilityFit, *, horizon: int) -> FloatArray:
    """The expected variance [H, A]: of later bars a squared shock is expected to be the variance itself."""
    spec, recursion = fit.spec, read_recursion(fit.spec, fit.parameters)
    if spec.power != 2 and horizon > 1:
        raise ConfigError(
            f"{spec.model} has no analytic forecast beyond one step; got horizon={horizon}. Ask for "
            'method="simulation" or method="bootstrap".'
        )
    depth = recursion.depth
    last_volatility, last_shocks = fit.volatility[-depth:], fit.residuals[-depth:]
    if spec.power == 0:
        logs = 2.0 * np.log(last_volatility)
        moved = step_log(recursion, last_shocks, logs, bar=depth, before=np.log(fit.backcast))
        return np.asarray(np.exp(moved))[None]
    sizes, losses, moved = (np.empty((depth + horizon, len(fit.assets))) for _ in range(3))
    moved[:depth] = last_volatility**spec.power
    sizes[:depth] = np.abs(last_volatility * last_shocks) ** spec.power
    losses[:depth] = np.where(last_shocks < 0.0, sizes[:depth], 0.0)
    below = loss_shares(spec, recursion)
    for bar in range(depth, depth + horizon):
        moved[bar] = step_power(recursion, sizes, losses, moved, bar=bar)
        sizes[bar], losses[bar] = moved[bar], below * moved[bar]
    return np.asarray(moved[depth:] ** (2.0 / spec.power), dtype=np.float64)
