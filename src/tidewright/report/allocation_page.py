"""The page of one allocation: the weights, their risk, what they make of the limits, and why forecasts moved them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tidewright.report.blocks import Block, Cell, Column, Picture, Section, Table, Tile, Words
from tidewright.report.draw_portfolio import draw_weights
from tidewright.report.numbers import write_number, write_percent
from tidewright.report.page import Page, write_page
from tidewright.workflows.allocate_file import FileAllocation
from tidewright.workflows.price_window import name_date


def write_allocation_page(found: FileAllocation, *, path: Path) -> Path:
    """Writes the page of an allocation, and gives back its path."""
    return write_page(collect_allocation(found), path)


def collect_allocation(found: FileAllocation) -> Page:
    """All that the page says."""
    weights = found.weights
    largest = int(np.argmax(weights.values))
    return Page(
        title=f"Allocation of {name_date(found.time)}",
        eyebrow=f"allocation · {weights.method}",
        headline=f"{int((np.abs(weights.values) > 1e-9).sum())} of {len(weights.assets)} assets, "
        f"{weights.assets[largest]} the largest with {write_percent(float(weights.values[largest]))}",
        reason=found.reason,
        subject=f"Decided after {name_date(found.time)} from {found.bars} returns since {name_date(found.first)}.",
        tiles=_tiles(found),
        sections=(
            Section("weights", "The weights", "", [_draw(found), _list(found)]),
            *_tell_limits(found),
            Section("basis", "What it rests on", "", [Words((found.reason, *found.notes))]),
        ),
    )


def _tiles(found: FileAllocation) -> tuple[Tile, ...]:
    figures = found.figures
    tiles = [
        Tile("Volatility", write_percent(figures.volatility, decimals=2), "a year"),
        Tile("Value at risk", write_percent(figures.var, decimals=2), "a bar at 95 %"),
        Tile("Expected shortfall", write_percent(figures.es, decimals=2), "a bar at 95 %"),
    ]
    if figures.beta is not None and figures.tracking_error is not None:
        apart = write_percent(figures.tracking_error, decimals=2)
        tiles.append(Tile("Beta", write_number(figures.beta, decimals=2), f"tracking error {apart} a year"))
    if found.turnover is not None:
        tiles.append(Tile("Traded", write_percent(found.turnover), "of the money, purchases and sales"))
    return tuple(tiles)


def _draw(found: FileAllocation) -> Block:
    return Picture(
        "weights", draw_weights(found.weights), "Weights for the next bar. The dashed line is equal weight.",
        "Bar chart of the weights by asset.", title="Allocation for the next bar",
    )  # fmt: skip


def _list(found: FileAllocation) -> Table:
    order = np.argsort(-found.weights.values, kind="stable")
    columns = [Column("Asset"), Column("Weight", number=True), Column("Share of the variance", number=True)]
    if found.moved:
        columns.append(Column("Without forecasts", number=True))
    rows = []
    for place in order:
        numbers = [found.weights.values[place], found.figures.shares[place]]
        numbers += [found.base.values[place]] if found.moved else []
        cells = (Cell(write_percent(float(one), decimals=2), value=float(one)) for one in numbers)
        rows.append((Cell(found.weights.assets[place], tone="strong"), *cells))
    return Table(tuple(columns), tuple(rows), caption=f"Cash is {write_percent(found.weights.cash, decimals=2)}.")


def _tell_limits(found: FileAllocation) -> tuple[Section, ...]:
    if not found.limits:
        return ()
    columns = (Column("Limit"), Column("Now", number=True), Column("Bound", number=True), Column("Binds"))
    rows = [
        (
            Cell(one.words, tone="strong"),
            Cell(f"{one.value:.4g}", value=one.value),
            Cell(f"{one.bound:.4g}", value=one.bound),
            Cell(("yes" + (f": {', '.join(one.assets)}" if one.assets else "")) if one.binds else "no"),
        )
        for one in found.limits
    ]
    return (Section("limits", "The limits", "", [Table(columns, tuple(rows), caption="In the words they came in.")]),)
