"""The parts of the page on probabilities of classes: what came of what was said, and whether it can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from tidewright.metrics.probability import reliability
from tidewright.report.blocks import Block, Cell, Column, Picture, Section, Table, absent
from tidewright.report.numbers import write_count, write_percent
from tidewright.report.style import FLOOR, OTHERS, label, new_figure
from tidewright.training.evaluate import Evaluation
from tidewright.workflows.result import RunResult

MOST_LINES = 8  # classes that are drawn, the commonest


def tell_classes(result: RunResult) -> Section:
    """How often each class came where the winner thought each the most probable."""
    name = result.leaderboard.winner
    counts = count_pairs(result.evaluations[name])
    classes = [str(one) for one in result.task.classes]
    columns = [
        Column("What came"),
        *(Column(f"{one} said", number=True) for one in classes),
        Column("Cells", number=True),
    ]
    rows = tuple(
        (Cell(classes[place], tone="strong"), *(_share(count, row.sum()) for count in row), Cell(f"{row.sum():,}"))
        for place, row in enumerate(counts)
    )
    caption = "Of the cells of each class, the share in which each was the most probable. A row adds up to 100 %."
    blocks: list[Block] = [Table(tuple(columns), rows, caption=caption)]
    if result.forecast is None:
        why = [note.reason for note in result.notes if note.kind == "forecast"]
        blocks.append(absent(why[0] if why else "The run kept no reason.", title="Forecast of the future"))
    right = write_percent(float(np.trace(counts) / max(counts.sum(), 1)))
    lead = (
        f"What {name} said on the test part, {write_count(result.task.horizon, 'step')} ahead at most, beside what "
        f"came: the most probable class came in {right} of {int(counts.sum()):,} cells."
    )
    return Section("forecasts", "Classes said and classes that came", lead, blocks)


def picture_reliability(result: RunResult) -> Picture:
    """What was said of each class, in bins, beside how often it came."""
    evaluation = result.evaluations[result.leaderboard.winner]
    return Picture(
        "calibration",
        draw_reliability(evaluation, names=[str(one) for one in result.task.classes]),
        "How often a class came where its probability was so large, in ten bins. On the diagonal a probability keeps "
        "its promise.",
        "Line chart of observed shares against probabilities, a line a class.",
        title="Calibration",
    )


def count_pairs(evaluation: Evaluation) -> np.ndarray:
    """How many cells had each class that came (rows) and each most probable one (columns) [K, K]."""
    scored = evaluation.scored
    came = scored.actual[scored.observed].astype(np.int64)
    said = scored.forecast[scored.observed].argmax(axis=1)
    counts = np.zeros((scored.n_classes, scored.n_classes), dtype=np.int64)
    np.add.at(counts, (came, said), 1)
    return counts


def draw_reliability(evaluation: Evaluation, *, names: list[str]) -> Any:
    """A line a class: mean probability to the right, share that came upwards, in percent."""
    scored, figure = evaluation.scored, new_figure(height=300, x="probability, %", y="came, %")
    figure.add_trace(
        go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line={"color": FLOOR, "dash": "dash"}, name="even")
    )
    common = np.argsort(-np.bincount(scored.actual[scored.observed].astype(np.int64), minlength=scored.n_classes))
    for turn, place in enumerate(sorted(common[:MOST_LINES].tolist())):
        came = (scored.actual[scored.observed] == place).astype(np.float64)
        found = reliability(scored.forecast[scored.observed][:, place], came)
        seen = found.count > 0
        line = {"color": OTHERS[turn % len(OTHERS)], "width": 1.6}
        figure.add_trace(
            go.Scatter(
                x=100.0 * found.said[seen], y=100.0 * found.came[seen], mode="lines+markers", line=line,
                name=label(names[place]),
            )
        )  # fmt: skip
    return figure


def _share(count: int, total: int) -> Cell:
    return Cell(write_percent(count / total) if total else "–", value=count / total if total else 0.0)
