"""How strong trend and season of each of many series are, after a classical decomposition, compiled.

S series in a flat array, series s at `bounds[s]:bounds[s + 1]`, without gaps. Imported when first used, because numba
takes 0.4 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LEAST_CYCLES = 3  # seasons that a series needs for its season to be measured
WEEK = 7  # rows that a trend is averaged over where there is no season
FLAT = 1e-24  # a variance at or below this share of the series' own is rounding


def _trend(values: Any, width: int) -> Any:
    """The centred moving average over `width` rows, half weights at the ends where that is even, inside the edges."""
    half = width // 2
    out = np.empty(len(values) - 2 * half)
    for i in range(len(out)):
        window = values[i : i + 2 * half + 1]
        total = window.sum()
        if width % 2 == 0:
            total -= 0.5 * (window[0] + window[-1])
        out[i] = total / width
    return out


def _cycle(rest: Any, season: int) -> Any:
    """The mean of each place in the season, at every row."""
    out = np.zeros(len(rest))
    for place in range(season):
        out[place::season] = rest[place::season].mean()
    return out


def _drift(values: Any, spread: float) -> float:
    """The size of the lag-1 correlation of differences; 1 where these don't vary."""
    steps = values[1:] - values[:-1]  # np.diff takes 1 s more to compile
    early, late = steps[:-1] - steps[:-1].mean(), steps[1:] - steps[1:].mean()
    both = (early * early).mean() * (late * late).mean()
    return abs((early * late).mean()) / np.sqrt(both) if both > (FLAT * spread) ** 2 else 1.0


def _measure_strengths(filled: Any, bounds: Any, season: int) -> Any:
    """Season strength, trend strength, noise share and drift share [S, 4]; NaN where a series is too short."""
    size, width = len(bounds) - 1, season if season > 1 else WEEK
    out = np.full((size, 4), np.nan)
    for s in range(size):
        values = filled[bounds[s] : bounds[s + 1]]
        if len(values) < LEAST_CYCLES * width:
            continue
        spread = values.var()
        slow = trend(values, width)
        rest = values[width // 2 : len(values) - width // 2] - slow
        around = cycle(rest, season) if season > 1 else np.zeros(len(rest))
        noise, whole = (rest - around).var(), (slow + rest - around).var()
        if season > 1 and rest.var() > FLAT * spread:
            out[s, 0] = max(0.0, 1.0 - noise / rest.var())
        out[s, 1] = max(0.0, 1.0 - noise / whole) if whole > FLAT * spread else 0.0
        out[s, 2] = min(noise / spread, 1.0)
        out[s, 3] = drift(values, spread)
    return out


trend = njit(cache=True, nogil=True)(_trend)
cycle = njit(cache=True, nogil=True)(_cycle)
drift = njit(cache=True, nogil=True)(_drift)
measure_strengths = njit(cache=True, nogil=True)(_measure_strengths)
