"""The picture of a preset's search: the validation error of every try over time, and the best so far."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from tidewright.report.metric_words import name_metric
from tidewright.report.style import FLOOR, INK, WINNER, label, new_figure
from tidewright.workflows.search_record import Search

HIGHEST = 3.0  # times the best score, above which a try is not drawn


def draw_search(search: Search) -> Any:
    """Tries as dots at the second they were done, floors apart, and the best so far as a line."""
    figure = new_figure(height=300, x="seconds", y=f"validation {name_metric(search.metric)}")
    scored = [one for one in search.attempts if one.score is not None]
    lowest = min((one.score or 0.0 for one in scored), default=0.0)
    near = [one for one in scored if lowest <= 0.0 or (one.score or 0.0) <= HIGHEST * lowest]
    for name, floor, colour in (("floors", True, FLOOR), ("models", False, WINNER)):
        some = [one for one in near if one.floor is floor]
        dots = go.Scatter(
            x=[one.at for one in some],
            y=[one.score for one in some],
            mode="markers",
            marker={"color": colour, "size": 8},
            name=name,
            text=[label(f"{one.model}, {one.what}") for one in some],
            hovertemplate="%{text}<br>%{y:.4~g} at %{x:.0f} s<extra></extra>",
        )
        figure.add_trace(dots)
    at, best = search.curve()
    inside = [(x, y) for x, y in zip(at, best, strict=True) if lowest <= 0.0 or y <= HIGHEST * lowest]
    if inside:  # the best holds up to the last try
        x, y = [one[0] for one in inside], [one[1] for one in inside]
        x, y = [*x, search.attempts[-1].at], [*y, y[-1]]
        line = {"color": INK, "width": 1.3, "shape": "hv"}
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, name="best so far"))
    return figure
