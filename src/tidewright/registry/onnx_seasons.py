"""Nodes of models/season_inputs: how a window stands to the season before it.

N windows, L lookback, H horizon, P past and K known covariates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from tidewright.models.season_inputs import SeasonInputs
from tidewright.registry.nodes import Nodes


def add_ratios(graph: Nodes, inputs: SeasonInputs, *, values: str, past: int) -> str:
    """See `ratio_features`: [N, (1 + P) * ratios], float32."""
    zero, one, absent = graph.number(0.0), graph.number(1.0), graph.number(np.nan)
    end, season = inputs.lookback, inputs.season
    parts = []
    for column in _columns(graph, values, past):
        for length in inputs.ratios:
            ends = (end, end - season)
            now, before = (_slice(graph, column, stop - length, stop) for stop in ends)
            both = graph.add("And", *(graph.add("Not", graph.add("IsNaN", part)) for part in (now, before)))
            top, bottom = (_total(graph, graph.add("Where", both, part, zero)) for part in (now, before))
            known = graph.add("Greater", bottom, zero)
            over = graph.add("Where", known, bottom, one)
            parts.append(graph.add("Div", graph.add("Where", known, top, absent), over))
    return graph.add("Cast", graph.add("Concat", *parts, axis=1), to=TensorProto.FLOAT)


def add_around(graph: Nodes, inputs: SeasonInputs, *, values: str, past: int, known: int, horizon: int) -> list[str]:
    """See `around_features`: parts [N, H, .], float32."""
    steps = np.arange(1, horizon + 1)
    places = np.column_stack([inputs.places(steps, offset) for offset in inputs.around])
    places = np.minimum(places, inputs.lookback)  # the column behind the last one is missing
    pad, absent = graph.ints([0, 0, 0, 1]), graph.number(np.nan)
    parts = []
    for column in _columns(graph, values, past):
        size = graph.add("Unsqueeze", _size(graph, column), graph.ints([2]))
        found = graph.add("Gather", graph.add("Pad", column, pad, absent), graph.constant(places), axis=1)
        parts.append(graph.add("Cast", graph.add("Div", found, size), to=TensorProto.FLOAT))
    if known:
        parts.append(graph.add("Gather", "known", graph.constant(inputs.places(steps)), axis=1))
    return parts


def _columns(graph: Nodes, values: str, past: int) -> Iterator[str]:
    """The target and each past covariate [N, L], float64."""
    yield values
    for place in range(past):
        column = graph.add("Gather", "past", graph.constant(np.array(place, dtype=np.int64)), axis=2)
        yield graph.add("Cast", column, to=TensorProto.DOUBLE)


def _size(graph: Nodes, column: str) -> str:
    """See `column_size`: [N, 1]."""
    seen = graph.add("Not", graph.add("IsNaN", column))
    count = _total(graph, graph.add("Cast", seen, to=TensorProto.DOUBLE))
    size = graph.add("Div", _total(graph, graph.add("Where", seen, graph.add("Abs", column), graph.number(0.0))), count)
    nothing = graph.add("Equal", size, graph.number(0.0))
    return graph.add("Where", nothing, graph.number(1.0), size)


def _slice(graph: Nodes, column: str, start: int, stop: int) -> str:
    return graph.add("Slice", column, graph.ints([start]), graph.ints([stop]), graph.ints([1]))


def _total(graph: Nodes, column: str) -> str:
    return graph.add("ReduceSum", column, graph.ints([1]), keepdims=1)
