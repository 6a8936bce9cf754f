"""Floors of classes, counted in training: probabilities looked up by one class of the window.

N windows, L lookback, H horizon, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows, find_windows
from tidewright.models.floors import chunks, forecast_seasonal, last_observed
from tidewright.models.specs.class_floors import ClassFloorSpec, ClassShares, SeasonalClass

COUNTED = 100_000  # training windows that are counted, at most


@dataclass(frozen=True, eq=False)
class ClassFloor:
    """A fitted floor: `table` [H, K + 1, K] holds the probabilities at each step by the class that is looked at: the
    last observed one, or that of the season before; row K where none was observed.
    """

    spec: ClassFloorSpec
    task: Task
    view: View
    season: int
    table: Doubles
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """The probability of each class [N, H, K]."""
        out = np.empty((len(windows), self.task.horizon, len(self.task.classes)))
        for rows in chunks(len(windows), self.view.lookback):
            looked = look_back(self.spec, windows.history(rows), horizon=self.task.horizon, season=self.season)
            inside = (looked >= 0.0) & (looked < out.shape[2])
            place = np.where(inside, looked, out.shape[2]).astype(np.int64)
            out[rows] = self.table[np.arange(self.task.horizon), place]
        return out

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`."""
        return {"table": self.table}


def look_back(spec: ClassFloorSpec, past: Doubles, *, horizon: int, season: int) -> Doubles:
    """The class that is looked at for each step [N, H], from histories [N, L]; NaN where none was observed."""
    if isinstance(spec, SeasonalClass):
        return forecast_seasonal(past, period=spec.period or season, horizon=horizon)
    return np.repeat(last_observed(past)[:, None], horizon, axis=1)


def fit_class_floor(
    spec: ClassFloorSpec, *, panel: Panel, split: Split, task: Task, season: int | None = None
) -> ClassFloor:
    """The shares of classes in the training windows, by the class that is looked at.

    Each row is counted with one case more, which has the shares of all: so nothing is impossible.
    """
    season = panel.frequency.season if season is None else season
    spec = replace(spec, period=spec.period or season) if isinstance(spec, SeasonalClass) else spec
    period = spec.period or 1 if isinstance(spec, SeasonalClass) else 1
    view = View(max(2 * period, 2 * season, 8))
    windows = find_windows(panel, view, horizon=task.horizon, cutoffs=split.train, least=1)
    count = min(len(windows), COUNTED)
    chosen = windows.subset(np.linspace(0, len(windows) - 1, count).astype(np.int64))
    counts = np.zeros((task.horizon, len(task.classes) + 1, len(task.classes)))
    for rows in chunks(count, view.lookback):
        looked = look_back(spec, chosen.history(rows), horizon=task.horizon, season=season)
        _count(counts, looked, chosen.labels(rows))
    if isinstance(spec, ClassShares):
        counts[:] = counts.sum(axis=1, keepdims=True)
    shares = _divide(counts.sum(axis=(0, 1)) + 1.0)
    return ClassFloor(spec, task, view, season, _divide(counts + shares))


def _count(counts: Doubles, looked: Doubles, labels: Doubles) -> None:
    """Adds each labelled cell to its step, the class that was looked at and the class that came."""
    window, step = np.nonzero(~np.isnan(labels))
    before = looked[window, step]
    place = np.where(np.isnan(before), counts.shape[2], before).astype(np.int64)
    np.add.at(counts, (step, place, labels[window, step].astype(np.int64)), 1.0)


def _divide(counts: Doubles) -> Doubles:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))
