"""The page of one risk: value at risk by each method, its parts, volatility, crises, and the tests of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tidewright.report import risk_rows as rows
from tidewright.report.blocks import Block, Cell, Column, Picture, Section, Table, Tile, Words
from tidewright.report.numbers import write_percent
from tidewright.report.page import Page, write_page
from tidewright.report.style import FLOOR, OTHERS, WINNER, new_figure
from tidewright.workflows.price_window import name_date
from tidewright.workflows.risk_file import FileRisk


def write_risk_page(found: FileRisk, *, path: Path) -> Path:
    """Writes the page of a risk, and gives back its path."""
    return write_page(collect_risk(found), path)


def collect_risk(found: FileRisk) -> Page:
    """All that the page says."""
    (method, level), first = next(iter(found.risks.items()))
    assert first.portfolio is not None
    bars = "the next bar" if found.horizon == 1 else f"the next {found.horizon} bars"
    return Page(
        title=f"Risk of {name_date(found.time)}",
        eyebrow="risk",
        headline=f"With {100.0 * level:g} % no more than {write_percent(first.portfolio.var, decimals=2)} "
        f"is lost in {bars}",
        reason=f"By {method.replace('_', ' ')}, from {found.bars} returns since {name_date(found.first)}.",
        subject=f"{len(found.weights.assets)} assets, after {name_date(found.time)}. Losses are positive.",
        tiles=tuple(
            Tile(f"{one.replace('_', ' ')} {at:.4g}", write_percent(risk.portfolio.var, decimals=2),
                 f"expected shortfall {write_percent(risk.portfolio.es, decimals=2)}")
            for (one, at), risk in list(found.risks.items())[:4] if risk.portfolio is not None
        ),
        sections=tuple(_tell(found)),
    )  # fmt: skip


def _tell(found: FileRisk) -> list[Section]:
    count = len(found.weights.assets)
    sections = [
        Section("portfolio", "Value at risk", "", [_table(rows.list_methods(found))]),
        Section("assets", "Each asset and its part", "", [_table(rows.list_assets(found, most=count))]),
    ]
    if found.volatility is not None:
        lead = f"A year, by {found.volatility.fit.spec.model}."
        sections.append(Section("volatility", "Volatility", lead, [_table(rows.list_volatility(found, most=count))]))
    if found.stress is not None:
        lead = "Losses of these weights, nothing traded on the way."
        sections.append(Section("stress", "Stress", lead, [_table(rows.list_stress(found))]))
    if found.tests:
        blocks: list[Block] = [*_draw(found), _table(rows.list_tests(found))]
        sections.append(Section("tests", "Was it right?", "P-values; small where it was hardly so.", blocks))
    words = Words((*rows.list_failed(found), *rows.collect_notes(found)))
    return [*sections, Section("basis", "What it rests on", "", [words])]


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    names = list(lines[0])
    cells = tuple(tuple(Cell("" if one is None else str(one)) for one in line.values()) for line in lines)
    return Table((Column(names[0]), *(Column(name, number=True) for name in names[1:])), cells)


def _draw(found: FileRisk) -> list[Block]:
    """The portfolio's returns below the value at risk that was said of each bar, by the first method tested."""
    (method, level), said = next(iter(found.rolled.items()))
    there = np.isfinite(said.var[:, 0])
    days = np.datetime_as_string(found.times[there]).tolist()
    earned, line = 100.0 * found.earned[there], -100.0 * said.var[there, 0]
    beyond = earned < line
    figure = new_figure(height=300, y="return, %")
    figure.add_trace(go.Scatter(x=days, y=earned, mode="lines", line={"color": FLOOR, "width": 1}, name="return"))
    figure.add_trace(go.Scatter(x=days, y=line, mode="lines", line={"color": WINNER, "width": 1.6}, name="VaR"))
    marked = [day for day, one in zip(days, beyond, strict=True) if one]
    figure.add_trace(
        go.Scatter(x=marked, y=earned[beyond], mode="markers", marker={"color": OTHERS[0], "size": 6}, name="exception")
    )
    told = f"{method.replace('_', ' ')} at {level:g}, each from the {said.window} bars before it"
    return [
        Picture("rolling", figure, f"The portfolio's returns and its value at risk, {told}.",
                "Line chart of returns with value at risk and its exceptions.", title="Value at risk, bar by bar")
    ]  # fmt: skip
