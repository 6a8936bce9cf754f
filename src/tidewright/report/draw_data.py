"""Pictures of the table: where values are missing, and how the time axis is split."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.report.style import (
    FLOOR,
    FUTURE,
    INK,
    MUTED,
    WINNER,
    fade,
    label,
    new_figure,
    shorten,
    thin,
    to_times,
)

MOST_SERIES, BINS = 40, 80
Span = tuple[str, int, int, str]


def draw_split(panel: Panel, split: Split, *, series: Any = None) -> Any:
    """The parts of a split as bands of cutoffs in time, with one series behind (default: the fullest)."""
    name = choose_example(panel) if series is None else series
    rows = panel.rows_of(name)
    keep = rows.start + thin(panel.target[rows])
    figure = new_figure(height=300, y=panel.roles.target)
    told: set[str] = set()
    for part, first, last, colour in find_spans(split):
        left, right = to_times(panel, np.array([first, last]))
        figure.add_vrect(x0=left, x1=right, fillcolor=colour, line={"width": 1, "color": colour}, layer="below")
        if part not in told:
            figure.add_trace(_key(part, colour, left))
            told.add(part)
    figure.add_trace(
        go.Scatter(
            x=to_times(panel, panel.positions[keep]),
            y=panel.target[keep],
            mode="lines",
            line={"color": INK, "width": 1},
            name=label(shorten(name)),
        )
    )
    return figure


def find_spans(split: Split) -> list[Span]:
    """Each part with its first and last cutoff and its colour; purged spans lie between the parts."""
    parts = [
        ("train", split.train, fade(FLOOR, 0.22)),
        ("validation", split.validation, fade("#e69f00", 0.28)),
    ]
    if split.test is not None:
        parts.append(("test", split.test, fade(WINNER, 0.22)))
    spans: list[Span] = []
    for name, cutoffs, colour in parts:
        if spans:
            spans.append(("purged", spans[-1][2], cutoffs.first, fade(FUTURE, 0.4)))
        spans.append((name, cutoffs.first, int(cutoffs.positions[-1]), colour))
    return spans


def choose_example(panel: Panel) -> Any:
    """The series with the most observed values; the first of several."""
    seen = np.add.reduceat((~np.isnan(panel.target)).astype(np.int64), panel.offsets[:-1])
    return panel.series_ids[int(np.argmax(seen))]


def draw_missing(panel: Panel) -> Any:
    """The share of missing target values by series and stretch of time; None where none is missing."""
    missing = np.isnan(panel.target) & (np.arange(len(panel.target)) <= panel.ends[panel.codes])
    if not missing.any():
        return None
    first, last = panel.span
    bins = min(BINS, last - first + 1)
    column = np.minimum((panel.positions - first) * bins // (last - first + 1), bins - 1)
    inside = np.arange(len(panel.target)) <= panel.ends[panel.codes]
    cell = panel.codes[inside].astype(np.int64) * bins + column[inside]
    size = panel.n_series * bins
    rows = np.bincount(cell, minlength=size).reshape(-1, bins)
    gone = np.bincount(cell, weights=missing[inside], minlength=size).reshape(-1, bins)
    share = np.where(rows > 0, gone / np.maximum(rows, 1), np.nan)
    worst = np.argsort(-gone.sum(axis=1), kind="stable")[:MOST_SERIES]
    worst = worst[gone[worst].sum(axis=1) > 0][::-1]
    edges = first + (np.arange(bins) * (last - first + 1)) // bins
    figure = new_figure(height=130 + 14 * len(worst), legend=False)
    figure.add_trace(
        go.Heatmap(
            z=100.0 * share[worst],
            x=to_times(panel, edges),
            y=np.arange(len(worst)),
            zmin=0,
            zmax=100,
            colorscale=[[0, "#f3f5f7"], [1e-9, "#c6dbef"], [1, "#08306b"]],
            colorbar={"title": {"text": "missing, %", "side": "right"}, "thickness": 10, "outlinewidth": 0},
            hovertemplate="%{z:.1f} % missing from %{x}<extra></extra>",
        )
    )
    names = [label(shorten(panel.series_ids[int(code)])) for code in worst]
    figure.update_yaxes(tickvals=np.arange(len(worst)), ticktext=names, showgrid=False)
    return figure


def _key(name: str, colour: str, x: Any) -> Any:
    """A square of the legend; its one point has a time, so that the axis is one of times, and no value."""
    return go.Scatter(
        x=[x],
        y=[None],
        mode="markers",
        marker={"symbol": "square", "size": 12, "color": colour, "line": {"color": MUTED, "width": 0.5}},
        name=name,
        hoverinfo="skip",
    )
