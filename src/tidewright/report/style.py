"""How every picture looks: colours that all readers can tell apart, one layout, lines that stay small.

The colours are Okabe and Ito's (2008): the winner is blue, floors are grey, other models take the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from tidewright.data.frequency import Ints
from tidewright.data.panel import Panel

Floats = npt.NDArray[np.float64]

INK, MUTED, GRID = "#1c2430", "#5b6672", "#e4e8ec"
WINNER, FLOOR, FUTURE, ALARM = "#0072b2", "#8b949e", "#d55e00", "#a63603"
OTHERS = ("#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c564b", "#6a5acd")
MOST_POINTS = 1500
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def new_figure(*, height: int, x: str = "", y: str = "", legend: bool = True) -> Any:
    """An empty figure in the report's look, with the titles of its axes (plain text, escaped here)."""
    figure = go.Figure()
    dress(figure, height=height, legend=legend)
    figure.update_xaxes(title_text=label(x))
    figure.update_yaxes(title_text=label(y))
    return figure


def dress(figure: Any, *, height: int, legend: bool = True) -> None:
    """Gives a figure the report's look."""
    axis = {
        "gridcolor": GRID,
        "linecolor": "#b9c1c9",
        "zeroline": False,
        "automargin": True,
        "title_font_size": 12,
        "title_standoff": 8,
    }
    figure.update_layout(
        template=go.layout.Template(),
        height=height,
        margin={"l": 8, "r": 16, "t": 36 if legend else 12, "b": 8},
        font={"family": _FONT, "size": 12, "color": INK},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        showlegend=legend,
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "xanchor": "left",
            "yanchor": "bottom",
            "font_size": 12,
        },
        hoverlabel={"font_size": 12, "bgcolor": "#ffffff", "bordercolor": "#b9c1c9", "namelength": -1},
    )
    figure.update_xaxes(**axis, showline=True, ticks="outside", ticklen=4, tickcolor="#b9c1c9")
    figure.update_yaxes(**axis)


def label(text: object) -> str:
    """A user's text as plotly shows it: its own small HTML has no meaning there.

    >>> label("<b>Berlin & co</b>")
    '&lt;b&gt;Berlin &amp; co&lt;/b&gt;'
    """
    return escape(str(text), quote=False)


def shorten(text: object, most: int = 28) -> str:
    """A name that fits beside an axis.

    >>> shorten("a very long name of a series", most=12)
    'a very long…'
    """
    name = str(text)
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def choose_colours(names: Iterable[str], *, winner: str, floors: Iterable[str]) -> Mapping[str, str]:
    """A colour a model: the winner's, the floors' grey, the others in turn.

    >>> choose_colours(["lstm", "naive"], winner="lstm", floors=["naive"])
    {'lstm': '#0072b2', 'naive': '#8b949e'}
    """
    grey, chosen, turn = set(floors), {}, 0
    for name in names:
        if name == winner:
            chosen[name] = WINNER
        elif name in grey:
            chosen[name] = FLOOR
        else:
            chosen[name] = OTHERS[turn % len(OTHERS)]
            turn += 1
    return chosen


def fade(colour: str, share: float) -> str:
    """A colour at some opacity.

    >>> fade("#0072b2", 0.25)
    'rgba(0,114,178,0.25)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share:g})"


def to_times(panel: Panel, positions: Ints) -> list[Any]:
    """Grid positions as plotly draws them: wall times as ISO text, or steps."""
    return show_times(panel.moments(np.asarray(positions, dtype=np.int64)))


def show_times(moments: pl.Series) -> list[Any]:
    """A column of times as ISO text in its own wall time, or its plain numbers."""
    if isinstance(moments.dtype, pl.Datetime):
        return moments.dt.replace_time_zone(None).dt.strftime("%Y-%m-%d %H:%M:%S").to_list()
    if moments.dtype == pl.Date:
        return moments.dt.strftime("%Y-%m-%d").to_list()
    return moments.to_list()


def thin(values: Floats, *, most: int = MOST_POINTS) -> Ints:
    """The indices to draw of a long line [n]: the lowest and highest value of each stretch, and both ends.

    No peak is lost. A stretch without a value keeps its first, missing, point.

    >>> thin(np.array([0.0, 5.0, 1.0, 1.0, -3.0, 1.0, 1.0, 2.0]), most=4)
    array([0, 1, 4, 7])
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    width = -(-count // max(most // 2, 1))
    padded = np.full(-(-count // width) * width, np.nan)
    padded[:count] = values
    blocks = padded.reshape(-1, width)
    missing = np.isnan(blocks)
    starts = np.arange(len(blocks)) * width
    lowest = starts + np.argmin(np.where(missing, np.inf, blocks), axis=1)
    highest = starts + np.argmax(np.where(missing, -np.inf, blocks), axis=1)
    return np.unique(np.concatenate([[0], lowest, highest, [count - 1]]))
