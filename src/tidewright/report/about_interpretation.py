"""The part of the page on what the winner used, where it is a model that says so."""

from __future__ import annotations

from tidewright.features.windows import cut_windows
from tidewright.models.conformal import Conformal
from tidewright.models.fitted import Fitted
from tidewright.models.interpret import Interpretation, Selection, interpret
from tidewright.report.blocks import Block, Picture, Row, Section, absent
from tidewright.report.draw_interpretation import (
    draw_attention,
    draw_attention_map,
    draw_variable_weights,
    draw_weights_by_step,
)
from tidewright.report.numbers import write_count, write_percent
from tidewright.training.fit import read_panel
from tidewright.workflows.result import RunResult

SPEAKS = "tft"  # the model that says what it used
PARTS = {"static": "the static columns", "past": "what is known up to the cutoff", "future": "what is known ahead"}


def tell_interpretation(result: RunResult) -> Section | None:
    """The variables and the times that the winner used of the test windows; None where it is no model that says so."""
    winner = result.fitted[result.leaderboard.winner]
    winner = winner.inner if isinstance(winner, Conformal) else winner
    if winner.spec.name != SPEAKS:
        return None
    title = f"What {result.leaderboard.winner} used"
    if result.split.test is None:
        return Section("interpretation", title, "", [absent("There is no test part to look at.")])
    found = _interpret(result, winner)
    heaviest = "; ".join(f"of {PARTS[part]} {_heaviest(found.selections[part])}" for part in found.selections)
    lead = (
        f"Its own weights over {write_count(found.count, 'test window')}. The most weight lay, {heaviest}. Weights say "
        "what the model used, not what causes what; columns that tell the same share a weight at will."
    )
    return Section("interpretation", title, lead, _draw(found))


def _interpret(result: RunResult, winner: Fitted) -> Interpretation:
    assert result.split.test is not None
    panel = read_panel(winner, result.panel)
    windows = cut_windows(panel, winner.view, horizon=result.task.horizon, cutoffs=result.split.test, least=1)
    return interpret(winner, windows, roles=panel.roles)


def _heaviest(selection: Selection) -> str:
    return f"on {selection.largest} ({write_percent(selection.weights.max(), decimals=0)})"


def _draw(found: Interpretation) -> list[Block]:
    variables = Picture(
        "variables",
        draw_variable_weights(found),
        "The weight of each variable; those of a part (a colour) add up to 100 %.",
        "Bar chart of the weights of " + ", ".join(PARTS[part] for part in found.selections) + ".",
        title="Variables",
    )
    over_time = Picture(
        "variables-by-step",
        draw_weights_by_step(found),
        "The weights of the heaviest variables at each step; right of the dashed line is the horizon.",
        "Line chart of variable weights by step from the cutoff.",
        title="Variables over time",
    )
    attention = Picture(
        "attention",
        draw_attention(found),
        "How much of its attention a step of the horizon pays to each time; peaks a season apart show a season. No "
        "step looks beyond itself, so the mean falls to the right.",
        "Line chart of attention by step from the cutoff.",
        title="Attention over time",
    )
    whole = Picture(
        "attention-map",
        draw_attention_map(found),
        "The same for every step of the horizon (upwards); white where a step may not look.",
        "Heat map of attention, steps of the horizon by steps from the cutoff.",
        title="Attention of each step",
    )
    return [variables, over_time, Row((attention, whole))]
