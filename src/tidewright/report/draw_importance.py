"""Pictures of why a model says what it says: what it needs, what each column adds, and what changed a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tidewright.report.metric_words import axis_of, scale_of
from tidewright.report.style import FUTURE, INK, MUTED, OTHERS, WINNER, label, new_figure, shorten, show_times
from tidewright.training.change import Change
from tidewright.training.explain_trees import TreeExplanation
from tidewright.training.importance import Importance

MOST = 15  # bars of a picture
MOST_PARTS = 6  # columns that a forecast is split into; the rest are one
COLOURS = {"target": INK, "past": WINNER, "known": FUTURE, "static": OTHERS[1]}
CAUSES = {"revised data": OTHERS[0], "known covariates": FUTURE, "new data": WINNER, "model": OTHERS[2]}
ZERO = {"line": {"color": MUTED, "width": 1}, "layer": "below"}


def draw_importance(importance: Importance) -> Any:
    """How much worse the score gets without each feature, with the spread of the repeats; the 15 that matter most."""
    order = np.argsort(importance.mean, kind="stable")[-MOST:]
    scale = scale_of(importance.metric)
    figure = new_figure(height=100 + 22 * len(order), x=f"{axis_of(importance.metric)} that is lost without it")
    for part, colour in COLOURS.items():
        places = [place for place, one in enumerate(order) if importance.features[one].part == part]
        chosen = order[places]
        if not places:
            continue
        figure.add_trace(
            go.Bar(
                x=scale * importance.mean[chosen],
                y=places,
                orientation="h",
                marker={"color": colour},
                error_x={"array": scale * importance.spread[chosen], "color": MUTED, "thickness": 1.5, "width": 3},
                name=part,
                text=[label(importance.features[one].name) for one in chosen],
                textposition="none",
                hovertemplate="%{text}: %{x:.3~g}",
            )
        )
    _name_rows(figure, [importance.features[one].name for one in order])
    figure.add_vline(x=0, **ZERO)
    return figure


def draw_tree_importance(explanation: TreeExplanation, *, unit: str) -> Any:
    """The mean size of what each feature adds to a forecast, in the target's `unit`; the 15 heaviest."""
    order = np.argsort(explanation.importance, kind="stable")[-MOST:]
    figure = new_figure(height=100 + 22 * len(order), x=f"mean size of its part, {unit}", legend=False)
    figure.add_trace(
        go.Bar(
            x=explanation.importance[order],
            y=list(range(len(order))),
            orientation="h",
            marker={"color": WINNER},
            text=[label(explanation.names[one]) for one in order],
            textposition="none",
            hovertemplate="%{text}: %{x:.3~g}<extra></extra>",
        )
    )
    _name_rows(figure, [explanation.names[one] for one in order])
    return figure


def draw_tree_parts(explanation: TreeExplanation, *, window: int, unit: str) -> Any:
    """One window's forecast [H] as what is said of an average window plus the part of each column; the line is both."""
    parts, base = explanation.parts[window], explanation.base[window]
    order = np.argsort(-np.abs(parts).mean(axis=0), kind="stable")
    steps = list(range(1, len(base) + 1))
    figure = new_figure(height=320, x="step of the horizon", y=unit)
    colours = (WINNER, *OTHERS)
    shown = [(explanation.names[one], parts[:, one]) for one in order[:MOST_PARTS]]
    if len(order) > MOST_PARTS:
        shown.append((f"{len(order) - MOST_PARTS} others", parts[:, order[MOST_PARTS:]].sum(axis=1)))
    for number, (name, values) in enumerate(shown):
        colour = colours[number % len(colours)] if number < MOST_PARTS else MUTED
        _stack(figure, name, steps, values, colour)
    figure.update_layout(barmode="relative")
    _line(figure, "forecast less an average one", steps, parts.sum(axis=1), INK)
    figure.add_hline(y=0, **ZERO)
    return figure


def draw_change(change: Change, *, series: int, unit: str) -> Any:
    """What each cause added to one series' forecast at each time, and the whole change as a line."""
    times = show_times(change.times)
    figure = new_figure(height=320, x=change.names[1], y=f"change of the forecast, {unit}")
    for cause, values in zip(change.causes, change.parts[:, series], strict=True):
        _stack(figure, cause, times, values, CAUSES[cause])
    figure.update_layout(barmode="relative")
    whole = change.stages[-1, series] - change.stages[0, series]
    _line(figure, "whole change", times, whole, INK)
    figure.add_hline(y=0, **ZERO)
    return figure


def draw_before_and_after(change: Change, *, series: int, unit: str) -> Any:
    """One series' forecast before and after."""
    times = show_times(change.times)
    figure = new_figure(height=320, x=change.names[1], y=unit)
    _line(figure, "before", times, change.stages[0, series], MUTED)
    _line(figure, "after", times, change.stages[-1, series], WINNER)
    return figure


def _stack(figure: Any, name: str, x: Sequence[Any], values: Any, colour: str) -> None:
    figure.add_trace(
        go.Bar(
            x=x, y=values, marker={"color": colour}, name=label(shorten(name)), hovertemplate="%{y:+.3~g}"
        )
    )  # fmt: skip


def _line(figure: Any, name: str, x: Sequence[Any], values: Any, colour: str) -> None:
    figure.add_trace(
        go.Scatter(
            x=x,
            y=values,
            mode="lines+markers",
            line={"color": colour, "width": 2.0},
            marker={"size": 5, "color": colour},
            name=name,
            hovertemplate="%{y:.4~g}",
        )
    )


def _name_rows(figure: Any, names: Sequence[str]) -> None:
    ticks = [label(shorten(name)) for name in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=ticks, range=[-0.7, len(names) - 0.3], showgrid=False
    )
