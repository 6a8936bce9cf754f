"""The parts of the page on the table and on the split."""

from __future__ import annotations

from typing import Protocol

from tidewright.data.findings import Severity, Verdict
from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.report.blocks import Block, Cell, Column, Facts, Picture, Section, Table, Tone, absent
from tidewright.report.draw_data import MOST_SERIES, choose_example, draw_missing, draw_split
from tidewright.report.numbers import write_count, write_grid, write_percent
from tidewright.report.style import MOST_POINTS


class Surveyed(Protocol):
    """What a run and a search know of their table before anything is learned."""

    @property
    def panel(self) -> Panel:
        """The table."""
        ...

    @property
    def verdict(self) -> Verdict:
        """What was found in it."""
        ...

    @property
    def split(self) -> Split:
        """How its time axis was cut."""
        ...

    @property
    def season(self) -> int:
        """Its season in steps."""
        ...


_TONES: dict[Severity, Tone] = {"error": "bad", "warning": "warn", "info": "muted"}


def tell_data(result: Surveyed) -> Section:
    """The verdict on the table: what it is, what was found, what was mended, where values are missing."""
    verdict = result.verdict
    counts = {s: sum(f.severity == s for f in verdict.findings) for s in _TONES}
    told = ", ".join(_count(n, word) for n, word in zip(counts.values(), ("error", "warning", "remark"), strict=True))
    lead = f"The table {'can be used' if verdict.ok else 'has errors'}: {told}."
    blocks: list[Block] = [_shape(result)]
    if verdict.findings:
        blocks.append(_findings(result))
    blocks.append(_repairs(result))
    blocks.append(_missing(result))
    return Section("data", "The data", lead, blocks)


def tell_split(result: Surveyed) -> Section:
    """How the time axis was cut."""
    split, panel = result.split, result.panel
    purged = f"{write_count(split.purge, 'step')} are purged between the parts (the horizon is {split.horizon})"
    embargo = f", and {split.embargo} more are embargoed" if split.embargo else ""
    lead = (
        f"Models learn on train, are chosen on validation and are scored on test, once. {purged}{embargo}, "
        "so that no value that one part forecasts is forecast by another."
    )
    example = choose_example(panel)
    picture = Picture(
        "split",
        draw_split(panel, split, series=example),
        f"Bands hold the cutoffs of each part (the moment at which a forecast is made); the line is series {example}, "
        f"the one with the most values. A line of more than {MOST_POINTS:,} points is drawn by the lowest and highest "
        "of each stretch.",
        "Time axis with a band for each part of the split, oldest first: train, purged, validation, purged, test.",
    )
    return Section("split", "The split", lead, [picture, _parts(result)])


def _shape(result: Surveyed) -> Facts:
    verdict, panel = result.verdict, result.panel
    roles = panel.roles
    lengths = f"{verdict.shortest:,} to {verdict.longest:,}, median {verdict.median_length:,.0f}"
    items = [
        ("Target", Cell(roles.target)),
        (
            "Series",
            Cell(
                f"{panel.n_series:,}",
                small=f"named by column {roles.series}" if roles.series else "one table, one series",
            ),
        ),
        ("Rows", Cell(f"{len(panel.table):,}")),
        ("Frequency", Cell(write_grid(panel.frequency), small=f"season: {write_count(result.season, 'step')}")),
        ("Span", Cell(f"{panel.time_at(panel.span[0])} to {panel.time_at(panel.span[1])}")),
        ("Rows a series", Cell(lengths)),
        ("Missing target", _missing_share(verdict.missing_share)),
    ]
    for name, columns in (
        ("Past covariates", roles.past),
        ("Known covariates", roles.known),
        ("Static", roles.static),
    ):
        items.append((name, Cell(", ".join(columns)) if columns else Cell("none", tone="muted")))
    if panel.unused:
        items.append(("Columns not used", Cell(", ".join(panel.unused))))
    return Facts(tuple(items))


def _findings(result: Surveyed) -> Table:
    columns = (
        Column("Severity"),
        Column("What was found"),
        Column("First place"),
        Column("Rows", number=True),
        Column("What to do"),
    )
    rows = tuple(
        (
            Cell(f.severity, value=list(_TONES).index(f.severity), tone=_TONES[f.severity]),
            Cell(f.message),
            _place(f.series, f.time),
            Cell(f"{f.rows:,}", value=f.rows) if f.rows else Cell("–", value=0, tone="muted"),
            Cell(f.remedy) if f.remedy else Cell("nothing", tone="muted"),
        )
        for f in result.verdict.findings
    )
    return Table(columns, rows, caption="Findings, worst first.")


def _missing_share(share: float) -> Cell:
    return Cell(write_percent(share, decimals=2)) if share > 0 else Cell("none", tone="muted")


def _count(count: int, noun: str) -> str:
    return write_count(count, noun) if count else f"no {noun}s"


def _place(series: object, time: str | None) -> Cell:
    if series is None:
        return Cell("the whole table", tone="muted") if time is None else Cell(time, tone="place")
    return Cell(str(series), small=time or "", tone="place")


def _repairs(result: Surveyed) -> Block:
    repairs = result.panel.repairs
    if not repairs:
        return absent("Nothing had to be mended while reading the table.", title="Repairs")
    columns = (Column("Repair"), Column("Rows", number=True), Column("What was done"))
    rows = tuple((Cell(r.kind), Cell(f"{r.rows:,}", value=r.rows), Cell(r.detail)) for r in repairs)
    return Table(columns, rows, caption="Repairs made while reading the table.")


def _missing(result: Surveyed) -> Block:
    figure = draw_missing(result.panel)
    if figure is None:
        return absent(
            "No target value is missing between the first and the last of any series.", title="Missing values"
        )
    caption = (
        f"Share of missing target values in each stretch of time, for the series that miss most (at most {MOST_SERIES} "
        "are shown). Blank: the series has no row there."
    )
    return Picture("missing", figure, caption, "Heat map of missing values by series and time.", title="Missing values")


def _parts(result: Surveyed) -> Table:
    split, panel = result.split, result.panel
    parts = [("train", split.train), ("validation", split.validation)]
    parts += [("test", split.test)] if split.test is not None else []
    columns = (
        Column("Part"),
        Column("Forecast from", "first value"),
        Column("Forecast to", "last value"),
        Column("Cutoffs", number=True),
        Column("Every", "steps", number=True),
    )
    rows = tuple(
        (
            Cell(name, tone="strong"),
            Cell(panel.time_at(c.first + 1)),
            Cell(panel.time_at(int(c.positions[-1]) + split.horizon)),
            Cell(f"{len(c):,}", value=len(c)),
            Cell(f"{c.stride:,}", value=c.stride),
        )
        for name, c in parts
    )
    return Table(columns, rows, sortable=False)
