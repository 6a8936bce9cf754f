"""Pictures of what a model used: its variables as bars and over time, and the times it attended to."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from tidewright.models.interpret import Interpretation
from tidewright.report.style import FUTURE, INK, MUTED, OTHERS, WINNER, label, new_figure, shorten

PARTS = {"static": OTHERS[1], "past": WINNER, "future": FUTURE}
MOST_VARIABLES, MOST_LINES = 15, 6
CUTOFF = {"x": 0.5, "line": {"color": MUTED, "width": 1, "dash": "dash"}, "layer": "below"}


def draw_variable_weights(interpretation: Interpretation) -> Any:
    """The weight of each static, past and future variable as a bar, a part in a colour; at most 15 of a part."""
    bars = [bar for part in reversed(interpretation.selections) for bar in reversed(_bars(interpretation, part))]
    figure = new_figure(height=100 + 20 * len(bars), x="weight, % of its part")
    for part in interpretation.selections:
        places = [place for place, bar in enumerate(bars) if bar[0] == part]
        figure.add_trace(
            go.Bar(
                x=[bars[place][2] for place in places],
                y=places,
                orientation="h",
                marker={"color": PARTS[part]},
                name=part,
                text=[label(bars[place][1]) for place in places],
                textposition="none",
                hovertemplate="%{text}: %{x:.3~g} %",
            )
        )
    names = [label(shorten(name)) for _, name, _ in bars]
    figure.update_yaxes(tickvals=list(range(len(bars))), ticktext=names, range=[-0.7, len(bars) - 0.3], showgrid=False)
    figure.update_xaxes(rangemode="tozero")
    return figure


def draw_weights_by_step(interpretation: Interpretation) -> Any:
    """The weights of the past and the future variables at each step; the heaviest of them, a variable in a colour."""
    figure = new_figure(height=300, x="steps from the cutoff", y="weight, % of its part")
    parts = {part: interpretation.selections[part] for part in ("past", "future")}
    mass: dict[str, float] = {}
    for selection in parts.values():
        for name, weight in zip(selection.names, selection.weights, strict=True):
            mass[name] = max(mass.get(name, 0.0), float(weight))
    heaviest = sorted(mass, key=lambda name: -mass[name])[:MOST_LINES]
    colours = dict(zip(heaviest, (WINNER, *OTHERS), strict=False))
    told: set[str] = set()
    for selection in parts.values():
        for column, name in enumerate(selection.names):
            if name in colours:
                figure.add_trace(
                    _line(
                        name, selection.steps, 100.0 * selection.by_step[:, column], colours[name], new=name not in told
                    )
                )
                told.add(name)
    figure.add_vline(**CUTOFF)
    figure.update_yaxes(rangemode="tozero")
    return figure


def draw_attention(interpretation: Interpretation) -> Any:
    """The attention that the first, the middle and the last step of the horizon pay to each time, and the mean."""
    figure = new_figure(height=300, x="steps from the cutoff", y="attention, %")
    horizon = len(interpretation.attention)
    for step, colour in zip(sorted({1, (horizon + 1) // 2, horizon}), (WINNER, OTHERS[0], FUTURE), strict=False):
        paid = 100.0 * interpretation.attention[step - 1]
        seen = interpretation.steps <= step
        figure.add_trace(_line(f"of step {step}", interpretation.steps[seen], paid[seen], colour))
    figure.add_trace(_line("mean", interpretation.steps, 100.0 * interpretation.by_time, INK))
    figure.add_vline(**CUTOFF)
    figure.update_yaxes(rangemode="tozero")
    return figure


def draw_attention_map(interpretation: Interpretation) -> Any:
    """The attention of each step of the horizon (upwards) to each time (to the right); white where none is allowed."""
    horizon = len(interpretation.attention)
    ahead = np.arange(1, horizon + 1)
    paid = np.where(interpretation.steps > ahead[:, None], np.nan, 100.0 * interpretation.attention)
    figure = new_figure(
        height=130 + min(14 * horizon, 400), x="steps from the cutoff", y="step of the horizon", legend=False
    )
    figure.add_trace(
        go.Heatmap(
            z=paid,
            x=interpretation.steps,
            y=ahead,
            zmin=0.0,
            zmax=float(np.nanmax(paid)),
            colorscale=[[0, "#f3f5f7"], [0.01, "#c6dbef"], [1, "#08306b"]],
            colorbar={"title": {"text": "attention, %", "side": "right"}, "thickness": 10, "outlinewidth": 0},
            hovertemplate="%{z:.3~g} % of step %{y} to %{x}<extra></extra>",
            hoverongaps=False,
        )
    )
    figure.update_yaxes(showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure


def _bars(interpretation: Interpretation, part: str) -> list[tuple[str, str, float]]:
    """The part, name and weight (%) of its heaviest variables, the heaviest first; the others as one bar."""
    selection = interpretation.selections[part]
    weights = 100.0 * selection.weights
    order = np.argsort(-weights, kind="stable")
    most = len(order) if len(order) <= MOST_VARIABLES else MOST_VARIABLES - 1
    bars = [(part, selection.names[place], float(weights[place])) for place in order[:most]]
    rest = order[most:]
    return [*bars, (part, f"{len(rest)} others", float(weights[rest].sum()))] if len(rest) else bars


def _line(name: str, x: Any, y: Any, colour: str, *, new: bool = True) -> Any:
    """A line, with its place in the legend when it is `new` there."""
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers" if len(x) <= 60 else "lines",
        line={"color": colour, "width": 2.0 if colour in (WINNER, INK) else 1.6},
        marker={"size": 5, "color": colour},
        name=label(shorten(name)),
        legendgroup=label(name),
        showlegend=new,
        hovertemplate="%{y:.3~g} %",
    )
