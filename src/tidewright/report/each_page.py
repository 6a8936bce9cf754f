"""The page of a search for each series: which of them keep a model of their own, and why the others do not."""

from __future__ import annotations

from pathlib import Path

from tidewright.report.about_data import tell_data, tell_split
from tidewright.report.about_tune import tell_one
from tidewright.report.blocks import Cell, Column, Section, Table, Tile, Tone
from tidewright.report.metric_words import name_metric, write_score
from tidewright.report.numbers import UNDEFINED, write_count, write_number, write_seconds
from tidewright.report.page import Page, write_page
from tidewright.workflows.tune_table_each import TunedTable


def write_each_page(told: TunedTable, path: Path) -> Path:
    """Writes the page of what `tidewright tune --each` found, and gives back its path."""
    study, plan = told.found.study, told.plan
    count, kept = len(told.rows()), len(study.kept)
    metric = study.metric
    sections = [_tell_series(told), _tell_test(told)]
    if study.shared is not None:
        sections.append(tell_one(study.shared, name="all series together", slug="study-all"))
    page = Page(
        title=f"Tidewright search {told.run}",
        eyebrow=f"search {told.run} · {write_seconds(study.seconds)}",
        headline=f"{kept} of {write_count(count, 'series')} keep a model of their own",
        reason=f"Made as good as can be: {name_metric(metric)}, on validation.",
        subject=f"{plan.loaded.name}: {count:,} series of {plan.panel.roles.target}",
        tiles=[
            Tile(f"Test {name_metric(metric)}", _score(metric, one.get(metric)), name)
            for name, one in told.found.test.items()
            if name in ("each", "shared")
        ],
        sections=[*sections, tell_data(plan), tell_split(plan)],
    )
    return write_page(page, path)


def _tell_series(told: TunedTable) -> Section:
    """A row a series: both scores, the p-value, and what it keeps."""
    metric, rows = told.found.study.metric, told.rows()
    columns = (
        Column("Series"),
        Column("Keeps"),
        Column(f"Own {name_metric(metric)}", "validation", number=True),
        Column(f"Shared {name_metric(metric)}", "validation", number=True),
        Column("p", "times its trials", number=True),
        Column("Why not its own"),
    )
    cells = tuple(
        (
            Cell(row["series"], tone="strong"),
            Cell("its own" if row["keeps"] == "own" else "the shared one"),
            Cell(_score(metric, row["own"]), value=row["own"]),
            Cell(_score(metric, row["shared"]), value=row["shared"]),
            Cell("" if row["p"] is None else write_number(row["p"]), value=row["p"]),
            Cell(row["reason"]),
        )
        for row in rows
    )
    tones: dict[int, Tone] = {place: "good" for place, row in enumerate(rows) if row["keeps"] == "own"}
    lead = (
        "A series keeps its own model only where that beats the shared one on the series' validation cutoffs by more "
        "than chance: a Diebold-Mariano test, its p-value times the number of the series' trials, below 5 %."
    )
    return Section("series", "Which series keep their own", lead, [Table(columns, cells, tones=tones)])


def _tell_test(told: TunedTable) -> Section:
    metric = told.found.study.metric
    ranked = sorted(told.found.test.items(), key=lambda one: one[1].get(metric, float("inf")))
    rows = tuple((Cell(name, tone="strong"), Cell(_score(metric, one.get(metric)))) for name, one in ranked)
    table = Table((Column("Model"), Column(f"Test {name_metric(metric)}", number=True)), rows)
    return Section("test", "On the test part", "Scored once, beside the shared model and the floors.", [table])


def _score(metric: str, value: float | None) -> str:
    return UNDEFINED if value is None else write_score(metric, value)
