"""The page of a look at a deployed model: alerts, drift by feature, error and coverage over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tidewright.report.blocks import Block, Cell, Column, Picture, Row, Section, Table, Tile, Words, absent
from tidewright.report.draw_monitoring import draw_coverage, draw_error, draw_psi, draw_steps
from tidewright.report.later import add_section, has_place
from tidewright.report.numbers import write_count, write_number, write_percent
from tidewright.report.page import Page, write_page
from tidewright.workflows.monitoring import Check, Monitoring

DIGITS = 12


def write_monitor_page(found: Monitoring, path: str | Path) -> Path:
    """Writes the page of what `monitor` found, and gives back its path."""
    return write_page(collect_monitoring(found), Path(path))


def tell_since(found: Monitoring) -> Section:
    """The newest look as one section of the report of the run that made the model."""
    count = len(found.alerts)
    verdict = write_count(count, "alert") if count else "nothing drifted that could be told from chance"
    alerts, drift, scores = (one(found).blocks for one in (_tell_alerts, _tell_drift, _tell_scores))
    names = {"psi": "since-psi", "error": "since-error", "steps": "since-steps", "coverage": "since-coverage"}
    lead = (
        f"The newest look at what was deployed: {found.first} to {found.last}, "
        f"{write_count(found.blocks, 'block')} of {found.block} steps; {verdict}. Where nothing changed, an alert "
        f"comes in at most {write_percent(found.false_alarms)} of looks."
    )
    blocks = [_rename(block, names) for block in (*alerts, *scores, *drift)]
    return Section("since", "Since it was deployed", lead, blocks)


def _rename(block: Block, names: Mapping[str, str]) -> Block:
    """The block with other names of its pictures, which are one of a kind on a page; its table is folded away."""
    if isinstance(block, Row):
        return replace(block, blocks=tuple(_rename(one, names) for one in block.blocks))  # type: ignore[misc]  # no rows
    if isinstance(block, Picture):
        return replace(block, name=names[block.name], title=block.title or "Drift by column")
    return replace(block, folded="Every test") if isinstance(block, Table) else block


def add_to_report(found: Monitoring, bundle: Path) -> Path | None:
    """Adds the section to the report of the run whose bundle it is; None where the bundle lies in no such folder."""
    page = bundle.resolve().parent / "report.html"
    return add_section(tell_since(found), page) if has_place(page) else None


def collect_monitoring(found: Monitoring) -> Page:
    """All that the page says."""
    count = len(found.alerts)
    return Page(
        title=f"Tidewright monitor of {found.model}",
        eyebrow=f"{found.model} · {found.digest[:DIGITS]}",
        headline=write_count(count, "alert") if count else "Nothing drifted that could be told from chance",
        reason=f"Where nothing changed, an alert comes in at most {write_percent(found.false_alarms)} of looks.",
        subject=f"{found.first} to {found.last}, {write_count(found.blocks, 'block')} of {found.block} steps.",
        tiles=_tiles(found),
        sections=(_tell_alerts(found), _tell_drift(found), _tell_scores(found)),
    )


def _tiles(found: Monitoring) -> tuple[Tile, ...]:
    made = [one for one in found.checks if one.adjusted is not None]
    largest = max((one for one in found.checks if one.name == "psi"), key=lambda one: one.test.statistic, default=None)
    tiles = [
        Tile(
            "Alerts", str(len(found.alerts)), f"of {write_count(len(made), 'test')}", "bad" if found.alerts else "good"
        ),
    ]
    if largest is not None:
        tiles.append(Tile("Largest PSI", write_number(largest.test.statistic, decimals=2), largest.column))
    values = sum(one.count for one in found.scores)
    if values:
        error = sum(one.error * one.count for one in found.scores) / values
        tiles.append(Tile("Error", write_number(error, decimals=3), "in standard deviations of a series"))
    return tuple(tiles)


def _tell_alerts(found: Monitoring) -> Section:
    lines = tuple(alert.message for alert in found.alerts)
    blocks: list[Block] = [Words(lines)] if lines else [absent("There is no alert.")]
    if found.notes:
        blocks.append(Words(found.notes, title="Notes"))
    return Section("alerts", "Alerts", "What differs from training and validation by more than chance.", blocks)


def _tell_drift(found: Monitoring) -> Section:
    names = (
        ("what", False),
        ("column", False),
        ("test", False),
        ("statistic", True),
        ("p", True),
        ("adjusted p", True),
    )
    columns = (*(Column(name, number=number) for name, number in names), Column("remark"))
    rows = tuple(_row(one) for one in found.checks)
    picture = Picture(
        "psi",
        draw_psi(found),
        "The population stability index of each input and of the predictions; dotted at 0.1 and 0.25, where custom "
        "sees a shift and a large one. Alarms go by the p-value.",
        "A bar for each column.",
    )
    lead = "Live values against the reference, by blocks of time; p-values are adjusted for all tests (Holm)."
    return Section("drift", "Drift by feature", lead, [picture, Table(columns, rows)])


def _row(one: Check) -> tuple[Cell, ...]:
    p_values = (one.test.p_value, one.adjusted)
    numbers = [_number(one.test.statistic, digits=3), *(_number(p, digits=2) for p in p_values)]
    words = [Cell(text) for text in (one.kind, one.column, one.name)]
    return (*words, *numbers, Cell("alert", tone="bad") if one.alarm else Cell(one.note))


def _number(value: float | None, *, digits: int) -> Cell:
    """A dash where no test was made; the remark says why."""
    if value is None or math.isnan(value):
        return Cell("–", tone="muted")
    return Cell(write_number(value, digits=digits), value)


def _tell_scores(found: Monitoring) -> Section:
    lead = (
        "Where actual values have arrived. Errors are absolute, in standard deviations of each series' training rows."
    )
    if not found.scores:
        return Section("scores", "Score and coverage over time", lead, [absent("No actual value has arrived.")])
    error = Picture("error", draw_error(found), "The mean error of each block of time.", "A line over time.", "Error")
    steps = Picture("steps", draw_steps(found), "The mean error at each step ahead.", "Two lines.", "Error by step")
    blocks: list[Block] = [Row((error, steps))]
    if any(not math.isnan(one.coverage) for one in found.scores):
        caption = (
            "The share of values inside the interval, and the binomial band in which it lies if it is as on validation."
        )
        blocks.append(Picture("coverage", draw_coverage(found), caption, "A line with a band over time.", "Coverage"))
    return Section("scores", "Score and coverage over time", lead, blocks)
