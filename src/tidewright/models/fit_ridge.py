"""Ridge in closed form: every lookback, penalty and scaling from one Gram matrix of the training windows a
scaling.

N windows, L lookback, H horizon. A window enters less its mean, so that a forecast is its mean plus a linear
map of the rest. "window" scaling divides it by its own deviation, so that quiet and lively windows weigh
alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidewright.errors import ShortSeriesError
from tidewright.features.windows import Doubles, Singles, Windows
from tidewright.models.floors import centre, chunks
from tidewright.models.spec import Ridge

CACHED = 500_000  # values of the histories that are worked on at once
ROUNDING = 1e-12  # times the mean: what subtracting it leaves of a constant window
LEAST_PENALTY = 1e-7  # times the mean diagonal: what single-precision products leave uncertain


def solve_ridges(spec: Ridge, windows: Windows) -> Iterator[tuple[Ridge, Doubles]]:
    """Each candidate of a spec, as a spec of its own, with its weights [L, H].

    `windows` have the longest lookback; a shorter one is learned from the same windows. Windows with a
    missing label are left out, missing inputs count as the window's mean. Raises `ShortSeriesError` when no
    window is left.
    """
    for scaling, (gram, cross) in zip(spec.scalings, _products(windows, spec.scalings), strict=True):
        for lookback in spec.lookbacks:
            left, right = _recentre(gram[-lookback:, -lookback:], cross[-lookback:])
            for penalty, weights in solve_penalties(left, right, spec.penalties):
                yield Ridge(lookbacks=(lookback,), penalties=(penalty,), scalings=(scaling,)), weights


def solve_penalties(left: Doubles, right: Doubles, penalties: tuple[float, ...]) -> Iterator[tuple[float, Doubles]]:
    """Each penalty, in units of the mean diagonal of X'X [F, F], with the weights that solve it for X'Y [F, G]."""
    size = float(np.trace(left)) / len(left) or 1.0
    for penalty in penalties:
        ridge = max(penalty, LEAST_PENALTY) * size * np.eye(len(left))
        yield penalty, np.asarray(np.linalg.solve(left + ridge, right), dtype=np.float64)


def _recentre(gram: Doubles, cross: Doubles) -> tuple[Doubles, Doubles]:
    """X'X and X'Y of windows less the mean of a shorter lookback, from those less the mean of the longest."""
    mean = gram.mean(axis=1, keepdims=True)
    left = gram - mean - mean.T + gram.mean()
    right = cross - mean
    return left, right - right.mean(axis=0, keepdims=True)


def _products(windows: Windows, scalings: tuple[str, ...]) -> list[tuple[Doubles, Doubles]]:
    """X'X [L, L] and X'Y [L, H] for each scaling, from one pass: products in single precision, summed in double."""
    shape = (windows.lookback, windows.lookback)
    sums = [(np.zeros(shape), np.zeros((windows.lookback, windows.horizon))) for _ in scalings]
    unit, used = _unit(windows), 0
    for rows in chunks(len(windows), windows.lookback, cells=CACHED):
        labels = windows.labels(rows)
        full = ~np.isnan(labels).any(axis=1)
        past, labels = windows.history(rows)[full], labels[full]
        centred, mean = centre(past)
        inputs = (centred / unit).astype(np.float32)
        targets = ((labels - mean[:, None]) / unit).astype(np.float32)
        for place, scaling in enumerate(scalings):
            weighted, wanted = inputs, targets
            if scaling == "window":
                weight = 1.0 / _deviation(inputs, past, noise=ROUNDING * np.abs(mean) / unit)[:, None]
                weighted, wanted = inputs * weight, targets * weight
            sums[place][0][:] += weighted.T @ weighted
            sums[place][1][:] += weighted.T @ wanted
        used += len(past)
    if not used:
        raise ShortSeriesError(
            f"ridge: no training window of lookback {windows.lookback} has all {windows.horizon} labels. Ask for a "
            "shorter lookback or horizon, or fill the gaps."
        )
    return sums


def _unit(windows: Windows) -> float:
    """A power of two near the widest range of the inputs: dividing by it is exact, and keeps products in
    range.
    """
    seen = windows.history(np.linspace(0, len(windows) - 1, min(len(windows), 1000)).astype(np.int64))
    widest = float(np.max(np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1)))
    return float(2.0 ** np.floor(np.log2(widest))) if widest > 0 else 1.0


def _deviation(inputs: Singles, past: Doubles, *, noise: Doubles) -> Singles:
    """The standard deviation of each window's observed values [N]; 1 where it is no more than rounding."""
    count = np.maximum((~np.isnan(past)).sum(axis=1), 1)
    deviation = np.sqrt(np.einsum("nl,nl->n", inputs, inputs) / count)
    return np.where(deviation > noise, deviation, 1.0).astype(np.float32)
