"""The spectrum of each of many series: entropy and slope of its periodogram, and its memory by local Whittle.

S series of mean 0, one after the other in a flat array. Series of one length go through one Fourier transform.
Imported when first used, because numba takes 0.4 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tidewright.data.frequency import Ints
from tidewright.data.panel import Floats
from tidewright.features.scaling_kernels import LEAST_ROWS, slope

LEAST = 16  # rows for an entropy and a slope
ROOM = 1 << 18  # values that are transformed at once
QUIET = 1e-12  # power below this share of the mean is rounding, and counts as this much
BANDWIDTH = 0.65  # the local Whittle estimator reads n to this power of the lowest frequencies (Shimotsu 2010)
LOWEST, HIGHEST = 0.01, 1.49  # Hurst exponents that it can give


def measure_spectra(filled: Floats, bounds: Ints) -> Floats:
    """Spectral entropy, spectral slope and local Whittle's Hurst exponent [S, 3]; NaN where there are too few rows."""
    lengths = np.diff(bounds)
    out = np.full((len(lengths), 3), np.nan)
    for length in np.unique(lengths[lengths >= LEAST]).tolist():
        alike = np.flatnonzero(lengths == length)
        count = max(1, ROOM // length)
        for start in range(0, len(alike), count):
            some = alike[start : start + count]
            waves = np.fft.rfft(filled[bounds[some][:, None] + np.arange(length)], axis=1)[:, 1:]
            out[some] = read_power(waves.real**2 + waves.imag**2, length)
    return out


def _whittle(logs: Any, power: Any) -> float:
    """The zero of the local Whittle contrast's derivative (it ascends in H), by bisection."""
    centre = logs.mean()
    low, high = LOWEST, HIGHEST
    for _ in range(40):
        middle = 0.5 * (low + high)
        top, bottom = 0.0, 0.0
        for j in range(len(logs)):
            weight = power[j] * np.exp((2.0 * middle - 1.0) * (logs[j] - centre))
            top += weight * (logs[j] - centre)
            bottom += weight
        if top > 0.0 and bottom > 0.0:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)


def _read_power(power: Any, length: int) -> Any:
    """Entropy, slope and Hurst exponent of periodograms [K, F] of series of one length, without frequency 0."""
    count, width = power.shape
    out = np.full((count, 3), np.nan)
    logs, alike = np.log(np.arange(1, width + 1) / length), np.ones(width)
    lowest = min(int(length**BANDWIDTH), width)
    for k in range(count):
        total = power[k].sum()
        entropy = 0.0
        for share in power[k] / total:
            if share > 0.0:
                entropy -= share * np.log(share)
        out[k, 0] = entropy / np.log(width)
        out[k, 1] = slope(logs, np.log(np.maximum(power[k], QUIET * total / width)), alike)
        if length >= LEAST_ROWS:
            out[k, 2] = whittle(logs[:lowest], power[k, :lowest] / total)
    return out


whittle = njit(cache=True, nogil=True)(_whittle)
read_power = njit(cache=True, nogil=True)(_read_power)
