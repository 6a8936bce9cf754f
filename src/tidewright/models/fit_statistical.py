"""Statistical models prepared: a season chosen on validation, residual quantiles where a model has no intervals."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows, cut_windows
from tidewright.models.fit_floors import CALIBRATION, candidate_periods, residual_quantiles, sample_windows
from tidewright.models.floors import window_scale
from tidewright.models.intermittent import forecast_intermittent
from tidewright.models.specs.statistical import ADIDA, IMAPA, MSTL, TSB, Croston, StatisticalSpec, Theta
from tidewright.models.statistical import Statistical

TRIED, JUDGED = 4, 24  # validation windows that a single choice is tried on, and that several are compared on


@dataclass(frozen=True, eq=False)
class _Parts:
    panel: Panel
    split: Split
    task: Task
    view: View
    season: int

    def cut(self, *, train: bool) -> Windows:
        """The windows of a part that hold an observed value and a label."""
        cutoffs = self.split.train if train else self.split.validation
        return cut_windows(self.panel, self.view, horizon=self.task.horizon, cutoffs=cutoffs, least=1)


def fit_statistical(
    spec: StatisticalSpec,
    *,
    panel: Panel,
    split: Split,
    task: Task,
    view: View,
    season: int | None = None,
    deadline: float | None = None,
    strict: bool = False,
) -> Statistical:
    """The model with its choices made; what is fitted is fitted on each window when it is asked.

    A season that the spec leaves open is the grid's; of several that are worth a try (theta, mstl) the one with the
    least error on 24 validation windows. The history has a record a candidate: its loss, what a window cost, and on how
    many the last value had to answer. After `deadline` (a `time.monotonic()`) no further candidate is tried. Raises
    `ShortSeriesError` when a part has no window, `ConfigError` for an mstl without seasons.
    """
    season = panel.frequency.season if season is None else season
    if season < 1:
        raise ConfigError(f"the season is a lag in steps, 1 or more; got {season}.")
    view = View(spec.history or view.lookback)
    parts = _Parts(panel, split, task, view, season)
    still = np.zeros((task.horizon, len(task.quantiles)))
    models = [Statistical(one, task, view, season, still, strict) for one in _choices(spec, parts)]
    if isinstance(spec, Croston | TSB | ADIDA | IMAPA):
        models = [replace(models[0], spread=_calibrate(spec, parts))]
    windows = sample_windows(parts.cut(train=False), most=TRIED if len(models) == 1 else JUDGED)
    models[0].answer(windows.subset(np.array([0])))  # what is imported and compiled is not the window's cost
    history: list[dict[str, Any]] = []
    for model in models:
        if history and deadline is not None and time.monotonic() > deadline:
            history[-1]["stopped"] = "deadline"
            break
        history.append(_judge(model, windows))
    losses = [float(record["validation_loss"]) for record in history]
    place = int(np.argmin(np.nan_to_num(losses, nan=np.inf)))
    records = tuple({**record, "chosen": number == place} for number, record in enumerate(history))
    return replace(models[place], history=records)


def _choices(spec: StatisticalSpec, parts: _Parts) -> list[StatisticalSpec]:
    """The same spec with its open choices made, every way."""
    if isinstance(spec, Croston | TSB | ADIDA | IMAPA):
        return [spec]
    longest = parts.view.lookback // 2
    periods = candidate_periods(parts.panel.frequency, parts.season, longest)
    if isinstance(spec, MSTL):
        found = tuple(period for period in periods if period > 1) or (parts.season,)
        if not spec.seasons and found == (1,):
            raise ConfigError(
                f"mstl takes seasons apart, and the grid {parts.panel.frequency.name} has none. Give mstl.seasons or "
                "the season, or take auto_ets or theta."
            )
        return [spec] if spec.seasons else [replace(spec, seasons=found[: k + 1]) for k in range(len(found))]
    if spec.season is not None:
        return [spec]
    if isinstance(spec, Theta):
        return [replace(spec, season=period) for period in periods]
    return [replace(spec, season=parts.season)]


def _judge(model: Statistical, windows: Windows) -> dict[str, Any]:
    """The mean absolute error on some windows, each in units of its own scale, and what an answer cost."""
    started = time.monotonic()
    answer, failed = model.answer(windows)
    seconds = (time.monotonic() - started) / len(windows)
    if failed:
        model.predict(windows.subset(np.array(sorted(failed))))  # says so, or raises when strict
    scale = window_scale(windows.history(), model.season)
    error = np.abs(windows.labels() - answer[:, :, model.task.median]) / np.where(scale > 0, scale, 1.0)[:, None]
    return {
        "candidate": _describe(model.spec),
        "validation_loss": float(np.nanmean(error)),
        "windows": len(windows),
        "fallbacks": len(failed),
        "seconds_a_window": seconds,
    }


def _calibrate(spec: Croston | TSB | ADIDA | IMAPA, parts: _Parts) -> Doubles:
    """Residual quantiles [H, Q] in units of the window's scale, from training windows (validation's, if there are
    none)."""
    try:
        windows = parts.cut(train=True)
    except ShortSeriesError:
        windows = parts.cut(train=False)
    windows = sample_windows(windows, most=CALIBRATION)
    past = windows.history()
    scale, point = window_scale(past, parts.season), forecast_intermittent(past, spec)
    moves = scale > 0
    residual = (windows.labels() - point[:, None])[moves] / scale[moves, None]
    return residual_quantiles(residual, parts.task.quantiles)


def _describe(spec: StatisticalSpec) -> str:
    if isinstance(spec, MSTL):
        return f"seasons {', '.join(map(str, spec.seasons))}"
    season = getattr(spec, "season", None)
    return spec.name if season is None else f"season {season}"
