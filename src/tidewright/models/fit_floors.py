"""Floors fitted: period and lookback chosen on validation, ridge in closed form, residual quantiles from training windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tidewright.data.frequency import Frequency
from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ShortSeriesError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows, cut_windows
from tidewright.models.floors import CHUNK, Floor, FloorSpec, centre, point_forecast
from tidewright.models.spec import Damped, Drift, Median, Naive, Ridge, SeasonalNaive

CALIBRATION = 4000  # training windows that residual quantiles are taken from
JUDGED = 4000  # validation windows that a choice is made on


@dataclass(frozen=True, eq=False)
class _Parts:
    panel: Panel
    split: Split
    task: Task
    season: int

    def windows(self, lookback: int, *, train: bool) -> Windows:
        cutoffs = self.split.train if train else self.split.validation
        least = min(lookback, max(2, self.season))
        return cut_windows(
            self.panel, View(lookback), horizon=self.task.horizon, cutoffs=cutoffs, least=least if train else 1
        )


def fit_floor(spec: FloorSpec, *, panel: Panel, split: Split, task: Task, season: int | None = None) -> Floor:
    """The fitted floor. `season` is the panel's seasonal lag (default: its frequency's); choices see train and validation only."""
    season = panel.frequency.season if season is None else season
    parts = _Parts(panel, split, task, season)
    candidates = list(_ridges(spec, parts)) if isinstance(spec, Ridge) else [_plain(s, parts) for s in _variants(spec, parts)]
    scored = [(_judge(candidate, parts), candidate) for candidate in candidates]
    loss, best = min(scored, key=lambda pair: pair[0])
    history = tuple(
        {"candidate": _describe(c), "validation_loss": value, "chosen": c is best} for value, c in scored
    )
    return replace(best, spread=_calibrate(best, parts), history=history)


def candidate_periods(frequency: Frequency, season: int, longest: int) -> tuple[int, ...]:
    """Seasonal periods worth a try on a grid, those that `longest` rows can show: its season, and the next longer cycles.

    >>> candidate_periods(Frequency("fixed", 3600 * 1_000_000, 0), 24, 1000)
    (24, 168)
    """
    further = {24: (168,), 7: (28, 364), 52: (), 12: (), 5: (21, 63)}.get(season, ())
    found = [period for period in (season, *further) if 1 <= period < longest]
    return tuple(dict.fromkeys(found)) or (1,)


def _variants(spec: FloorSpec, parts: _Parts) -> list[FloorSpec]:
    """The same spec with its open choices made, every way."""
    longest = parts.split.train.last - parts.split.train.first + 1
    periods = candidate_periods(parts.panel.frequency, parts.season, longest)
    if isinstance(spec, (SeasonalNaive, Damped)):
        return [replace(spec, period=p) for p in periods] if spec.period is None else [spec]
    if isinstance(spec, (Median, Drift)) and spec.lookback is None:
        lengths = dict.fromkeys(min(max(2, n), longest) for p in periods for n in (p, 2 * p, 8 * p, 26 * p))
        return [replace(spec, lookback=n) for n in lengths]
    return [spec]


def _plain(spec: FloorSpec, parts: _Parts) -> Floor:
    return Floor(
        spec=spec,
        task=parts.task,
        view=View(_lookback(spec, parts.season)),
        season=parts.season,
        spread=np.zeros((parts.task.horizon, len(parts.task.quantiles))),
    )


def _lookback(spec: FloorSpec, season: int) -> int:
    if isinstance(spec, SeasonalNaive):
        need = 2 * int(spec.period or 1)
    elif isinstance(spec, Damped):
        need = 2 * int(spec.period or 1) + spec.recent
    else:
        need = int((spec.lookback if isinstance(spec, (Median, Drift)) else None) or 2)
    return max(need, 2 * season, 8)


def _judge(floor: Floor, parts: _Parts) -> float:
    """The mean absolute (ridge: squared) error on validation, each series in units of its own training scale."""
    windows = _sample(parts.windows(floor.view.lookback, train=False), JUDGED)
    power = 2 if isinstance(floor.spec, Ridge) else 1  # least squares is judged by squares
    scale = np.maximum(_series_scale(parts), 1e-300)
    total, count = 0.0, 0
    for start in range(0, len(windows), CHUNK):
        rows = slice(start, start + CHUNK)
        error = np.abs(windows.labels(rows) - point_forecast(floor, windows.history(rows)))
        error = (error / scale[windows.series[rows]][:, None]) ** power
        total, count = total + float(np.nansum(error)), count + int((~np.isnan(error)).sum())
    return total / max(count, 1)


def _series_scale(parts: _Parts) -> Doubles:
    """The mean absolute step of each series in the training part [S]; 1 where it does not move."""
    known = parts.panel.positions <= parts.split.train.last
    target = np.where(known, parts.panel.target, np.nan)
    steps = np.abs(np.diff(target, prepend=np.nan))
    steps[parts.panel.offsets[:-1]] = np.nan
    seen = ~np.isnan(steps)
    count = np.add.reduceat(seen.astype(np.int64), parts.panel.offsets[:-1])
    total = np.add.reduceat(np.where(seen, steps, 0.0), parts.panel.offsets[:-1])
    scale = total / np.maximum(count, 1)
    return np.where(scale > 0, scale, 1.0)


def _calibrate(floor: Floor, parts: _Parts) -> Doubles:
    """Residual quantiles of the training windows [H, Q] in units of the window's scale, with the median held at 0."""
    windows = _sample(parts.windows(floor.view.lookback, train=True), CALIBRATION)
    from tidewright.models.floors import window_scale

    past = windows.history()
    scale = window_scale(past, floor.season)
    residual = windows.labels() - point_forecast(floor, past)
    residual = np.where(scale[:, None] > 0, residual / np.where(scale > 0, scale, 1.0)[:, None], np.nan)
    levels = np.asarray(floor.task.quantiles)
    spread = np.zeros((floor.task.horizon, len(levels)))
    for step in range(floor.task.horizon):
        seen = residual[~np.isnan(residual[:, step]), step]
        if seen.size:
            spread[step] = np.quantile(seen, levels)
    below, above = levels < 0.5, levels > 0.5
    return np.where(below, np.minimum(spread, 0.0), np.where(above, np.maximum(spread, 0.0), 0.0))


def _sample(windows: Windows, most: int) -> Windows:
    """At most `most` windows, evenly spaced in the order of series and time."""
    if len(windows) <= most:
        return windows
    return windows.subset(np.linspace(0, len(windows) - 1, most).astype(np.int64))


def _describe(floor: Floor) -> str:
    spec = floor.spec
    if isinstance(spec, Ridge):
        return f"lookback {floor.view.lookback}, penalty {spec.penalties[0]:g}, scaling {spec.scalings[0]}"
    if isinstance(spec, (SeasonalNaive, Damped)):
        return f"period {spec.period}"
    return f"lookback {floor.view.lookback}"


def _ridges(spec: Ridge, parts: _Parts) -> Iterator[Floor]:
    """A ridge for every candidate, from one Gram matrix a scaling: that of the longest lookback holds the shorter ones."""
    lookbacks = spec.lookbacks or _usual_lookbacks(parts)
    for scaling in spec.scalings:
        gram, cross = _gram(parts, max(lookbacks), scaled=scaling == "window")
        for lookback in lookbacks:
            centred = np.eye(lookback) - 1.0 / lookback
            inner = gram[-lookback:, -lookback:]
            left = centred @ inner @ centred
            right = centred @ (cross[-lookback:] - inner.mean(axis=1, keepdims=True))
            for penalty in spec.penalties:
                ridge = penalty * np.trace(left) / lookback + 1e-12
                weights = np.linalg.solve(left + ridge * np.eye(lookback), right)
                chosen = Ridge(lookbacks=(lookback,), penalties=(penalty,), scalings=(scaling,))
                yield replace(_plain(chosen, parts), view=View(lookback), weights=weights)


def _usual_lookbacks(parts: _Parts) -> tuple[int, ...]:
    """One, two, four, seven, fourteen and twenty-one seasons, of those that leave the training part enough windows."""
    season = max(parts.season, 4)
    room = (parts.split.train.last - parts.split.train.first + 1) // 2
    found = [n * season for n in (1, 2, 4, 7, 14, 21) if n * season <= min(room, 720)]
    return tuple(found) or (max(2, room // 2),)


def _gram(parts: _Parts, lookback: int, *, scaled: bool) -> tuple[Doubles, Doubles]:
    """X'X [L, L] and X'Y [L, H] of the training windows, each window less its last value (and over its scale)."""
    windows = parts.windows(lookback, train=True)
    gram = np.zeros((lookback, lookback))
    cross = np.zeros((lookback, parts.task.horizon))
    used = 0
    for start in range(0, len(windows), CHUNK):
        rows = slice(start, start + CHUNK)
        past, labels = windows.history(rows), windows.labels(rows)
        full = ~np.isnan(labels).any(axis=1)
        past, labels = past[full], labels[full]
        mean, scale = centre(past, scaled=scaled)
        inputs = np.where(np.isnan(past), 0.0, (past - mean[:, None]) / scale[:, None]).astype(np.float32)
        targets = ((labels - mean[:, None]) / scale[:, None]).astype(np.float32)
        gram += inputs.T @ inputs
        cross += inputs.T @ targets
        used += len(past)
    if not used:
        raise ShortSeriesError(
            f"ridge: no training window of lookback {lookback} has all {parts.task.horizon} labels. Ask for a shorter lookback or horizon."
        )
    return gram, cross
