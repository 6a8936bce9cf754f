"""The recursion that all models share: s_t from shocks and volatilities before t. T bars, A assets, lags p, o, q.

With s the power of the volatility that the model moves (2, 1), s_t = omega + sum alpha |e|^power + sum gamma
|e|^power [e < 0] + sum beta s; with power 0, s is the logarithm of the variance v and s_t = omega + sum alpha (|z| -
sqrt(2 / pi)) + sum gamma z + sum beta s, z = e / sqrt(v). Before the first bar stands `backcast`, a variance, as in the
package arch. A log variance is held within a factor of 1e10 of that: negative weights let it run away else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.catalog import VolatilitySpec

FURTHEST = math.log(1e10)  # that a log variance may be from the backcast's
NORMAL_SIZE = math.sqrt(2.0 / math.pi)  # the mean size of a standard normal shock


@dataclass(frozen=True, slots=True, eq=False)
class Recursion:
    """Coefficients of all assets: mu [A], omega [A], alpha [p, A], gamma [o, A], beta [q, A], shape [0 to 2, A]."""

    power: int
    mu: FloatArray
    omega: FloatArray
    alpha: FloatArray
    gamma: FloatArray
    beta: FloatArray
    shape: FloatArray

    @property
    def depth(self) -> int:
        """How many bars back it looks."""
        return max(len(self.alpha), len(self.gamma), len(self.beta))

    def of(self, asset: int) -> Recursion:
        """That of one asset, given by its number."""
        one = slice(asset, asset + 1)
        parts = (self.mu, self.omega, self.alpha, self.gamma, self.beta, self.shape)
        return Recursion(self.power, *(part[..., one] for part in parts))


def read_recursion(spec: VolatilitySpec, parameters: FloatArray) -> Recursion:
    """The coefficients in parameters [K, A], in the order of `spec.names`."""
    mu = parameters[0] if spec.mean == "constant" else np.zeros(parameters.shape[1])
    rest = parameters[1:] if spec.mean == "constant" else parameters
    if spec.model == "ewma":
        nothing = np.empty((0, rest.shape[1]))
        return Recursion(2, mu, np.zeros_like(mu), 1.0 - rest, nothing, rest, nothing)
    p, o, q = spec.lags
    alpha, gamma, beta, shape = np.split(rest[1:], np.cumsum((p, o, q)))
    return Recursion(spec.power, mu, rest[0], alpha, gamma, beta, shape)


def filter_variance(recursion: Recursion, shocks: FloatArray, *, backcast: FloatArray) -> FloatArray:
    """The conditional variance [T, A] of each bar, told from the shocks [T, A] before it and never from its own."""
    if recursion.power == 0:
        return _filter_log(recursion, shocks, backcast=backcast)
    from scipy.signal import lfilter

    power = recursion.power
    before = backcast ** (power / 2.0)
    sizes = np.abs(shocks) ** power
    drive = np.repeat(recursion.omega[None], len(shocks), axis=0)
    for weights, values, start in (
        (recursion.alpha, sizes, before),
        (recursion.gamma, np.where(shocks < 0.0, sizes, 0.0), before / 2.0),
    ):
        for lag, weight in enumerate(weights, start=1):
            drive[:lag] += weight * start
            drive[lag:] += weight * values[:-lag]
    moved = np.empty_like(drive)
    for asset, (start, beta) in enumerate(zip(before, recursion.beta.T, strict=True)):
        own = np.append(1.0, -beta)
        state = np.array([beta[lag:].sum() * start for lag in range(beta.size)])
        moved[:, asset] = lfilter([1.0], own, drive[:, asset], zi=state)[0] if beta.size else drive[:, asset]
    return np.asarray(moved ** (2.0 / power), dtype=np.float64)


def _filter_log(recursion: Recursion, shocks: FloatArray, *, backcast: FloatArray) -> FloatArray:
    logs = np.empty_like(shocks)
    scaled = np.empty_like(shocks)
    before = np.log(backcast)
    for bar, shock in enumerate(shocks):
        logs[bar] = step_log(recursion, scaled, logs, bar=bar, before=before)
        scaled[bar] = shock * np.exp(-0.5 * logs[bar])
    return np.exp(logs)


def step_log(recursion: Recursion, scaled: Any, logs: Any, *, bar: int, before: FloatArray) -> Any:
    """The log variance of `bar` from the bars before it; `before`, the backcast's, stands where there is none."""
    total: Any = recursion.omega
    for lag, weight in enumerate(recursion.alpha, start=1):
        if bar >= lag:
            total = total + weight * (np.abs(scaled[bar - lag]) - NORMAL_SIZE)
    for lag, weight in enumerate(recursion.gamma, start=1):
        if bar >= lag:
            total = total + weight * scaled[bar - lag]
    for lag, weight in enumerate(recursion.beta, start=1):
        total = total + weight * (logs[bar - lag] if bar >= lag else before)
    return np.clip(total, before - FURTHEST, before + FURTHEST)


def step_power(recursion: Recursion, sizes: Any, losses: Any, moved: Any, *, bar: int) -> Any:
    """s of `bar`, from |e|^power, that of losses, and s of the bars before; the arrays reach back far enough."""
    total: Any = recursion.omega
    for weights, values in ((recursion.alpha, sizes), (recursion.gamma, losses), (recursion.beta, moved)):
        for lag, weight in enumerate(weights, start=1):
            total = total + weight * values[bar - lag]
    return total
