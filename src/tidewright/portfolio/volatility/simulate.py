"""Paths of the next bars: shocks drawn, and the recursion carried on. H steps, A assets, M paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tidewright.checks import check_whole
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.recursion import Recursion, read_recursion, step_log, step_power
from tidewright.portfolio.volatility.shapes import draw_shocks

if TYPE_CHECKING:
    from tidewright.portfolio.volatility.fit import VolatilityFit


def simulate_returns(fit: VolatilityFit, *, horizon: int, method: str, paths: int, seed: int) -> FloatArray:
    """See `VolatilityFit.simulate`."""
    check_paths(method, horizon=horizon, paths=paths, seed=seed)
    answer = np.full((paths, horizon, len(fit.assets)), np.nan)
    recursion = read_recursion(fit.spec, fit.parameters)
    for asset, name in enumerate(fit.assets):
        if name not in fit.failures:
            shocks = draw_paths(fit, asset, method=method, size=(horizon, paths), seed=seed)
            variance = carry_on(fit, recursion.of(asset), asset, shocks=shocks)
            answer[:, :, asset] = (recursion.mu[asset] + shocks * np.sqrt(variance)).T
    return answer


def check_paths(method: str, *, horizon: int, paths: int, seed: int) -> None:
    """Refuses other than a horizon, a number of paths, a seed, and one of the ways to draw."""
    from tidewright.catalog import explain_unknown
    from tidewright.errors import ConfigError

    check_whole("horizon", horizon, most=100_000)
    check_whole("paths", paths, most=100_000_000)
    check_whole("seed", seed, least=0)
    if method not in ("simulation", "bootstrap"):
        raise ConfigError(explain_unknown("method", method, ("simulation", "bootstrap")))


def draw_paths(fit: VolatilityFit, asset: int, *, method: str, size: tuple[int, int], seed: int) -> FloatArray:
    """Standardised shocks [H, M]. A bootstrap's rows are the same for all assets; other draws are the asset's own."""
    if method == "bootstrap":
        rows = np.random.default_rng(seed).integers(0, len(fit.residuals), size=size)
        return np.asarray(fit.residuals[rows, asset])
    own = np.random.default_rng([seed, *fit.assets[asset].encode()])
    shape = read_recursion(fit.spec, fit.parameters).shape[:, asset].tolist()
    return draw_shocks(fit.spec.distribution, shape, size=size, draw=own)


def carry_on(fit: VolatilityFit, recursion: Recursion, asset: int, *, shocks: FloatArray) -> FloatArray:
    """The variance [H, M] of one asset's next bars under standardised shocks [H, M]."""
    horizon, paths = shocks.shape
    depth = recursion.depth
    past_volatility = fit.volatility[len(fit.volatility) - depth :, asset, None]
    past_shocks = fit.residuals[len(fit.residuals) - depth :, asset, None]
    room = np.empty((depth + horizon, paths))
    scaled, moved, losses = room, room.copy(), room.copy()
    power = recursion.power
    if power == 0:
        scaled[:depth], moved[:depth] = past_shocks, 2.0 * np.log(past_volatility)
        scaled[depth:] = shocks
        for bar in range(depth, depth + horizon):
            moved[bar] = step_log(recursion, scaled, moved, bar=bar, before=np.log(fit.backcast[asset, None]))
        return np.exp(moved[depth:])
    sizes = scaled
    sizes[:depth] = np.abs(past_shocks * past_volatility) ** power
    losses[:depth] = np.where(past_shocks < 0.0, sizes[:depth], 0.0)
    moved[:depth] = past_volatility**power
    weights = np.abs(shocks) ** power
    for bar in range(depth, depth + horizon):
        moved[bar] = step_power(recursion, sizes, losses, moved, bar=bar)
        sizes[bar] = weights[bar - depth] * moved[bar]
        losses[bar] = np.where(shocks[bar - depth] < 0.0, sizes[bar], 0.0)
    return np.asarray(moved[depth:] ** (2.0 / power), dtype=np.float64)
