"""The part of the page on what a preset tried."""

from __future__ import annotations

import math

from tidewright.report.blocks import Block, Cell, Column, Picture, Section, Table, Tone, Words
from tidewright.report.draw_search import draw_search
from tidewright.report.metric_words import name_metric
from tidewright.report.numbers import choose_decimals, write_count, write_number, write_seconds
from tidewright.workflows.result import RunResult
from tidewright.workflows.search_record import Attempt, Search

MOST_TRIES = 300


def tell_search(result: RunResult) -> Section:
    """Every try with its cost, the best error over time, and why it stopped."""
    search = result.search
    assert search is not None
    folds = "one split" if search.folds == 1 else f"{search.folds} walk-forward folds"
    again = f" It was interrupted, and went on after {write_count(search.resumed, 'step')}." if search.resumed else ""
    lead = (
        f"The preset {search.preset} made {len(search.attempts):,} tries on {folds} within "
        f"{write_seconds(search.budget_s)}. It stopped because {search.reason}.{again} The test part was not touched."
    )
    picture = Picture(
        "search-curve",
        draw_search(search),
        f"Validation {name_metric(search.metric)} of each try when it was done, lower is better; the line is the best "
        "so far. Tries far above the best are not drawn.",
        "Scatter plot of the tries' validation scores over time with the best so far.",
    )
    blocks: list[Block] = [picture, _tries(search)]
    if search.passed_over:
        told = tuple(f"{', '.join(names)}: {reason}" for reason, names in search.passed_over_by_reason().items())
        blocks.append(Words(told, title="Passed over"))
    return Section("search", "What was tried", lead, blocks)


def _tries(search: Search) -> Table:
    shown, best = search.attempts[:MOST_TRIES], search.best
    decimals = choose_decimals([one.score for one in shown if one.score is not None])
    columns = (
        Column("Done at", "s", number=True),
        Column("Model"),
        Column("Try"),
        Column(name_metric(search.metric), "validation", number=True),
        Column("Time", "s", number=True),
        Column("CPU", "s", number=True),
    )
    rows = tuple(_row(one, decimals, best=one is best) for one in shown)
    tones: dict[int, Tone] = {n: "good" for n, one in enumerate(shown) if one is best}
    count = "all tries" if len(shown) == len(search.attempts) else f"the first {MOST_TRIES} tries"
    return Table(columns, rows, tones=tones, folded=f"Show {count}")


def _row(one: Attempt, decimals: int, *, best: bool) -> tuple[Cell, ...]:
    failed = one.score is None or not math.isfinite(one.score)
    score = Cell("no score", tone="muted") if failed else Cell(write_number(one.score, decimals=decimals), one.score)
    options = ", ".join(f"{name} {value}" for name, value in one.options.items())
    return (
        Cell(write_number(one.at, decimals=0), one.at),
        Cell(f"{one.model}{' (floor)' if one.floor else ''}", mark="best" if best else ""),
        Cell(one.what, small="; ".join(filter(None, (options, one.note, one.error)))),
        score,
        Cell(write_number(one.seconds, decimals=1), one.seconds),
        Cell(write_number(one.cpu_seconds, decimals=1), one.cpu_seconds),
    )
