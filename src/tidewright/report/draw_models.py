"""Pictures of the contest: scores with error bars, error by step and series, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tidewright.metrics.accuracy import score_by_series, score_by_step
from tidewright.report.metric_words import axis_of, scale_of
from tidewright.report.style import (
    MOST_POINTS,
    MUTED,
    WINNER,
    choose_colours,
    label,
    new_figure,
    shorten,
)
from tidewright.training.compare import Leaderboard
from tidewright.training.evaluate import Evaluation


def draw_leaderboard(board: Leaderboard) -> Any:
    """Each model's test score with its interval, in the order of validation; a line at the best floor's."""
    rows = board.rows[::-1]
    colours = _colours(board)
    scale = scale_of(board.metric)
    figure = new_figure(height=90 + 28 * len(rows), x=f"test {axis_of(board.metric)}", legend=False)
    for place, row in enumerate(rows):
        score, interval = scale * row.test[board.metric], row.interval
        bars = {
            "color": colours[row.model],
            "thickness": 2,
            "width": 5,
            "symmetric": False,
            "visible": interval is not None,
        }
        if interval is not None:
            bars |= {"array": [scale * interval.high - score], "arrayminus": [score - scale * interval.low]}
        wins = row.model == board.winner
        figure.add_trace(
            go.Scatter(
                x=[score],
                y=[place],
                error_x=bars,
                mode="markers",
                marker={
                    "size": 12 if wins else 8,
                    "symbol": "diamond" if wins else "circle",
                    "color": colours[row.model],
                },
                name=label(row.model),
                hovertemplate="%{x:.4~g}",
            )
        )
    names = [f"<b>{label(shorten(r.model))}</b>" if r.model == board.winner else label(shorten(r.model)) for r in rows]
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, range=[-0.7, len(rows) - 0.3], showgrid=False)
    floor = scale * board.row(board.best_floor).test[board.metric]
    if np.isfinite(floor):
        figure.add_vline(x=floor, line={"color": MUTED, "width": 1, "dash": "dash"}, layer="below")
    return figure


def draw_error_by_step(evaluations: Mapping[str, Evaluation], *, metric: str, colours: Mapping[str, str]) -> Any:
    """The test score of each model at each step of the horizon."""
    figure = new_figure(height=300, x="steps ahead", y=axis_of(metric))
    for name, evaluation in evaluations.items():
        values = scale_of(metric) * score_by_step(evaluation.scored, [metric])[metric]
        steps = np.arange(1, len(values) + 1)
        figure.add_trace(_line(name, steps, values, colours[name], markers=len(values) <= 60))
    figure.update_yaxes(rangemode="tozero")
    if len(next(iter(evaluations.values())).scored.actual[0]) <= 12:
        figure.update_xaxes(dtick=1)
    return figure


def draw_calibration(evaluations: Mapping[str, Evaluation], *, colours: Mapping[str, str]) -> Any:
    """For each quantile level, the share of test values at or below its forecast; right is the diagonal."""
    figure = new_figure(height=300, x="level of the quantile, %", y="values at or below it, %")
    ideal = {"color": MUTED, "width": 1, "dash": "dash"}
    figure.add_trace(
        go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line=ideal, name="well calibrated", hoverinfo="skip")
    )
    for name, evaluation in evaluations.items():
        levels, shares = measure_calibration(evaluation)
        figure.add_trace(_line(name, 100.0 * levels, 100.0 * shares, colours[name], markers=True))
    figure.update_xaxes(range=[0, 100], dtick=20)
    figure.update_yaxes(range=[0, 100], dtick=20)
    return figure


def measure_calibration(evaluation: Evaluation) -> tuple[Any, Any]:
    """The levels [Q], and the share of observed test values at or below the forecast of each [Q]."""
    scored = evaluation.scored
    below = (scored.actual[:, :, None] <= scored.forecast)[scored.observed]
    return scored.levels, below.mean(axis=0)


def draw_error_by_series(
    ours: Evaluation, theirs: Evaluation, *, metric: str, names: tuple[str, ...], colour: str = WINNER
) -> Any:
    """Each series as a dot: their test score to the right, ours upwards; below the line ours is better."""
    scale = scale_of(metric)
    x, y = (scale * score_by_series(e.scored, [metric])[metric] for e in (theirs, ours))
    keep = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    keep = keep[:: max(1, -(-len(keep) // MOST_POINTS))]
    axis = axis_of(metric)
    figure = new_figure(height=300, x=f"{axis}: {theirs.model}", y=f"{axis}: {ours.model}", legend=False)
    if not keep.size:
        return figure
    ends = [float(min(x[keep].min(), y[keep].min())), float(max(x[keep].max(), y[keep].max()))]
    line = {"color": MUTED, "width": 1, "dash": "dash"}
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip"))
    codes = np.unique(ours.windows.series)[keep]
    figure.add_trace(
        go.Scatter(
            x=x[keep],
            y=y[keep],
            mode="markers",
            marker={"size": 7, "color": colour, "opacity": 0.75, "line": {"width": 0.5, "color": "#ffffff"}},
            text=[label(names[code]) for code in codes],
            hovertemplate="%{text}<br>%{y:.4~g} against %{x:.4~g}<extra></extra>",
        )
    )
    return figure


def _colours(board: Leaderboard) -> Mapping[str, str]:
    floors = [row.model for row in board.rows if row.floor]
    return choose_colours([row.model for row in board.rows], winner=board.winner, floors=floors)


def _line(name: str, x: Any, y: Any, colour: str, *, markers: bool) -> Any:
    mode = "lines+markers" if markers else "lines"
    line = {"color": colour, "width": 2.2 if colour == WINNER else 1.6}
    marker = {"size": 6, "color": colour}
    return go.Scatter(x=x, y=y, mode=mode, line=line, marker=marker, name=label(name), hovertemplate="%{y:.4~g}")
