"""The compiled way from windows to what trees see of them. Imported when first used, because numba takes 0.4 s.

N windows, L lookback, H horizon, F features, Q outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tidewright.features.lag_kernels import sum_squares, summarise
from tidewright.features.statistics import STD

FLAT = 1e-6  # as in models/tree_inputs


def _summarise_end(own: Any, low: int, found: Any) -> None:
    """Mean, deviation, least and largest of the values from `low` on; NaN as `rolling_columns` has them."""
    count, total, least, most = summarise(own, low, len(own))
    mean = total / max(count, 1)
    found[0] = mean if count > 0 else np.nan
    found[1] = np.sqrt(sum_squares(own, low, len(own), mean) / (count - 1)) if count > 1 else np.nan
    found[2], found[3] = (least, most) if count > 0 else (np.nan, np.nan)


def _units(own: Any, level: bool, found: Any) -> Any:
    """A window's centre and scale: its mean and deviation, or 0 and the mean of its absolute values."""
    if level:
        count, total = 0, 0.0
        for value in own:
            if not np.isnan(value):
                count += 1
                total += abs(value)
        return 0.0, total / count if total > 0.0 else 1.0
    summarise_end(own, 0, found)
    mean, deviation = found[0], found[1]
    return mean, deviation if deviation > FLAT * abs(mean) else 1.0


def _see_window(own: Any, mean: Any, scale: Any, plan: Any, found: Any, row: Any) -> Any:
    """Writes lags, rolling statistics and the spread to the row; how many they are."""
    lags, lengths, codes = plan
    place, lookback = 0, len(own)
    for lag in lags:
        row[place] = (own[lookback - lag] - mean) / scale
        place += 1
    for length in lengths:
        summarise_end(own, max(0, lookback - length), found)
        for code in codes:
            row[place] = (found[code] - (0.0 if code == STD else mean)) / scale
            place += 1
    row[place] = scale / (abs(mean) + scale)
    return place + 1


def _see_step(own: Any, known: Any, step: int, seasons: Any, centre: Any, row: Any, place: int) -> Any:
    """Writes the season's values, the step and what is known of it; where the answer counts from: the newest of the
    season's values that is observed, else the window's mean."""
    mean, scale = centre
    season, cycles = seasons
    begin = mean
    for k in range(len(cycles) - 1, -1, -1):
        value = own[len(own) + step % season - season * cycles[k]]
        row[place + k] = (value - mean) / scale
        begin = begin if np.isnan(value) else value
    place += len(cycles)
    row[place] = step + 1
    row[place + 1 :] = known
    return begin


def _see(feed: Any, plan: Any, seasons: Any, unit: Any, seen: Any, starts: Any, scales: Any) -> None:
    """Writes what cells see [N * H, F], and what their answers count from and in [N * H], window after window.

    `unit` says whether the unit is the level, and whether answers count from the season before. `seasons` are the
    season's length and how many of them back is looked.
    """
    target, past, known, static = feed
    level, from_season = unit
    lookback, horizon = target.shape[1], len(seen) // len(target)
    found, own = np.empty(4), np.empty(lookback)
    for n in range(len(target)):
        own[:] = target[n]
        mean, scale = units(own, level, found)
        first = seen[n * horizon]
        place = see_window(own, mean, scale, plan, found, first)
        for covariates in (past[n, lookback - 1], static[n]):
            for column in range(len(covariates)):
                first[place + column] = covariates[column]
            place += len(covariates)
        for step in range(horizon):
            cell = n * horizon + step
            seen[cell, :place] = first[:place]
            begin = see_step(own, known[n, lookback + step], step, seasons, (mean, scale), seen[cell], place)
            starts[cell], scales[cell] = begin if from_season else mean, scale


def _tell(raw: Any, starts: Any, scales: Any, offsets: Any, out: Any) -> None:
    """From the forest's sums to quantiles on the original scale."""
    horizon, width = out.shape[1], out.shape[2]
    said = np.empty(width)
    for cell in range(len(raw)):
        n, step = cell // horizon, cell % horizon
        for q in range(width):
            value, place = raw[cell, 0] + offsets[step, q] if len(offsets) else raw[cell, q], q
            while place > 0 and said[place - 1] > value:
                said[place] = said[place - 1]
                place -= 1
            said[place] = value
        out[n, step] = starts[cell] + scales[cell] * said


summarise_end = njit(cache=True, nogil=True)(_summarise_end)
units = njit(cache=True, nogil=True)(_units)
see_window = njit(cache=True, nogil=True)(_see_window)
see_step = njit(cache=True, nogil=True)(_see_step)
tell = njit(cache=True, nogil=True)(_tell)
see = njit(cache=True, nogil=True)(_see)
