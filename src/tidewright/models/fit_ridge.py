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
from tidewright.features.windows import Doubles, Windows
from tidewright.models.floors import centre, chunks
from tidewright.models.spec import Ridge

LEAST_PENALTY = 1e-7  # times the mean diagonal: what single-precision products leave uncertain


def solve_ridges(spec: Ridge, windows: Windows) -> Iterator[tuple[Ridge, Doubles]]:
    """Each candidate of a spec, as a spec of its own, with its weights [L, H].

    `windows` have the longest lookback; a shorter one is learned from the same windows. Windows with a
    missing label are left out, missing inputs count as the window's mean. Raises `ShortSeriesError` when no
    window is left.
    """
    for scaling in spec.scalings:
        gram, cross = _products(windows, scaled=scaling == "window")
        for lookback in spec.lookbacks:
            left, right = _recentre(gram[-lookback:, -lookback:], cross[-lookback:])
            size = float(np.trace(left)) / lookback or 1.0
            for penalty in spec.penalties:
                ridge = max(penalty, LEAST_PENALTY) * size * np.eye(lookback)
                chosen = Ridge(lookbacks=(lookback,), penalties=(penalty,), scalings=(scaling,))
                yield chosen, np.asarray(np.linalg.solve(left + ridge, right), dtype=np.float64)


def _recentre(gram: Doubles, cross: Doubles) -> tuple[Doubles, Doubles]:
    """X'X and X'Y of windows less the mean of a shorter lookback, from those less the mean of the longest."""
    mean = gram.mean(axis=1, keepdims=True)
    left = gram - mean - mean.T + gram.mean()
    right = cross - mean
    return left, right - right.mean(axis=0, keepdims=True)


def _products(windows: Windows, *, scaled: bool) -> tuple[Doubles, Doubles]:
    """X'X [L, L] and X'Y [L, H]: products in single precision, chunks summed in double."""
    gram = np.zeros((windows.lookback, windows.lookback))
    cross = np.zeros((windows.lookback, windows.horizon))
    unit, used = _unit(windows), 0
    for rows in chunks(len(windows), windows.lookback):
        labels = windows.labels(rows)
        full = ~np.isnan(labels).any(axis=1)
        past, labels = windows.history(rows)[full], labels[full]
        inputs, mean = centre(past)
        scale = _deviation(inputs, past) if scaled else np.full(len(past), unit)
        inputs32 = (inputs / scale[:, None]).astype(np.float32)
        targets32 = ((labels - mean[:, None]) / scale[:, None]).astype(np.float32)
        gram += inputs32.T @ inputs32
        cross += inputs32.T @ targets32
        used += len(past)
    if not used:
        raise ShortSeriesError(
            f"ridge: no training window of lookback {windows.lookback} has all {windows.horizon} labels. Ask "
            "for a shorter lookback or horizon, "
            "or fill the gaps."
        )
    return gram, cross


def _unit(windows: Windows) -> float:
    """A power of two near the widest range of the inputs: dividing by it is exact, and keeps products in
    range.
    """
    seen = windows.history(np.linspace(0, len(windows) - 1, min(len(windows), 1000)).astype(np.int64))
    widest = float(np.max(np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1)))
    return float(2.0 ** np.floor(np.log2(widest))) if widest > 0 else 1.0


def _deviation(inputs: Doubles, past: Doubles) -> Doubles:
    """The standard deviation of each window's observed values [N]; 1 where it is 0."""
    count = np.maximum((~np.isnan(past)).sum(axis=1), 1)
    deviation = np.sqrt(np.einsum("nl,nl->n", inputs, inputs) / count)
    return np.where(deviation > 0, deviation, 1.0)
