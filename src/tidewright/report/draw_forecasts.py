"""Forecasts beside what came: a few series over the end of the test, and the true future behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from tidewright.data.forecast import Forecast, level_names
from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel
from tidewright.metrics.accuracy import score_by_series
from tidewright.report.style import (
    FUTURE,
    INK,
    WINNER,
    Floats,
    dress,
    fade,
    label,
    shorten,
    show_times,
    thin,
    to_times,
)
from tidewright.training.evaluate import Evaluation

MOST_WINDOWS, MOST_STEPS = 24, 500


def choose_series(evaluation: Evaluation, metric: str) -> Mapping[str, int]:
    """The codes of the series with the lowest, the median and the highest test error, by those words."""
    codes = np.unique(evaluation.windows.series)
    errors = score_by_series(evaluation.scored, [metric])[metric]
    defined = np.isfinite(errors)
    if not defined.any():
        return {"first": int(codes[0])}
    order = codes[defined][np.argsort(errors[defined], kind="stable")]
    chosen: dict[str, int] = {}
    for word, place in (
        ("lowest error", 0),
        ("median error", (len(order) - 1) // 2),
        ("highest error", len(order) - 1),
    ):
        if int(order[place]) not in chosen.values():
            chosen[word] = int(order[place])
    return chosen


def draw_forecasts(
    panel: Panel, evaluation: Evaluation, *, series: Mapping[str, int], forecast: Forecast | None = None
) -> Any:
    """Actual values, the model's test forecasts with their bands and its forecast of the true future.

    `series` maps a word to a series' code; each has its own row. Windows that overlap are thinned to one a
    horizon.
    """
    titles = [f"{label(shorten(panel.series_ids[code], 40))} · {label(word)}" for word, code in series.items()]
    figure = make_subplots(rows=len(series), cols=1, subplot_titles=titles, vertical_spacing=0.42 / (len(series) + 2))
    dress(figure, height=70 + 230 * len(series))
    for row, code in enumerate(series.values(), start=1):
        _Drawer(figure, panel, evaluation, row).draw(code, forecast)
    figure.update_annotations(font_size=13, xanchor="left", x=0)
    figure.update_yaxes(title_text=label(panel.roles.target))
    figure.update_layout(legend_y=1.0 + 42.0 / (70 + 230 * len(series)), margin_t=64)
    return figure


def choose_windows(evaluation: Evaluation, code: int) -> Ints:
    """The windows of one series to draw, ascending: from the last back, each a horizon before the next."""
    windows = evaluation.windows
    own = np.flatnonzero(windows.series == code)
    own = own[np.argsort(windows.cutoffs[own], kind="stable")]
    most = min(MOST_WINDOWS, max(2, MOST_STEPS // windows.horizon))
    chosen: list[int] = []
    for index in own[::-1].tolist():
        if not chosen or windows.cutoffs[chosen[-1]] - windows.cutoffs[index] >= windows.horizon:
            chosen.append(index)
        if len(chosen) == most:
            break
    return np.array(chosen[::-1], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Drawer:
    """One row of the picture."""

    figure: Any
    panel: Panel
    evaluation: Evaluation
    row: int

    def draw(self, code: int, forecast: Forecast | None) -> None:
        index = choose_windows(self.evaluation, code)
        horizon = self.evaluation.windows.horizon
        start = int(self.evaluation.windows.cutoffs[index[0]]) - min(2 * horizon, 60)
        self._actual(code, start)
        self._tested(index)
        if forecast is not None:
            self._future(code, forecast)

    def _actual(self, code: int, start: int) -> None:
        rows = np.arange(self.panel.offsets[code], self.panel.ends[code] + 1)
        rows = rows[self.panel.positions[rows] >= start]
        rows = rows[thin(self.panel.target[rows])]
        times = to_times(self.panel, self.panel.positions[rows])
        self._line("actual", times, self.panel.target[rows], colour=INK, width=1.3)

    def _tested(self, index: Ints) -> None:
        windows, levels = self.evaluation.windows, self.evaluation.scored.levels
        steps = windows.cutoffs[index][:, None] + np.arange(1, windows.horizon + 1)
        times = [to_times(self.panel, row) for row in steps]
        values = self.evaluation.forecast[index]
        self._bands(times, values, levels, colour=WINNER, name="test")
        middle = int(np.argmin(np.abs(levels - 0.5)))
        joined = np.concatenate([np.append(row, np.nan) for row in values[:, :, middle]])
        x = [moment for row in times for moment in (*row, row[-1])]
        self._line("test forecast", x, joined, colour=WINNER, width=1.6)

    def _future(self, code: int, forecast: Forecast) -> None:
        table, roles = forecast.table, forecast.roles
        if roles.series is not None:
            table = table.filter(pl.col(roles.series) == self.panel.series_ids[code])
        if not len(table):
            return
        times = show_times(table[roles.time])
        values = table.select(level_names(forecast.levels)).to_numpy()
        self._bands([times], values[None], np.array(forecast.levels), colour=FUTURE, name="future")
        middle = forecast.levels.index(0.5)
        self._line("forecast of the future", times, values[:, middle], colour=FUTURE, width=1.6)

    def _bands(self, times: list[list[Any]], values: Floats, levels: Floats, *, colour: str, name: str) -> None:
        """One filled trace a pair of levels; the windows are apart within it."""
        for low in range(len(levels) // 2):
            high = len(levels) - 1 - low
            x: list[Any] = []
            parts: list[npt.NDArray[np.float64]] = []
            for row, value in zip(times, values, strict=True):
                x += [*row, *reversed(row), None]
                parts += [value[:, low], value[::-1, high], np.array([np.nan])]
            title = f"{name}, {100 * (levels[high] - levels[low]):.0f} % band"
            self.figure.add_trace(
                go.Scatter(
                    x=x, y=np.concatenate(parts), fill="toself", mode="lines", fillcolor=fade(colour, 0.2),
                    line={"width": 0, "color": fade(colour, 0.2)}, hoverinfo="skip", **self._key(title),
                ),
                row=self.row, col=1,
            )  # fmt: skip

    def _line(self, name: str, x: list[Any], y: Floats, *, colour: str, width: float) -> None:
        mode = "lines+markers" if name != "actual" and self.evaluation.windows.horizon == 1 else "lines"
        line = {"color": colour, "width": width}
        self.figure.add_trace(
            go.Scatter(x=x, y=y, mode=mode, line=line, marker={"size": 4, "color": colour}, **self._key(name)),
            row=self.row,
            col=1,
        )

    def _key(self, name: str) -> dict[str, Any]:
        return {"name": name, "legendgroup": name, "showlegend": self.row == 1}
