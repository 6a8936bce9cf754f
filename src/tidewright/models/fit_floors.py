"""Floors fitted: period and lookback chosen on validation, residual quantiles from training windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tidewright.data.frequency import DAY, Frequency
from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Singles, Windows, cut_windows
from tidewright.models.fit_ridge import solve_ridges
from tidewright.models.floors import CELLS, Floor, FloorSpec, centre, point_forecast, window_scale
from tidewright.models.spec import Damped, Drift, Median, Naive, Ridge, SeasonalNaive

CALIBRATION = 4000  # windows that residual quantiles are taken from, at most
JUDGED = 4000  # validation windows that a choice is made on, at most
LEARNED = 100_000  # training windows that a ridge is learned from, at most
LONGEST = 720  # the longest lookback of a ridge that is tried unasked, times the columns of a row
FEWEST = 30  # training windows that residual quantiles need


@dataclass(frozen=True, eq=False)
class Parts:
    """What a floor is fitted on."""

    panel: Panel
    split: Split
    task: Task
    season: int

    def cut(self, lookback: int, *, train: bool, least: int) -> Windows | None:
        """The windows of a part that have `least` rows up to the cutoff; None where there are none."""
        cutoffs = self.split.train if train else self.split.validation
        try:
            return cut_windows(self.panel, View(lookback), horizon=self.task.horizon, cutoffs=cutoffs, least=least)
        except ShortSeriesError:
            return None


def fit_floor(spec: FloorSpec, *, panel: Panel, split: Split, task: Task, season: int | None = None) -> Floor:
    """The fitted floor. `season` is the panel's seasonal lag (default: its frequency's).

    Choices that the spec leaves open are made on validation; nothing after the validation part's labels is
    seen. Raises `ShortSeriesError` when a part has no window.
    """
    season = panel.frequency.season if season is None else season
    if season < 1:
        raise ConfigError(f"the season is a lag in steps, 1 or more; got {season}.")
    parts = Parts(panel, split, task, season)
    if isinstance(spec, Ridge):
        candidates = _ridges(spec, parts)
    else:
        candidates = [
            _unfitted(variant, parts, lookback=_lookback(variant, season)) for variant in _variants(spec, parts)
        ]
    losses = _judge(candidates, parts)
    place = int(np.argmin(losses))
    history = tuple(
        {"candidate": _describe(candidate), "validation_loss": loss, "chosen": number == place}
        for number, (candidate, loss) in enumerate(zip(candidates, losses, strict=True))
    )
    best = candidates[place]
    return replace(best, spread=_calibrate(best, parts), history=history)


def candidate_periods(frequency: Frequency, season: int, longest: int) -> tuple[int, ...]:
    """Seasonal periods worth a try on a grid, those that `longest` rows can show: its season, and the next
    longer
    cycles.

    >>> candidate_periods(Frequency("fixed", 3600 * 1_000_000, 0), 24, 1000)
    (24, 168)
    """
    daily = frequency.unit == "fixed" and frequency.count < DAY and season * frequency.count == DAY
    further = (7 * season,) if daily else {7: (28, 364), 5: (21, 63)}.get(season, ())
    found = [period for period in (season, *further) if 1 <= period <= longest]
    return tuple(dict.fromkeys(found)) or (1,)


def _variants(spec: FloorSpec, parts: Parts) -> list[FloorSpec]:
    """The same spec with its open choices made, every way."""
    longest = parts.split.validation.first - parts.split.train.first + 1
    periods = candidate_periods(parts.panel.frequency, parts.season, longest)
    if isinstance(spec, (SeasonalNaive, Damped)):
        return [replace(spec, period=p) for p in periods] if spec.period is None else [spec]
    if isinstance(spec, (Median, Drift)) and spec.lookback is None:
        lengths = dict.fromkeys(max(2, min(n * p, longest)) for p in periods for n in (1, 2, 8, 26))
        return [replace(spec, lookback=n) for n in lengths]
    return [spec]


def _unfitted(spec: FloorSpec, parts: Parts, *, lookback: int) -> Floor:
    shape = (parts.task.horizon, len(parts.task.quantiles))
    return Floor(spec=spec, task=parts.task, view=View(lookback), season=parts.season, spread=np.zeros(shape))


def _need(spec: FloorSpec) -> int:
    """How many rows the formula of a floor needs to be itself."""
    if isinstance(spec, Damped):
        return int(spec.period or 1) + spec.recent
    if isinstance(spec, SeasonalNaive):
        return int(spec.period or 1)
    if isinstance(spec, Ridge):
        return spec.lookbacks[0]
    return 1 if isinstance(spec, Naive) else int(spec.lookback or 2)


def _lookback(spec: FloorSpec, season: int) -> int:
    """How far back a floor sees: a second season stands in for missing values, and gives the scale."""
    if isinstance(spec, (Median, Drift)):
        return _need(spec)
    again = int(spec.period or 1) if isinstance(spec, (SeasonalNaive, Damped)) else 0
    return max(_need(spec) + again, 2 * season, 8)


def _judge(candidates: list[Floor], parts: Parts) -> list[float]:
    """The mean absolute (ridge: squared) error of each on the same validation windows, each series in units
    of
    its mean absolute step in training."""
    lookbacks = [floor.view.lookback for floor in candidates]
    windows = cut_windows(
        parts.panel, View(min(lookbacks)), horizon=parts.task.horizon, cutoffs=parts.split.validation, least=1
    )
    windows = sample_windows(replace(windows, lookback=max(lookbacks)), most=few(JUDGED, max(lookbacks)))
    past, labels = windows.history(), windows.labels()
    scale = _series_scale(parts)[windows.series][:, None]
    centred: dict[int, tuple[Singles, Doubles]] = {}
    losses = []
    for floor in candidates:
        lookback = floor.view.lookback
        seen = past[:, -lookback:]
        if floor.weights is None:
            losses.append(float(np.nanmean(np.abs(labels - point_forecast(floor, seen)) / scale)))
            continue
        if lookback not in centred:  # what ridges of one lookback share; the error is in units of the scale already
            inputs, mean = centre(seen)
            centred[lookback] = (inputs / scale).astype(np.float32), (labels - mean[:, None]) / scale
        standard, wanted = centred[lookback]
        losses.append(float(np.nanmean((wanted - standard @ floor.weights.astype(np.float32)) ** 2)))
    return losses


def _series_scale(parts: Parts) -> Doubles:
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


def _calibrate(floor: Floor, parts: Parts) -> Doubles:
    """Residual quantiles [H, Q] in units of the window's scale, with the median held at 0.

    From the training windows whose history is as long as the formula needs; where these are few, from the
    validation windows if they are more. A step without a residual takes the step before it.
    """
    windows = sample_windows(_calibration(floor, parts), most=few(CALIBRATION, floor.view.lookback))
    past = windows.history()
    scale = window_scale(past, floor.season)
    moves = scale > 0
    residual = (windows.labels() - point_forecast(floor, past))[moves] / scale[moves, None]
    return residual_quantiles(residual, floor.task.quantiles)


def residual_quantiles(residual: Doubles, quantiles: tuple[float, ...]) -> Doubles:
    """Quantiles [H, Q] of residuals [N, H], the median held at 0; a step without any takes the step before it."""
    levels = np.asarray(quantiles)
    spread = np.zeros((residual.shape[1], len(levels)))
    for step in range(residual.shape[1]):
        seen = residual[~np.isnan(residual[:, step]), step]
        spread[step] = np.quantile(seen, levels) if seen.size else spread[max(step - 1, 0)]
    below, above = levels < 0.5, levels > 0.5
    return np.where(below, np.minimum(spread, 0.0), np.where(above, np.maximum(spread, 0.0), 0.0))


def _calibration(floor: Floor, parts: Parts) -> Windows:
    lookback = floor.view.lookback
    least = min(lookback, max(_need(floor.spec), parts.season + 1))
    windows = parts.cut(lookback, train=True, least=least)
    if windows is not None and len(windows) >= FEWEST:
        return windows
    found = [windows, parts.cut(lookback, train=False, least=1)]
    return max((part for part in found if part is not None), key=len)


def sample_windows(windows: Windows, *, most: int) -> Windows:
    """At most `most` windows: one at random out of each of as many equal runs, in the order of series and
    time.

    (Evenly spaced ones could all fall on the same hour of the day.)
    """
    if len(windows) <= most:
        return windows
    edges = np.linspace(0, len(windows), most + 1).astype(np.int64)
    return windows.subset(np.random.default_rng(0).integers(edges[:-1], edges[1:]))


def few(most: int, lookback: int) -> int:
    """`most` windows, or as many as fit in memory together."""
    return min(most, max(2 * CELLS // lookback, 100))


def _describe(floor: Floor) -> str:
    spec = floor.spec
    if isinstance(spec, Ridge):
        return f"lookback {floor.view.lookback}, penalty {spec.penalties[0]:g}, scaling {spec.scalings[0]}"
    if isinstance(spec, (SeasonalNaive, Damped)):
        return f"period {spec.period}"
    return f"lookback {floor.view.lookback}"


def _ridges(spec: Ridge, parts: Parts) -> list[Floor]:
    """Every candidate of a ridge, learned."""
    spec = replace(spec, lookbacks=spec.lookbacks or usual_lookbacks(parts))
    windows = ridge_windows(parts, max(spec.lookbacks))
    return [
        replace(_unfitted(chosen, parts, lookback=chosen.lookbacks[0]), weights=weights)
        for chosen, weights in solve_ridges(spec, windows)
    ]


def ridge_windows(parts: Parts, lookback: int, *, columns: int = 1) -> Windows:
    """The training windows with the whole lookback, each row of which makes so many columns; where these are few,
    those with a season, or any at all.
    """
    windows = None
    for least in (lookback, min(lookback, max(2, parts.season)), 1):
        windows = parts.cut(lookback, train=True, least=least)
        if windows is not None and len(windows) >= 2 * lookback * columns:
            break
    if windows is None:
        raise ShortSeriesError("no series has a training window with an observed label. Bring longer series.")
    return sample_windows(windows, most=LEARNED)


def usual_lookbacks(parts: Parts, *, columns: int = 1) -> tuple[int, ...]:
    """One, two, four, seven, fourteen and twenty-one seasons, of those that leave the training part enough
    windows; shorter ones where a row makes several `columns`.
    """
    season = max(parts.season, 4)
    limit = min((parts.split.train.last - parts.split.train.first + 1) * 2 // 3, LONGEST // columns)
    found = [n * season for n in (1, 2, 4, 7, 14, 21) if n * season <= limit]
    return tuple(found or sorted({max(2, limit // n) for n in (8, 4, 2, 1)}))
