"""Pictures of what a search says of its options: the score over each, all at once, and how much each matters.

N trials, O options. What isn't there at a trial's point is not drawn, or stands apart where lines must go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tidewright.report.draw_trials import choose_log_ticks
from tidewright.report.style import FUTURE, GRID, INK, MUTED, WINNER, dress, label, new_figure, shorten
from tidewright.report.trial_marks import Doubles, Marks, mark_trials, name_goal, place_in, write_value
from tidewright.tuning.importance import OptionImportance
from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range
from tidewright.tuning.tried import Tried

MOST_PANELS, COLUMNS = 12, 3
PANEL, LEVEL, SLANTED = 145, 65, 115  # pixels: a panel's height, and what stands below it
MOST_AXES = 8  # of options
MOST_BARS = 15
BINS = 5  # shades of the lines, by rank
BEYOND = 0.05  # how far beyond an axis's end a value outside the range stands
MOST_TICKS = 6
FEWEST_DECADES = 3  # that are ticks enough for a logarithmic axis
UNUSED = -0.14  # where a line passes an option that isn't there
EARLY, LATE = "#c6dbef", WINNER  # trials, from the first to the last
SHADES = ("#08519c", "#3182bd", "#6baed6", "#9ecae1", "#d3dbe3")  # from the best fifth to the worst


def choose_options(tried: Tried, found: OptionImportance | None) -> tuple[str, ...]:
    """The options that vary among the drawn trials, the most important ones first where that is known."""
    known = [] if found is None else list(found.shares)
    names = [*known, *(name for name in tried.space.names if name not in known)]
    return tuple(name for name in names if tried.space.ranges[name].size > 1 and _has(tried, name))


def draw_slices(tried: Tried, *, options: Sequence[str], objective: int = 0) -> Any:
    """The score over each option by itself, later trials darker, the best one a diamond."""
    marks = mark_trials(tried, objective=objective)
    columns = min(COLUMNS, len(options))
    rows = math.ceil(len(options) / columns)
    axes = [_axis_of(tried.space.ranges[name]) for name in options]
    between = SLANTED if any(axis.get("tickangle") for axis in axes) else LEVEL  # room for labels, in pixels
    height = rows * (PANEL + between)
    figure = make_subplots(
        rows=rows, cols=columns, shared_yaxes=True, horizontal_spacing=0.035, vertical_spacing=between / height
    )
    dress(figure, height=height, legend=False)
    last = max(marks.numbers)
    for place, name in enumerate(options):
        row, column = place // columns + 1, place % columns + 1
        _add_slice(figure, tried, marks, name, place=(row, column), last=last)
        if column == 1:
            figure.update_yaxes(title_text=label(name_goal(tried.goals[objective])), row=row, col=column)
    return figure


def draw_parallel(tried: Tried, *, options: Sequence[str]) -> Any:
    """A line a trial through the value of each option and its scores; the better the darker, the best orange."""
    marks = mark_trials(tried)
    figure = new_figure(height=430, legend=False)
    scores = [mark_trials(tried, objective=one, trials=marks.trials) for one in range(len(tried.goals))]
    columns = [
        [_height(tried.space.ranges[name], trial.parameters, name) for trial in marks.trials] for name in options
    ]
    heights = np.array([*columns, *(_spread(one.heights) for one in scores)]).T
    order = np.argsort([trial.values[0] for trial in marks.trials], kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    looks = [(rows, shade, 1.0) for rows, shade in zip(bins, SHADES, strict=False)][::-1]
    winner = tried.best  # once: it looks at every trial
    best = np.flatnonzero([trial is winner for trial in marks.trials])
    for rows, colour, width in (*looks, (best, FUTURE, 2.6)):  # the best on top
        _add_bundle(figure, heights[rows], [marks.numbers[row] for row in rows], colour=colour, width=width)
    unused = bool(np.isnan(heights).any())
    names = [*options, *(name_goal(goal) for goal in tried.goals)]
    ticks = [*(_ticks_of(tried.space.ranges[name]) for name in options), *(_score_ticks(one.heights) for one in scores)]
    _draw_axes(figure, names, ticks, unused=unused)
    return figure


def draw_option_importance(found: OptionImportance) -> Any:
    """How much each option matters, with its standard error; the 15 that matter most."""
    names = list(found.shares)[:MOST_BARS][::-1]
    title = "share of variance, %" if found.method == "fanova" else "what sets the best apart, %"
    figure = new_figure(height=80 + 24 * len(names), x=title, legend=False)
    figure.add_trace(
        go.Bar(
            x=[100.0 * found.shares[name] for name in names],
            y=list(range(len(names))),
            orientation="h",
            marker={"color": WINNER},
            error_x={
                "array": [100.0 * found.spread[name] for name in names],
                "color": MUTED,
                "thickness": 1.5,
                "width": 3,
            },
            text=[label(name) for name in names],
            textposition="none",
            hovertemplate="%{text}: %{x:.3~g} %<extra></extra>",
        )
    )
    ticks = [label(shorten(name)) for name in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=ticks, range=[-0.7, len(names) - 0.3], showgrid=False
    )
    most = max((100.0 * (found.shares[name] + found.spread[name]) for name in names), default=1.0)
    figure.update_xaxes(range=[0.0, 1.05 * most])  # an error bar below 0 says nothing
    return figure


def _has(tried: Tried, name: str) -> bool:
    return any(name in trial.parameters for trial in tried.scored)


def _add_slice(figure: Any, tried: Tried, marks: Marks, name: str, *, place: tuple[int, int], last: int) -> None:
    one, (row, column) = tried.space.ranges[name], place
    there = [n for n, trial in enumerate(marks.trials) if _where(one, trial.parameters, name) is not None]
    trials = [marks.trials[n] for n in there]
    best = None if tried.best is None else tried.best.number
    figure.add_trace(
        go.Scatter(
            x=[_where(one, trial.parameters, name) for trial in trials],
            y=marks.heights[there],
            customdata=[
                [trial.number, write_value(trial.parameters[name]), float(marks.scores[n])]
                for trial, n in zip(trials, there, strict=True)
            ],
            mode="markers",
            marker={
                "color": [FUTURE if trial.number == best else _shade(trial.number, last) for trial in trials],
                "symbol": ["diamond" if trial.number == best else "circle" for trial in trials],
                "size": [11 if trial.number == best else 6 for trial in trials],
            },
            name=label(name),
            hovertemplate="trial %{customdata[0]}: %{customdata[1]}, score %{customdata[2]:.4~g}<extra></extra>",
        ),
        row=row,
        col=column,
    )
    if not isinstance(one, Choice):
        values = [trial.parameters[name] for trial in trials]
        figure.update_xaxes(range=_reach(one, values), row=row, col=column)
    figure.update_xaxes(**_axis_of(one), title_text=label(shorten(name, most=34)), row=row, col=column)


def _where(one: Range, point: Mapping[str, Any], name: str) -> float | None:
    """Where a point stands on an option's axis, a choice at its place; None where it has none."""
    if name not in point:
        return None
    value = point[name]
    if isinstance(one, Choice):
        return place_in(one, value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def _axis_of(one: Range) -> dict[str, Any]:
    if isinstance(one, Choice):
        ticks = [shorten(write_value(value), most=14) for value in one.choices]
        axis: dict[str, Any] = {"tickvals": list(range(len(ticks))), "ticktext": list(map(label, ticks))}
        return axis | {
            "range": [-0.5, len(ticks) - 0.5],
            "tickangle": -35 if max(map(len, ticks)) * len(ticks) > 40 else 0,
        }
    if one.log:
        decades = [tick for tick in choose_log_ticks(one.low, one.high) if f"{tick:e}".startswith("1.0")]
        marked = decades if len(decades) >= FEWEST_DECADES else _few_ticks(one)
        return {"type": "log", "tickvals": marked, "ticktext": [f"{tick:.3g}" for tick in marked]}
    return {"nticks": 6, **({"tickvals": list(one.values())} if isinstance(one, IntRange) and one.size <= 6 else {})}


def _reach(one: FloatRange | IntRange, values: Sequence[float]) -> list[float]:
    """The ends of an axis: those of the range and of what was tried, and a little more."""
    low, high = min([one.low, *values]), max([one.high, *values])
    if one.log and low > 0:
        low, high = math.log10(low), math.log10(high)
    return [low - 0.05 * (high - low), high + 0.05 * (high - low)]


def _few_ticks(one: FloatRange | IntRange) -> list[float]:
    """Ticks in even ratios, where a logarithmic axis has few decades."""
    ticks = np.geomspace(one.low, one.high, 5)
    return [float(tick) for tick in (np.unique(ticks.round()) if isinstance(one, IntRange) else ticks)]


def _shade(number: int, last: int) -> str:
    """The colour of a trial by its number."""
    share = number / last if last else 1.0
    ends = [[int(text[at : at + 2], 16) for at in (1, 3, 5)] for text in (EARLY, LATE)]
    mixed = [round(low + share * (high - low)) for low, high in zip(*ends, strict=True)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _height(one: Range, point: Mapping[str, Any], name: str) -> float:
    """Where a value stands on an axis from the range's low (0) to its high (1); NaN where there is none. A default
    outside the range stands just beyond its end."""
    where = _where(one, point, name)
    if where is None:
        return math.nan
    if isinstance(one, Choice):
        return where / (len(one.choices) - 1)
    if one.log:
        share = math.log(where / one.low) / math.log(one.high / one.low) if where > 0 else -1.0
    else:
        share = (where - one.low) / (one.high - one.low)
    return min(max(share, -BEYOND), 1.0 + BEYOND)


def _spread(values: Doubles) -> Doubles:
    """Values [N] from their lowest (0) to their highest (1)."""
    low, width = values.min(), np.ptp(values)
    return np.asarray((values - low) / width if width > 0 else np.full(len(values), 0.5))


def _ticks_of(one: Range) -> list[tuple[float, str]]:
    """Heights on an option's axis, with what stands there."""
    if isinstance(one, Choice):
        size = len(one.choices)
        places = range(size) if size <= MOST_TICKS else (0, size - 1)
        return [(place / (size - 1), shorten(write_value(one.choices[place]), most=11)) for place in places]
    middle = math.sqrt(one.low * one.high) if one.log else (one.low + one.high) / 2.0
    return [(0.0, f"{one.low:.3g}"), (0.5, f"{middle:.3g}"), (1.0, f"{one.high:.3g}")]


def _score_ticks(heights: Doubles) -> list[tuple[float, str]]:
    low, high = float(heights.min()), float(heights.max())
    if low == high:
        return [(0.5, f"{low:.4g}")]
    return [(0.0, f"{low:.4g}"), (0.5, f"{(low + high) / 2.0:.4g}"), (1.0, f"{high:.4g}")]


def _add_bundle(figure: Any, heights: Doubles, numbers: Sequence[int], *, colour: str, width: float) -> None:
    """The lines of some trials [N, axes] as one trace."""
    if not len(heights):
        return
    axes = heights.shape[1]
    apart = np.column_stack([np.where(np.isnan(heights), UNUSED, heights).round(4), np.full(len(heights), np.nan)])
    figure.add_trace(
        go.Scatter(
            x=[*range(axes), None] * len(heights),
            y=[None if np.isnan(value) else value for value in apart.ravel()],
            text=[f"trial {number}" for number in numbers for _ in range(axes + 1)],
            mode="lines",
            line={"color": colour, "width": width},
            hovertemplate="%{text}<extra></extra>",
        )
    )


def _draw_axes(
    figure: Any, names: Sequence[str], ticks: Sequence[Sequence[tuple[float, str]]], *, unused: bool
) -> None:
    for place, marks in enumerate(ticks):
        figure.add_shape(type="line", x0=place, x1=place, y0=0, y1=1, line={"color": MUTED, "width": 1}, layer="above")
        for height, text in marks:
            figure.add_annotation(
                x=place,
                y=height,
                text=label(text),
                showarrow=False,
                xanchor="left",
                xshift=3,
                font={"size": 11, "color": INK},
                bgcolor="rgba(255,255,255,0.78)",
                borderpad=1,
            )
    titles = ["<br>".join(label(shorten(part, most=14)) for part in name.split(".")[-3:]) for name in names]
    figure.update_xaxes(
        tickvals=list(range(len(names))), ticktext=titles, range=[-0.35, len(names) - 0.4], showgrid=False, side="top",
        showline=False, ticks="", tickangle=0,
    )  # fmt: skip
    low = UNUSED - 0.05 if unused else -BEYOND - 0.03
    figure.update_yaxes(
        showgrid=False, showline=False, linewidth=0, showticklabels=False, range=[low, 1.0 + BEYOND + 0.03]
    )
    if unused:
        figure.add_hline(y=UNUSED, line={"color": GRID, "width": 6}, layer="below")
        figure.update_yaxes(showticklabels=True, tickvals=[UNUSED], ticktext=["not there"])
