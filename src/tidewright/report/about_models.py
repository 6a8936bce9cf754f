"""The parts of the page on the contest: the leaderboard, the forecasts, their errors, the search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tidewright.metrics.accuracy import score_by_series
from tidewright.metrics.definitions import METRICS
from tidewright.report.about_account import tell_account
from tidewright.report.about_classes import picture_reliability, tell_classes
from tidewright.report.blocks import Block, Cell, Column, Picture, Row, Section, Table, Tone, absent
from tidewright.report.draw_forecasts import choose_series, choose_windows, draw_forecasts
from tidewright.report.draw_models import (
    draw_calibration,
    draw_error_by_series,
    draw_error_by_step,
    draw_leaderboard,
    measure_calibration,
)
from tidewright.report.metric_words import explain_metric, name_metric, score_decimals, unit_of, write_score
from tidewright.report.numbers import (
    UNDEFINED,
    choose_decimals,
    write_count,
    write_grid,
    write_number,
    write_p_value,
    write_percent,
)
from tidewright.report.style import FLOOR, OTHERS, WINNER
from tidewright.training.compare import Leaderboard
from tidewright.training.compare import Row as Entry
from tidewright.workflows.result import RunResult


def tell_leaderboard(result: RunResult) -> Section:
    """Every model beside every floor, with the uncertainty and the cost of each."""
    board, target = result.leaderboard, result.panel.roles.target
    level = next((row.interval.level for row in board.rows if row.interval is not None), None)
    bars = (
        f"; bars are {write_percent(level, decimals=0)} intervals (block bootstrap over cutoffs)"
        if level is not None
        else ""
    )
    picture = Picture(
        "leaderboard",
        draw_leaderboard(board),
        f"Test {name_metric(board.metric)} of each model, left is better{bars}. The dashed line is "
        f"{board.best_floor}, the best floor. Floors are grey, the winner is the blue diamond. In the order of the "
        "validation scores, by which the choice was made.",
        f"Dot plot of the test {name_metric(board.metric)} of {len(board.rows)} models. " + board.reason,
    )
    blocks: list[Block] = [
        _board(board, result.panel.roles.target),
        picture,
        *tell_account(result),
        _all_metrics(board, result.panel.roles.target),
    ]
    blocks.append(_failed(board))
    lead = (
        f"{write_count(len(board.rows), 'model')}, floors included, judged on the very same windows. The choice was "
        f"made on validation; the test part was scored once. {explain_metric(board.metric, target=target)}"
    )
    return Section("leaderboard", "The leaderboard", lead, blocks)


def tell_forecasts(result: RunResult) -> Section:
    """The winner's forecasts beside what came, and beyond the table's end."""
    if result.task.classifies:
        return tell_classes(result)
    board = result.leaderboard
    evaluation = result.evaluations[board.winner]
    chosen = choose_series(evaluation, board.metric)
    shown = len(choose_windows(evaluation, next(iter(chosen.values()))))
    future = "The orange lines go beyond the end of the table."
    blocks: list[Block] = []
    if result.forecast is None:
        future = "There is no forecast of the true future here; the reason stands below."
        why = [note.reason for note in result.notes if note.kind == "forecast"]
        blocks.append(absent(why[0] if why else "The run kept no reason.", title="Forecast of the future"))
    picture = Picture(
        "forecasts",
        draw_forecasts(result.panel, evaluation, series=chosen, forecast=result.forecast),
        f"Forecasts by {board.winner} of the last {shown} test windows that don't overlap, for the series with the "
        f"lowest, the median and the highest test {name_metric(board.metric)}. {future}",
        "Line charts: actual values in black, test forecasts with their bands in blue, the future in orange.",
    )
    lead = f"What {board.winner} said on the test part, {_ahead(result)}, beside what came."
    return Section("forecasts", "Forecasts and what came", lead, [picture, *blocks])


def tell_errors(result: RunResult) -> Section:
    """Where the errors are: by step, by level and by series, beside the best floor (or the best model)."""
    board = result.leaderboard
    names = [board.winner, choose_rival(board)]
    pair = {name: result.evaluations[name] for name in names if name is not None}
    colours = _pair_colours(board, list(pair))
    both = " and ".join(pair)
    step = Picture(
        "steps",
        draw_error_by_step(pair, metric=board.metric, colours=colours),
        f"Test {name_metric(board.metric)} at each step of the horizon: {both}.",
        f"Line chart of the test {name_metric(board.metric)} by step ahead.",
        title="Error by step",
    )
    if result.task.classifies:
        lead = f"Errors of {both} on the test part, at each step and for each series."
        both_pictures = Row((step, picture_reliability(result)))
        return Section("errors", "Where the errors are", lead, [both_pictures, _by_series(result, pair, colours)])
    told = "; ".join(f"{name}: {_calibration(evaluation)}" for name, evaluation in pair.items())
    levels = Picture(
        "calibration",
        draw_calibration(pair, colours=colours),
        "How often a test value is at or below the forecast quantile. On the diagonal a level keeps its "
        f"promise. {told}.",
        "Line chart of observed shares against quantile levels.",
        title="Calibration",
    )
    lead = f"Errors of {both} on the test part, at each step, at each quantile level and for each series."
    return Section("errors", "Where the errors are", lead, [Row((step, levels)), _by_series(result, pair, colours)])


def choose_rival(board: Leaderboard) -> str | None:
    """Whom the winner is shown beside: the best floor, or the best model where a floor won."""
    if board.winner != board.best_floor:
        return board.best_floor
    others = [row.model for row in board.rows if not row.floor] or [
        r.model for r in board.rows if r.model != board.winner
    ]
    return others[0] if others else None


def _board(board: Leaderboard, target: str) -> Table:
    metric, title, unit = board.metric, name_metric(board.metric), unit_of(board.metric, target=target)
    columns = (
        Column("Model"),
        Column("Kind"),
        Column(f"Validation {title}", unit, number=True),
        Column(f"Test {title}", f"{unit}, with interval", number=True),
        Column("Skill", "validation, vs best floor", number=True),
        Column("p-value", "one-sided, Holm-adjusted", number=True),
        Column("Time", "wall s", number=True),
        Column("CPU", "s", number=True),
    )
    decimals = score_decimals(metric, [row.test[metric] for row in board.rows])
    spent = choose_decimals([row.seconds for row in board.rows], digits=3, most=2)
    rows = tuple(
        (
            _name(row, board),
            Cell("floor" if row.floor else "model", tone="muted" if row.floor else ""),
            Cell(write_score(metric, row.validation[metric], decimals=decimals), value=row.validation[metric]),
            _with_interval(row, metric, decimals),
            Cell(write_percent(row.skill, signed=True), value=row.skill),
            _p_value(row),
            Cell(write_number(row.seconds, decimals=spent), value=row.seconds),
            Cell(write_number(row.cpu_seconds, decimals=spent), value=row.cpu_seconds),
        )
        for row in board.rows
    )
    tones: dict[int, Tone] = {n: "good" for n, row in enumerate(board.rows) if row.model == board.winner}
    return Table(
        columns,
        rows,
        tones=tones,
        caption="Sorted by validation score. A click on a head sorts by that column.",
    )


def _name(row: Entry, board: Leaderboard) -> Cell:
    names = {"winner": board.winner, "best floor": board.best_floor}
    mark = ", ".join(word for word, name in names.items() if name == row.model)
    return Cell(row.model, small=row.note, tone="strong", mark=mark)


def _with_interval(row: Entry, metric: str, decimals: int) -> Cell:
    score = row.test[metric]
    if row.interval is None:
        small = "no interval: fewer than 3 cutoffs"
    else:
        low, high = (write_score(metric, v, decimals=decimals) for v in (row.interval.low, row.interval.high))
        small = f"{low} to {high}"
    return Cell(write_score(metric, score, decimals=decimals), value=score, small=small)


def _p_value(row: Entry) -> Cell:
    test = row.comparison
    if row.floor:
        return Cell("–", small="a floor", tone="muted")
    if math.isnan(test.adjusted):
        return Cell("no test could be made", small=test.reason, tone="muted")
    return Cell(write_p_value(test.adjusted), value=test.adjusted, small=f"over {test.n:,} {test.basis}")


def _all_metrics(board: Leaderboard, target: str) -> Table:
    names = [name for name in METRICS if any(name in row.test for row in board.rows)]
    decimals = {name: score_decimals(name, [row.test.get(name, math.nan) for row in board.rows]) for name in names}
    rows = tuple(
        (
            _name(row, board),
            *(_score_cell(name, row.test.get(name, math.nan), decimals[name]) for name in names),
        )
        for row in board.rows
    )
    columns = (
        Column("Model"),
        *(Column(name_metric(name), unit_of(name, target=target), number=True) for name in names),
    )
    return Table(columns, rows, folded=f"All {len(names)} metrics on the test part", caption=_formulas(names))


def _score_cell(metric: str, value: float, decimals: int) -> Cell:
    if math.isnan(value):
        return Cell(UNDEFINED, tone="muted")
    return Cell(write_score(metric, value, decimals=decimals), value=value)


def _formulas(names: Iterable[str]) -> str:
    return "; ".join(f"{name_metric(name)}: {METRICS[name].formula}" for name in names) + "."


def _failed(board: Leaderboard) -> Block:
    if not board.failed:
        return absent("None: every model that was asked for could be fitted and scored.", title="Models that failed")
    rows = tuple((Cell(name, tone="strong"), Cell(reason)) for name, reason in board.failed.items())
    return Table((Column("Model that failed"), Column("Reason")), rows, caption="Models that could not take part.")


def _by_series(result: RunResult, pair: Mapping[str, Any], colours: Mapping[str, str]) -> Block:
    board, names = result.leaderboard, tuple(str(name) for name in result.panel.series_ids)
    title = "Error by series"
    if len(pair) < 2:
        return absent("There is no second model to compare the series with.", title=title)
    if board.winner == board.best_floor:
        theirs, ours = pair.values()
    else:
        ours, theirs = pair.values()
    first, second = (score_by_series(e.scored, [board.metric])[board.metric] for e in (ours, theirs))
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < 2:
        return absent(
            f"{name_metric(board.metric)} is defined for {int(both.sum())} series: there is nothing to compare.",
            title=title,
        )
    better = int((first[both] < second[both]).sum())
    caption = (
        f"Each dot is a series: test {name_metric(board.metric)} of {theirs.model} to the right, of "
        f"{ours.model} upwards. Below the dashed line "
        f"{ours.model} is better: {better:,} of {int(both.sum()):,} series."
    )
    figure = draw_error_by_series(ours, theirs, metric=board.metric, names=names, colour=colours[ours.model])
    return Picture("series", figure, caption, "Scatter plot of test errors by series.", title=title)


def _pair_colours(board: Leaderboard, names: list[str]) -> dict[str, str]:
    floors = {row.model for row in board.rows if row.floor}
    spare = [FLOOR if name in floors else OTHERS[0] for name in names]
    return {name: WINNER if name == board.winner else colour for name, colour in zip(names, spare, strict=True)}


def _calibration(evaluation: Any) -> str:
    levels, shares = measure_calibration(evaluation)
    return ", ".join(
        f"{write_percent(s)} at {write_percent(q, decimals=0)}" for q, s in zip(levels, shares, strict=True)
    )


def _ahead(result: RunResult) -> str:
    steps, grid = result.task.horizon, write_grid(result.panel.frequency)
    return f"1 to {steps} steps ahead (one step: {grid})" if steps > 1 else f"1 step ahead ({grid})"
