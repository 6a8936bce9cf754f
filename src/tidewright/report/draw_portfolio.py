"""Pictures of the decision: what to hold, and what the strategies would have earned and lost after costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tidewright.portfolio.ledger import Ledger
from tidewright.portfolio.weights import Weights
from tidewright.report.style import FLOOR, OTHERS, WINNER, Floats, label, new_figure, shorten, thin
from tidewright.workflows.result import Strategy

_DASHES = ("solid", "solid", "dash", "dot", "dashdot")


def draw_weights(weights: Weights) -> Any:
    """One bar an asset, the largest on top, in percent; a line at equal weights."""
    order = np.argsort(weights.values, kind="stable")
    values = 100.0 * weights.values[order]
    names = [label(shorten(weights.assets[i], 20)) for i in order]
    figure = new_figure(height=90 + 20 * len(order), x="weight, %", legend=False)
    figure.add_trace(
        go.Bar(
            x=values,
            y=np.arange(len(order)),
            orientation="h",
            marker={"color": WINNER},
            text=[f"{v:.1f}" for v in values],
            textposition="outside",
            cliponaxis=False,
            customdata=names,
            hovertemplate="%{customdata}: %{x:.2f} %<extra></extra>",
        )
    )
    figure.update_yaxes(tickvals=np.arange(len(order)), ticktext=names, showgrid=False, range=[-0.7, len(order) - 0.3])
    figure.add_vline(x=100.0 / len(order), line={"color": FLOOR, "width": 1, "dash": "dash"})
    return figure


def draw_equity(strategies: Sequence[Strategy]) -> Any:
    """The equity of each strategy after costs, as a multiple of its start, on a log axis."""
    figure = new_figure(height=300, y="equity, start = 1")
    for number, strategy in enumerate(strategies):
        times, equity = _owned(strategy.ledger)
        figure.add_trace(_line(strategy.name, times, equity / equity[0], number))
    drawn = [value for trace in figure.data for value in (min(trace.y), max(trace.y))]
    ticks = choose_ticks(min(drawn), max(drawn))
    figure.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return figure


def draw_drawdown(strategies: Sequence[Strategy]) -> Any:
    """How far each strategy's equity lies below its peak so far, in percent."""
    figure = new_figure(height=220, y="below the peak, %")
    for number, strategy in enumerate(strategies):
        times, equity = _owned(strategy.ledger)
        below = 100.0 * (equity / np.maximum.accumulate(equity) - 1.0)
        figure.add_trace(_line(strategy.name, times, below, number))
    return figure


def choose_ticks(low: float, high: float) -> list[float]:
    """Round values between two positive ones, for a log axis: even, or 1, 2, 5 of each power of ten.

    >>> choose_ticks(0.98, 1.21), choose_ticks(0.4, 30.0)
    ([1.0, 1.05, 1.1, 1.15, 1.2], [0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
    """
    if high / low > 6.0:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [digit * 10.0**power for power in powers for digit in (1.0, 2.0, 5.0)]
        return [round(tick, 12) for tick in ticks if low <= tick <= high]
    rough = max((high - low) / 5.0, 1e-9 * high)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1.0, 2.0, 5.0, 10.0) if size * power >= rough)
    return [round(n * step, 12) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _owned(ledger: Ledger) -> tuple[list[str], Floats]:
    """Times and equity from the bar before the first fill, which is worth the money at the start."""
    start = max((ledger.first_fill or 1) - 1, 0)
    return np.datetime_as_string(ledger.times[start:]).tolist(), ledger.equity[start:]


def _line(name: str, times: list[str], values: Floats, number: int) -> Any:
    colour = (FLOOR, WINNER, *OTHERS)[number % 8]
    keep = thin(values)
    return go.Scatter(
        x=[times[i] for i in keep],
        y=values[keep],
        mode="lines",
        line={"color": colour, "width": 1.6, "dash": _DASHES[number % len(_DASHES)]},
        name=label(name),
        hovertemplate="%{y:.4~g}",
    )
