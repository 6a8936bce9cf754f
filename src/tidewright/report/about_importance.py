"""The part of the page on what the winner needs, what its columns add, and what the newest rows changed."""

from __future__ import annotations

import numpy as np

from tidewright.errors import ShortSeriesError
from tidewright.models.conformal import innermost
from tidewright.models.fitted import Fitted
from tidewright.models.forest import Forest
from tidewright.models.spec import kind_of
from tidewright.models.trees import TreesFitted
from tidewright.report.blocks import Block, Picture, Row, Section, absent
from tidewright.report.draw_importance import (
    draw_before_and_after,
    draw_change,
    draw_importance,
    draw_tree_importance,
    draw_tree_parts,
)
from tidewright.report.metric_words import name_metric, write_score
from tidewright.report.numbers import write_count
from tidewright.training.change import Change, Vintage, explain_change
from tidewright.training.explain_trees import TreeExplanation, explain_trees
from tidewright.training.importance import Importance, permutation_importance
from tidewright.workflows.result import RunResult

WINDOWS, REPEATS = 200, 3  # what a page waits for: seconds, for a model of any kind
EXPLAINED, BACKGROUND = 40, 20


def tell_importance(result: RunResult) -> Section | None:
    """What the winner needs, on test windows; None for a floor, which has its history alone."""
    name = result.leaderboard.winner
    winner = result.fitted[name]
    if kind_of(innermost(winner).spec) in ("floor", "class_floor"):
        return None
    title = f"Why {name} says what it says"
    if result.split.test is None:
        return Section("importance", title, "", [absent("There is no test part to look at.")])
    try:
        found = permutation_importance(
            winner,
            panel=result.panel,
            split=result.split,
            cutoffs=result.split.test,
            metric=result.leaderboard.metric,
            repeats=REPEATS,
            most=WINDOWS,
            season=result.season,
        )
    except ShortSeriesError as error:  # a panel too short to move anything in time
        return Section("importance", title, "", [absent(str(error))])
    told: list[Block] = [_needed(found)]
    if not winner.task.classifies:
        told += [*_trees(result, winner), *_changed(result, winner)]
    return Section("importance", title, _lead(found), told)


def _lead(found: Importance) -> str:
    table = found.table()
    first, loss = str(table["feature"][0]), float(table["importance"][0])
    metric = name_metric(found.metric)
    return (
        f"Without {first} its {metric} over {write_count(found.count, 'test window')} would be "
        f"{write_score(found.metric, loss)} worse than {write_score(found.metric, found.baseline)}: more than without "
        "any other. Columns that tell the same stand in for each other, and each looks less important than both are."
    )


def _needed(found: Importance) -> Picture:
    return Picture(
        "importance",
        draw_importance(found),
        f"How much worse the score gets when a feature is as it was at another time, moved in blocks of "
        f"{write_count(found.block, 'cutoff')}; the whiskers are the standard deviation of {REPEATS} repeats.",
        "Bar chart of the importance of each feature.",
        title="What it needs",
    )


def _trees(result: RunResult, winner: Fitted) -> list[Block]:
    """What each column adds, where the winner has trees."""
    trees = innermost(winner)
    if (
        not isinstance(trees, TreesFitted)
        or not isinstance(trees.formula, Forest)
        or trees.spec.strategy == "recursive"
    ):
        return []
    found = explain_trees(
        winner,
        panel=result.panel,
        split=result.split,
        cutoffs=result.split.test,
        most=EXPLAINED,
        background=BACKGROUND,
    )
    unit, window = result.panel.roles.target, _newest(found)
    series = result.panel.series_ids[int(found.windows.series[window])]
    time = result.panel.time_at(int(found.windows.cutoffs[window]))
    whole = Picture(
        "tree-importance",
        draw_tree_importance(found, unit=unit),
        f"The mean size of what each column adds to a forecast of {write_count(EXPLAINED, 'test window')} (Shapley "
        f"values against {write_count(BACKGROUND, 'window')} of the training part).",
        "Bar chart of the mean size of each column's part.",
        title="What its columns add",
    )
    one = Picture(
        "tree-parts",
        draw_tree_parts(found, window=window, unit=unit),
        f"The forecast of {series} from {time}: what each column adds at each step. The parts add up to the line.",
        "Stacked bars of each column's part by step of the horizon.",
        title="One forecast taken apart",
    )
    return [Row((whole, one))]


def _newest(found: TreeExplanation) -> int:
    return int(np.argmax(found.windows.cutoffs))


def _changed(result: RunResult, winner: Fitted) -> list[Block]:
    """What the newest rows changed of the forecast that would have been made before them."""
    steps = max(1, result.task.horizon // 2)
    if result.task.horizon < 2:
        return []
    last = result.panel.span[1]
    change = explain_change(Vintage(winner, result.panel, last - steps), Vintage(winner, result.panel, last))
    series = _most_changed(change)
    name = change.series[series]
    unit = result.panel.roles.target
    lines = Picture(
        "before-and-after",
        draw_before_and_after(change, series=series, unit=unit),
        f"The forecast of {name}, the series that changed most, as it would have been {write_count(steps, 'row')} "
        "earlier, and as it is.",
        "Line chart of two forecasts of the same times.",
        title="The forecast before the newest rows",
    )
    causes = Picture(
        "change",
        draw_change(change, series=series, unit=unit),
        "The change by cause. Between two cutoffs of one run only new data come in; explain_change does the same for "
        "another panel and another model.",
        "Stacked bars of the change of the forecast by cause and time.",
        title="What changed it",
    )
    return [Row((lines, causes))]


def _most_changed(change: Change) -> int:
    return int(np.argmax(np.abs(change.stages[-1] - change.stages[0]).mean(axis=1)))
