"""`write_report`: a finished run as one HTML file that needs no network, no server and nothing beside it."""

from __future__ import annotations

from pathlib import Path

from tidewright.report.blocks import Section, Tile
from tidewright.report.metric_words import name_metric, write_score
from tidewright.report.numbers import (
    SPACE,
    UNDEFINED,
    write_count,
    write_grid,
    write_number,
    write_percent,
    write_seconds,
)
from tidewright.report.page import Page, render_page, write_page
from tidewright.training.compare import Leaderboard
from tidewright.workflows.result import RunResult


def write_report(result: RunResult, path: Path) -> Path:
    """Writes the report of a run and gives back its path; the old file stays until the new one is whole.

    A run with a decision has its tear sheet beside it, `tear_sheet.html`, with its data in `tear_sheet_data`.
    """
    from tidewright.report.decision_sheet import write_decision_sheet

    sheet = write_decision_sheet(result, path.parent)
    return write_page(collect_page(result, sheet="" if sheet is None else sheet.name), path)


def render_report(result: RunResult) -> str:
    """The page as text."""
    return render_page(collect_page(result))


def collect_page(result: RunResult, *, sheet: str = "") -> Page:
    """All that the report of a run says; `sheet` is the page of its tear sheet, where there is one beside it."""
    return Page(
        title=f"Tidewright run {result.run_id}",
        eyebrow=f"run {result.run_id} · {write_seconds(result.seconds)}",
        headline=write_headline(result),
        reason=_sentence(result),
        subject=_subject(result),
        tiles=collect_tiles(result),
        sections=collect_sections(result, sheet=sheet),
    )


def collect_sections(result: RunResult, *, sheet: str = "") -> tuple[Section, ...]:
    """The parts of the page, in order."""
    from tidewright.report.about_bundle import tell_bundle
    from tidewright.report.about_data import tell_data, tell_split
    from tidewright.report.about_decision import tell_decision
    from tidewright.report.about_importance import tell_importance
    from tidewright.report.about_interpretation import tell_interpretation
    from tidewright.report.about_models import tell_errors, tell_forecasts, tell_leaderboard
    from tidewright.report.about_run import tell_notes, tell_reproduction
    from tidewright.report.about_search import tell_search
    from tidewright.report.about_study import tell_study

    searched = tell_study if result.search is None else tell_search
    models = (tell_leaderboard, tell_forecasts, tell_errors, tell_importance, tell_interpretation)
    told = (tell(result) for tell in (*models, searched, tell_bundle))
    decision = () if result.decision is None else (tell_decision(result, result.decision, sheet=sheet),)
    return (
        tell_data(result),
        tell_split(result),
        *(section for section in told if section is not None),
        *decision,
        tell_notes(result),
        tell_reproduction(result),
    )


def write_headline(result: RunResult) -> str:
    """The answer in a few words."""
    board = result.leaderboard
    if board.beat_floor:
        return f"{board.winner} beat the best floor"
    if all(row.floor for row in board.rows):
        return f"{board.winner} is the best floor"
    best = next(row for row in board.rows if not row.floor)
    return "No model beat its floor with significance" if best.skill > 0 else "No model beat its floor"


def collect_tiles(result: RunResult) -> tuple[Tile, ...]:
    """The key numbers."""
    board, serving = result.leaderboard, result.serving
    row = board.row(board.winner)
    what = "beats its floor" if board.beat_floor else "a floor: it ships when nothing beats it"
    tiles = [
        Tile("Winner", board.winner, what),
        Tile(f"Test {name_metric(board.metric)}", write_score(board.metric, row.test[board.metric]), _interval(result)),
        *_skill(board),
    ]
    if "coverage" in row.test:
        promised = write_percent(result.evaluations[board.winner].scored.nominal_coverage, decimals=0)
        tiles.append(Tile("Band coverage", write_percent(row.test["coverage"]), f"of test values; {promised} promised"))
    median = serving.latency_ms.get("p50_ms")
    span = UNDEFINED if median is None else f"{write_number(median, digits=3)}{SPACE}ms"
    tiles.append(Tile("Latency, one row", span, f"median, {serving.backend}"))
    if result.decision is not None:
        best = max(result.decision.strategies, key=lambda s: s.summary["sharpe"])
        ratio = write_number(best.summary["sharpe"], decimals=2)
        tiles.append(Tile("Best Sharpe", ratio, f"{best.name}, a year, after costs"))
    return tuple(tiles)


def _skill(board: Leaderboard) -> tuple[Tile, ...]:
    """The winner's skill on test or, where a floor won, the best model's on validation."""
    floor = board.row(board.best_floor)
    if board.winner != board.best_floor:
        base = floor.test[board.metric]
        gain = 1.0 - board.row(board.winner).test[board.metric] / base if base else float("nan")
        note = f"lower {name_metric(board.metric)} than {board.best_floor}"
        return (Tile("Skill on test", write_percent(gain, signed=True), note),)
    best = next((row for row in board.rows if not row.floor), None)
    if best is None:
        return ()
    skill = write_percent(best.skill, signed=True)
    return (Tile("Best model", best.model, f"{skill} against {board.best_floor} on validation"),)


def _sentence(result: RunResult) -> str:
    """The verdict with a capital letter, unless it begins with a model's name."""
    reason = result.leaderboard.reason
    named = reason.startswith(tuple(row.model for row in result.leaderboard.rows))
    return reason if named else reason[:1].upper() + reason[1:]


def _interval(result: RunResult) -> str:
    board = result.leaderboard
    interval = board.row(board.winner).interval
    if interval is None:
        return "no interval: fewer than 3 cutoffs"
    low, high = write_score(board.metric, interval.low), write_score(board.metric, interval.high)
    return f"{write_percent(interval.level, decimals=0)} interval {low} to {high}"


def _subject(result: RunResult) -> str:
    panel, steps = result.panel, result.task.horizon
    source = result.settings.data.path
    what = f"{Path(source).name}: " if source else "Recipe market: " if result.settings.recipe == "market" else ""
    return (
        f"{what}{panel.n_series:,} series of {panel.roles.target}, "
        f"{write_count(len(panel.table), 'row')}, every {write_grid(panel.frequency)}, "
        f"{panel.time_at(panel.span[0])} to {panel.time_at(panel.span[1])}; {write_count(steps, 'step')} "
        "ahead"
    )
