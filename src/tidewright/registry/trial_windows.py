"""Windows to try a graph on: real ones of a panel, and hard ones made of them.

N windows, L lookback, H horizon, P past, K known, M static features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.features.view import View
from tidewright.features.windows import Batch, cut_windows, newest_windows

REAL = 64  # real windows that parity is checked on


def real_windows(panel: Panel, view: View, *, horizon: int, most: int = REAL) -> Batch:
    """At most `most` windows of a panel: half the newest of its series, half from its history, evenly
    spaced."""
    newest = newest_windows(panel, view, horizon=horizon)
    first, last = panel.span
    cutoffs = Cutoffs(first, last, max(1, (last - first) // most))
    past = cut_windows(panel, view, horizon=horizon, cutoffs=cutoffs, labelled=False, least=1)
    halves = [windows.subset(spread(len(windows), most // 2)).batch() for windows in (newest, past)]
    return _join(halves)


def hard_windows(real: Batch, *, seed: int = 0) -> Iterator[tuple[str, Batch]]:
    """What real windows seldom hold, each with its name: holes, constants, huge and tiny values, batches of
    1, 3 and 64.
    """
    draw = np.random.default_rng(seed)
    target = real.target
    lookback = target.shape[1]
    yield "one window", take(real, slice(0, 1))
    yield "three windows", take(real, np.arange(3) % len(target))
    yield "64 windows", take(real, np.arange(64) % len(target))
    holes = np.where(draw.random(target.shape) < 0.3, np.nan, target)
    yield "holes", _with(real, holes)
    yield "a missing last value", _with(real, np.where(np.arange(lookback) == lookback - 1, np.nan, target))
    late = np.arange(lookback) < lookback - max(2, lookback // 8)
    yield "a short series", _with(real, np.where(late, np.nan, target))
    alone = np.arange(lookback) < lookback - 1
    yield "one observed value", _with(real, np.where(alone, np.nan, np.nan_to_num(target, nan=1.0)))
    for name, value in (("zeros", 0.0), ("a constant", 3.7), ("a negative constant", -1234.5)):
        yield name, _with(real, np.full_like(target, value))
    for name, scale, level in (
        ("a huge level", 1.0, 1e6),
        ("huge values", 1e8, 0.0),
        ("tiny values", 1e-6, 0.0),
        ("negatives", -1.0, 0.0),
    ):
        yield name, _with(real, target * np.float32(scale) + np.float32(level))
    noise = draw.normal(size=target.shape) * np.float32(np.nan_to_num(np.nanstd(target)) or 1.0)
    yield "noise", _with(real, noise)


def take(batch: Batch, index: np.ndarray | slice) -> Batch:
    """Some windows of a batch."""
    return Batch(batch.target[index], batch.past[index], batch.known[index], batch.static[index])


def _with(batch: Batch, target: np.ndarray) -> Batch:
    """The batch with another target; a window that would have no observed value keeps its own."""
    empty = np.isnan(target).all(axis=1)
    kept = np.where(empty[:, None], batch.target, target)
    return Batch(kept.astype(np.float32), batch.past, batch.known, batch.static)


def _join(batches: list[Batch]) -> Batch:
    return Batch(
        *(np.concatenate([getattr(b, name) for b in batches]) for name in ("target", "past", "known", "static"))
    )


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` places, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
