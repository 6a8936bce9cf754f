"""The picture of what choosing did to a score: as it was found, corrected, and on the test."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go

from tidewright.metrics.bootstrap import Interval
from tidewright.report.metric_words import axis_of, scale_of
from tidewright.report.style import FLOOR, INK, WINNER, new_figure
from tidewright.tuning.account import Account

VALIDATION, CORRECTED, TEST = "validation", "validation, corrected", "test"


def draw_account(account: Account, *, test: float, interval: Interval | None) -> Any:
    """The winner's three scores, one below the other; the test's with its interval. A corrected score that can't be had
    is left out."""
    scale = scale_of(account.metric)
    figure = new_figure(height=190, x=axis_of(account.metric), legend=False)
    marks = ((TEST, test, INK, "circle"), (CORRECTED, account.corrected, WINNER, "diamond"))
    for place, (name, value, colour, symbol) in enumerate((*marks, (VALIDATION, account.score, FLOOR, "circle"))):
        if not math.isfinite(value):
            continue
        bars: dict[str, Any] = {"visible": False}
        if name == TEST and interval is not None:
            bars = {"type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": colour}
            bars |= {"array": [scale * (interval.high - value)], "arrayminus": [scale * (value - interval.low)]}
        marker = {"size": 11, "color": colour, "symbol": symbol}
        figure.add_trace(
            go.Scatter(
                x=[scale * value], y=[place], error_x=bars, mode="markers", marker=marker, name=name,
                hovertemplate="%{x:.4~g}",
            )
        )  # fmt: skip
    figure.update_yaxes(tickvals=[0, 1, 2], ticktext=[TEST, CORRECTED, VALIDATION], range=[-0.6, 2.6], showgrid=False)
    return figure
