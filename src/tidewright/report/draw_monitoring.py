"""The pictures of a look at a deployed model: drift by feature, and error and coverage over time."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go

from tidewright.report.style import ALARM, FLOOR, INK, MUTED, WINNER, fade, label, new_figure, shorten
from tidewright.workflows.monitoring import Monitoring

CUSTOM = (0.1, 0.25)  # below the first no shift by custom, above the second a large one


def draw_psi(found: Monitoring) -> Any:
    """The index of each input and of the predictions, the largest on top; alarms in another colour."""
    rows = sorted((one for one in found.checks if one.name == "psi"), key=lambda one: one.test.statistic)
    alarmed = {(alert.kind, alert.column) for alert in found.alerts}
    figure = new_figure(height=90 + 26 * len(rows), x="PSI", legend=False)
    figure.add_trace(
        go.Bar(
            x=[one.test.statistic for one in rows],
            y=[label(shorten(one.column)) for one in rows],
            orientation="h",
            marker_color=[ALARM if (one.kind, one.column) in alarmed else WINNER for one in rows],
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    for place in CUSTOM:
        figure.add_vline(x=place, line={"color": MUTED, "dash": "dot", "width": 1})
    return figure


def draw_error(found: Monitoring) -> Any:
    """The mean error of each block of time, beside what it was on validation."""
    figure = new_figure(height=260, y="error, in deviations")
    scores = found.scores
    times, values = [one.time for one in scores], [one.error for one in scores]
    figure.add_trace(
        go.Scatter(
            x=times, y=values, mode="lines+markers", name="live", line={"color": WINNER}, hovertemplate="%{y:.3f}"
        )
    )
    known = [one for one, _ in found.errors_by_step if not math.isnan(one)]
    if known:
        usual = sum(known) / len(known)
        ends = [times[0], times[-1]]
        line = {"color": FLOOR, "dash": "dash"}
        figure.add_trace(go.Scatter(x=ends, y=[usual, usual], mode="lines", name="validation", line=line))
    return figure


def draw_coverage(found: Monitoring) -> Any:
    """The share inside the interval of each block of time, its band, and what was promised."""
    figure = new_figure(height=260, y="inside the interval")
    scores = [one for one in found.scores if not math.isnan(one.coverage)]
    times = [one.time for one in scores]
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=times, y=[one.low for one in scores], showlegend=False, **band))
    figure.add_trace(
        go.Scatter(
            x=times, y=[one.high for one in scores], fill="tonexty", fillcolor=fade(FLOOR, 0.25), name="band", **band
        )
    )
    figure.add_trace(
        go.Scatter(
            x=times,
            y=[one.coverage for one in scores],
            mode="lines+markers",
            name="live",
            line={"color": WINNER},
            hovertemplate="%{y:.1%}",
        )
    )
    if found.nominal is not None and times:
        figure.add_hline(y=found.nominal, line={"color": INK, "dash": "dot", "width": 1})
    figure.update_yaxes(tickformat=".0%")
    return figure


def draw_steps(found: Monitoring) -> Any:
    """The mean error at each step ahead, on validation and live."""
    figure = new_figure(height=260, x="step ahead", y="error, in deviations")
    steps = list(range(1, len(found.errors_by_step) + 1))
    for place, (name, colour) in enumerate((("validation", FLOOR), ("live", WINNER))):
        values = [None if math.isnan(pair[place]) else pair[place] for pair in found.errors_by_step]
        figure.add_trace(go.Scatter(x=steps, y=values, mode="lines+markers", name=name, line={"color": colour}))
    return figure
