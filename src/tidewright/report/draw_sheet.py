"""Pictures of a tear sheet over time: lines, areas and the months. Each is drawn from the table that is kept beside it.

Numbers go into the page as arrays of single precision, and lines by the lowest and highest of each stretch, so that a
page of many bars and assets stays small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from tidewright.report.draw_portfolio import choose_ticks
from tidewright.report.numbers import write_number
from tidewright.report.sheet_tables import TIME
from tidewright.report.style import ALARM, FLOOR, FUTURE, MUTED, OTHERS, WINNER, Floats, fade, label, new_figure, thin

POINTS = 320  # of a line: the lowest and highest of 160 stretches
STEPS = 160  # of an area
AREAS = 10
DASHES = ("solid", "dash", "dot", "dashdot")
_SHADES = (WINNER, *OTHERS, "#999933", "#44aa99", "#882255", "#ddcc77", "#117733")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def choose_looks(names: Sequence[str], *, benchmark: str | None) -> Mapping[str, Mapping[str, Any]]:
    """A line for each: the strategy's thick and blue, the benchmark's orange, floors grey and then other colours.

    >>> choose_looks(["mine", "equal", "index"], benchmark="index")["index"]["color"]
    '#d55e00'
    """
    looks: dict[str, Mapping[str, Any]] = {}
    floors = 0
    for name in names:
        if not looks:
            looks[name] = {"color": WINNER, "width": 2.0, "dash": "solid"}
        elif name == benchmark:
            looks[name] = {"color": FUTURE, "width": 1.4, "dash": "solid"}
        else:
            colour = (FLOOR, *OTHERS)[floors % 7]
            looks[name] = {"color": colour, "width": 1.4, "dash": DASHES[(floors + 1) % 4]}
            floors += 1
    return looks


def draw_lines(
    table: pl.DataFrame,
    *,
    looks: Mapping[str, Mapping[str, Any]],
    y: str,
    scale: float = 1.0,
    height: int = 260,
    level: float | None = None,
) -> Any:
    """A line for each column over time; a thin grey one at `level`."""
    figure = new_figure(height=height, y=y)
    times = to_milliseconds(table[TIME])
    for name in table.columns[1:]:
        values = scale * table[name].to_numpy()
        keep = thin(values, most=POINTS)
        figure.add_trace(
            go.Scatter(
                x=times[keep],
                y=values[keep].astype(np.float32),
                mode="lines",
                line=dict(looks.get(name.strip(), {"width": 1.4})),
                name=label(name.strip()),
                hovertemplate="%{y:.4~g}",
            )
        )
    if level is not None:
        figure.add_hline(y=level, line={"color": MUTED, "width": 1, "dash": "dot"})
    figure.update_xaxes(type="date")
    return figure


def draw_growth(table: pl.DataFrame, *, looks: Mapping[str, Mapping[str, Any]]) -> Any:
    """Wealth on a log axis; on a plain one where something is worth nothing."""
    figure = draw_lines(table, looks=looks, y="wealth, start = 1", height=320)
    low, high = float(table[:, 1:].min_horizontal().min()), float(table[:, 1:].max_horizontal().max())  # type: ignore[arg-type]
    if low > 0.0:
        ticks = choose_ticks(low, high)
        figure.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return figure


def draw_areas(table: pl.DataFrame, *, y: str, parts: bool = True) -> Any:
    """Shares of equity over time, stacked, in percent: the largest columns each, what is left of them together.

    Lines in place of areas where something is below zero, or where the columns are not `parts` of one whole.
    """
    figure = new_figure(height=320, y=y)
    held = table[1:]  # the bar before the first trade holds nothing
    times = to_milliseconds(held[TIME])
    grid = np.linspace(times[0], times[-1], min(len(held), STEPS))
    columns = gather_largest(held[np.searchsorted(times, grid, side="right") - 1])
    stacked = parts and min(float(values.min()) for values in columns.values()) > -1e-6
    for number, (name, values) in enumerate(columns.items()):
        colour = FLOOR if name.startswith("cash") else _SHADES[number % len(_SHADES)]
        line: dict[str, Any] = {"color": colour, "width": 0.6 if stacked else 1.5}
        if not parts:  # gross and net may lie on one another
            line["dash"] = DASHES[number % len(DASHES)]
        area = {"stackgroup": "one", "fillcolor": fade(colour, 0.65)} if stacked else {}
        figure.add_trace(
            go.Scatter(
                x0=grid[0],
                dx=grid[1] - grid[0],
                y=(100.0 * values).astype(np.float32),
                mode="lines",
                line=line,
                name=label(name),
                hovertemplate="%{y:.3~g} %",
                **area,
            )
        )
    figure.update_xaxes(type="date")
    if len(columns) > 9:
        figure.update_layout(margin={"t": 60})  # the legend has two lines
    return figure


def gather_largest(table: pl.DataFrame) -> dict[str, Floats]:
    """The columns of the largest mean size, the others as one, and the cash last.

    >>> table = pl.DataFrame({"time": [0, 1], "A": [0.5, 0.5], "cash (rest)": [0.5, 0.5]})
    >>> list(gather_largest(table))
    ['A', 'cash (rest)']
    """
    names = [name for name in table.columns[1:] if name != "cash (rest)"]
    sizes = {name: float(np.abs(table[name].to_numpy()).mean()) for name in names}
    ranked = sorted(names, key=lambda name: -sizes[name])
    shown = ranked if len(ranked) <= AREAS + 1 else ranked[:AREAS]
    columns = {name.strip(): table[name].to_numpy() for name in shown}
    rest = [name for name in ranked if name not in shown]
    if rest:
        columns[f"{len(rest)} others"] = table.select(rest).to_numpy().sum(axis=1)
    if "cash (rest)" in table.columns and np.abs(table["cash (rest)"].to_numpy()).max() > 5e-4:
        columns["cash (rest)"] = table["cash (rest)"].to_numpy()
    return columns


def draw_months(table: pl.DataFrame) -> Any:
    """A cell a month, in percent: losses brown, gains blue; the strongest colour at the 95th percentile."""
    years = sorted(set(table["year"].to_list()))
    cells = np.full((len(years), 12), np.nan)
    for year, month, value in table.iter_rows():
        cells[year - years[0], month - 1] = 100.0 * value
    known = np.abs(cells[np.isfinite(cells)])
    strongest = max(float(np.quantile(known, 0.95)), 0.1)
    figure = new_figure(height=70 + 22 * len(years), legend=False)
    figure.add_trace(
        go.Heatmap(
            z=cells.astype(np.float32),
            x=list(_MONTHS),
            y=[str(year) for year in years],
            text=[["" if np.isnan(value) else write_number(value, decimals=1) for value in row] for row in cells],
            texttemplate="%{text}",
            textfont={"size": 11},
            colorscale=[[0.0, "#d8753f"], [0.5, "#ffffff"], [1.0, "#4a9bd1"]],
            zmid=0.0,
            zmin=-strongest,
            zmax=strongest,
            xgap=1,
            ygap=1,
            showscale=False,
            hoverongaps=False,
            hovertemplate="%{x} %{y}: %{z:.2f} %<extra></extra>",
        )
    )
    figure.update_xaxes(side="top", showgrid=False, showline=False, ticks="")
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", dtick=1)
    return figure


def draw_var(table: pl.DataFrame) -> Any:
    """Returns as dots, the limit as a line, and those that were worse in another colour; in percent."""
    figure = new_figure(height=280, y="return of a bar, %")
    times, worse = to_milliseconds(table[TIME]), table["exception"].to_numpy()
    returns, limit = 100.0 * table["return"].to_numpy(), -100.0 * table["value at risk"].to_numpy()
    keep = thin(returns, most=POINTS)
    line = thin(limit, most=POINTS)
    hover = {"hovertemplate": "%{y:.3~g} %"}
    figure.add_trace(_dots("returns", times[keep], returns[keep], {"color": fade(MUTED, 0.45), "size": 3}, hover))
    figure.add_trace(
        go.Scatter(
            x=times[line], y=limit[line].astype(np.float32), mode="lines", name="value at risk",
            line={"color": WINNER, "width": 1.6}, **hover,
        )
    )  # fmt: skip
    figure.add_trace(_dots("worse than it", times[worse], returns[worse], {"color": ALARM, "size": 4}, hover))
    figure.update_xaxes(type="date")
    return figure


def draw_costs(table: pl.DataFrame, *, kinds: Sequence[str]) -> Any:
    """What each year cost by kind, in percent of its mean equity."""
    figure = new_figure(height=240, y="costs, % of equity")
    for number, kind in enumerate(kind for kind in kinds if table[kind].abs().sum() > 0.0):
        colour = (WINNER, *OTHERS)[number]
        figure.add_trace(_bars(kind, table["year"], 100.0 * table[kind].to_numpy(), colour))
    figure.update_layout(barmode="stack")
    figure.update_xaxes(type="category")
    return figure


def draw_turnover(table: pl.DataFrame) -> Any:
    """One-way turnover of each year, times equity."""
    figure = new_figure(height=240, y="turnover, times equity", legend=False)
    figure.add_trace(_bars("turnover", table["year"], table["turnover"].to_numpy(), WINNER))
    figure.update_xaxes(type="category")
    return figure


def draw_contributions(table: pl.DataFrame) -> Any:
    """Shares of the variance and of the return of each asset, the largest of risk on top, in percent."""
    figure = new_figure(height=110 + 26 * len(table), x="share, %")
    names = [label(name) for name in table["asset"]]
    total = float(table["return"].sum())
    shares = {"of the variance": table["risk"].to_numpy()}
    if abs(total) > 1e-12:
        shares["of the return"] = table["return"].to_numpy() / total
    for (name, values), colour in zip(shares.items(), (WINNER, OTHERS[0]), strict=False):
        figure.add_trace(
            go.Bar(
                x=(100.0 * values).astype(np.float32), y=names, orientation="h", name=name, marker={"color": colour},
                hovertemplate="%{y}: %{x:.2f} %",
            )
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
    figure.update_layout(barmode="group", bargap=0.25)
    return figure


def to_milliseconds(times: pl.Series) -> Floats:
    """Times as plotly's date axis counts them, since 1970."""
    return times.cast(pl.Datetime("us")).to_numpy().astype("datetime64[ms]").astype(np.float64)


def _dots(name: str, x: Floats, y: Floats, marker: Mapping[str, Any], hover: Mapping[str, Any]) -> Any:
    return go.Scatter(x=x, y=y.astype(np.float32), mode="markers", name=name, marker=dict(marker), **hover)


def _bars(name: str, years: pl.Series, values: Floats, colour: str) -> Any:
    return go.Bar(
        x=[str(year) for year in years],
        y=values.astype(np.float32),
        name=name,
        marker={"color": colour},
        hovertemplate="%{x}: %{y:.3~g}",
    )
