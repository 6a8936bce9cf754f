"""Quantiles of an exponential smoothing model with a multiplicative part, from paths that it draws.

Hyndman, Koehler, Ord, Snyder (2008), chapter 2.5 and 6.1. statsforecast's formula for a multiplicative season under a
multiplicative error gives every step the same width, which the paths do not. K paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tidewright.features.windows import Doubles

PATHS = 5000


def draw_ets_paths(known: Mapping[str, Any], *, steps: int, seed: int = 1) -> Doubles:
    """Paths [K, steps] of the model that statsforecast fitted, `known` its `model_`: normal errors, equal seeds equal
    bits.
    """
    error, trend, season, damped = known["components"]
    alpha, beta, gamma, phi = (float(value) for value in known["par"][:4])
    phi = phi if damped == "D" else 1.0
    states = np.asarray(known["states"][-1], dtype=np.float64)
    level = np.full(PATHS, states[0])
    slope = np.full(PATHS, states[1] if trend != "N" else 0.0)
    cycle = [np.full(PATHS, value) for value in states[-int(known["m"]) :][::-1]] if season != "N" else []
    shocks = np.random.default_rng(seed).normal(scale=np.sqrt(known["sigma2"]), size=(steps, PATHS))
    out = np.empty((steps, PATHS))
    for step in range(steps):
        part: Any = cycle.pop(0) if cycle else (1.0 if season == "M" else 0.0)
        kept = slope**phi if trend == "M" else slope * phi
        base = level * kept if trend == "M" else level + kept
        value = base * part if season == "M" else base + part
        out[step] = value * (1.0 + shocks[step]) if error == "M" else value + shocks[step]
        clean = out[step] / part if season == "M" else out[step] - part
        before, level = level, base + alpha * (clean - base)
        if trend != "N":
            slope = kept + beta / alpha * ((level / before if trend == "M" else level - before) - kept)
        if season != "N":
            now = out[step] / base if season == "M" else out[step] - base
            cycle.append(part + gamma * (now - part))
    return out.T
