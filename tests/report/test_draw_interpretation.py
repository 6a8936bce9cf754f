"""The pictures of what a model used show its interpretation, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.report.worlds import NASTY
from tidewright.models.interpret import Interpretation, Selection
from tidewright.report.figures import (
    draw_attention,
    draw_attention_map,
    draw_variable_weights,
    draw_weights_by_step,
)

L, H = 6, 3


def make_interpretation(*, columns: int = 4, static: bool = True) -> Interpretation:
    draw = np.random.default_rng(0)
    names = (*(f"column {number}" for number in range(columns - 1)), NASTY)
    attention = draw.random((H, L + H))
    attention[np.arange(L + H) > L + np.arange(H)[:, None]] = 0.0
    zero = np.zeros(1, dtype=np.int64)
    return Interpretation(
        model="tft",
        count=9,
        static=Selection(("area", "kind=old"), zero, np.array([[0.75, 0.25]])) if static else None,
        past=Selection(("sold", "sold observed", *names), np.arange(1 - L, 1), draw.dirichlet([1] * (columns + 2), L)),
        future=Selection(names, np.arange(1, H + 1), draw.dirichlet([1] * columns, H)),
        attention=attention / attention.sum(axis=1, keepdims=True),
    )


def test_each_variable_has_a_bar_of_its_weight_the_heaviest_above() -> None:
    found = make_interpretation()
    figure = draw_variable_weights(found)
    assert [trace.name for trace in figure.data] == ["static", "past", "future"]
    for trace in figure.data:
        assert sum(trace.x) == pytest.approx(100.0)
        assert list(trace.x) == sorted(100.0 * found.selections[trace.name].weights)
        assert list(trace.y) == list(range(trace.y[0], trace.y[0] + len(trace.y)))
    assert figure.layout.yaxis.ticktext[-1] == "area"
    assert min(figure.data[0].y) > max(figure.data[1].y) > max(figure.data[2].y)


def test_many_variables_end_in_one_bar_of_the_others() -> None:
    figure = draw_variable_weights(make_interpretation(columns=40, static=False))
    assert [len(trace.x) for trace in figure.data] == [15, 15]
    assert figure.data[0].text[0] == "28 others"
    assert all(sum(trace.x) == pytest.approx(100.0) for trace in figure.data)


def test_the_lines_over_the_steps_are_the_heaviest_variables() -> None:
    found = make_interpretation(columns=9)
    figure = draw_weights_by_step(found)
    keyed = [trace for trace in figure.data if trace.showlegend]
    assert len(keyed) == len({trace.name for trace in figure.data}) == 6
    for trace in figure.data:
        selection = found.past if trace.x[0] < 1 else found.future
        names = [name.replace("<", "&lt;").replace(">", "&gt;") for name in selection.names]
        column = selection.by_step[:, names.index(trace.name)]
        assert np.allclose(trace.y, 100.0 * column)


def test_attention_is_drawn_up_to_the_step_that_pays_it() -> None:
    found = make_interpretation()
    traces = {trace.name: trace for trace in draw_attention(found).data}
    assert list(traces) == ["of step 1", "of step 2", "of step 3", "mean"]
    assert traces["of step 2"].x[-1] == 2
    assert np.allclose(traces["of step 2"].y, 100.0 * found.attention[1, : L + 2])
    assert np.allclose(traces["mean"].y, 100.0 * found.by_time)
    assert draw_attention(found).layout.shapes[0].x0 == 0.5


def test_the_map_is_blank_where_attention_is_not_allowed() -> None:
    found = make_interpretation()
    (drawn,) = draw_attention_map(found).data
    blank = np.isnan(drawn.z)
    assert np.array_equal(blank, found.steps > np.arange(1, H + 1)[:, None])
    assert np.allclose(drawn.z[~blank], 100.0 * found.attention[~blank])
    assert (drawn.zmin, drawn.zmax) == (0.0, pytest.approx(100.0 * found.attention.max()))


def test_no_picture_takes_a_columns_name_for_markup() -> None:
    found = make_interpretation()
    for draw in (draw_variable_weights, draw_weights_by_step, draw_attention, draw_attention_map):
        text = draw(found).to_json()
        assert "<script" not in text
        assert "\\u003cscript" not in text
