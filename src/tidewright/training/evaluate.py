"""Scores of a fitted model on one part of a split, on the original scale, every model on the very same windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, check_grid
from tidewright.errors import FitError
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows, make_windows
from tidewright.metrics.accuracy import Scored, score, seasonal_scale
from tidewright.models.fitted import Fitted


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's forecasts [N, H, Q], or probabilities of classes [N, H, K], on one part's windows, and their scores.

    `season` is the seasonal lag of MASE and RMSSE, whose scales come from the training part alone.
    """

    model: str
    windows: Windows
    forecast: npt.NDArray[np.float64]
    scored: Scored

    @cached_property
    def scores(self) -> dict[str, float]:
        """Every metric that the windows bring all for, over all scored cells."""
        return score(self.scored)


def evaluate(
    fitted: Fitted,
    *,
    panel: Panel,
    split: Split,
    cutoffs: Cutoffs,
    season: int | None = None,
    model: str | None = None,
    shortest: int | None = None,
    said: npt.NDArray[np.float64] | None = None,
) -> Evaluation:
    """The scores of a model at the cutoffs of a part, for every series that has an observed value and a label there.

    A series shorter than the lookback is padded with missing values. So that models with different lookbacks are
    scored on the very same windows, give the `shortest` of them: only windows that it can see are scored. What it
    `said` [N, H, Q], where that was kept, is not asked for again. Columns are taken by name, as the model learned them:
    a panel unlike that one raises `ColumnError` or `FrequencyError`, and so does a split of another panel's dates.
    """
    check_grid(split.train, panel)
    panel = fitted.view.read(panel)
    horizon, lookback = fitted.task.horizon, fitted.view.lookback
    seen = View(min(shortest or lookback, lookback))
    rows = cut_windows(panel, seen, horizon=horizon, cutoffs=cutoffs, least=1).rows
    windows = make_windows(panel, fitted.view, horizon=horizon, rows=rows)
    forecast = fitted.predict(windows) if said is None else said
    if not np.isfinite(forecast).all():
        window = int(np.flatnonzero(~np.isfinite(forecast).all(axis=(1, 2)))[0])
        raise FitError(f"{fitted.spec.name} gave no finite forecast for {panel.place(int(windows.rows[window]))}.")
    if fitted.task.classifies:
        count = len(fitted.task.classes)
        scored = Scored(windows.labels(), forecast, n_classes=count, series=windows.series)
        return Evaluation(model or fitted.spec.name, windows, forecast, scored)
    season = panel.frequency.season if season is None else season
    past = np.where(panel.positions <= split.train.last + split.horizon, panel.target, np.nan)
    scales = [seasonal_scale(past, offsets=panel.offsets, season=season, squared=squared) for squared in (False, True)]
    scored = Scored(
        windows.labels(),
        forecast,
        levels=fitted.task.quantiles,
        scale=scales[0][windows.series],
        scale_squared=scales[1][windows.series],
        series=windows.series,
    )
    return Evaluation(model or fitted.spec.name, windows, forecast, scored)


def join_evaluations(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of a model that was learned anew on each of several folds, the oldest first."""
    first = parts[0]
    if len(parts) == 1:
        return first
    windows = [part.windows for part in parts]
    rows, series, cutoffs = (np.concatenate([getattr(w, n) for w in windows]) for n in ("rows", "series", "cutoffs"))
    joined: dict[str, Any] = {
        name: None if getattr(first.scored, name) is None else np.concatenate([getattr(p.scored, name) for p in parts])
        for name in ("actual", "forecast", "scale", "scale_squared", "series")
    }
    scored = replace(first.scored, **joined)
    return Evaluation(
        first.model, replace(windows[-1], rows=rows, series=series, cutoffs=cutoffs), scored.forecast, scored
    )
