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
    steps, last = np.arange(1, horizon + 1), graph.ints([2])
    shares = add_shares(graph, inputs, horizon=horizon)
    parts = []
    for column in _columns(graph, values, past):
        size = graph.add("Unsqueeze", _size(graph, column), last)
        before = [add_season(graph, inputs, shares, column=column, horizon=horizon, offset=n) for n in inputs.around]
        found = graph.add("Concat", *(graph.add("Unsqueeze", one, last) for one in before), axis=2)
        parts.append(graph.add("Cast", graph.add("Div", found, size), to=TensorProto.FLOAT))
    if known:
        parts.append(graph.add("Gather", "known", graph.constant(inputs.places(steps)), axis=1))
    return parts


Shares = tuple[tuple[str, str], ...]  # rows back [N, H], int64, and how much of the value is theirs [N, H], float64


def add_shares(graph: Nodes, inputs: SeasonInputs, *, horizon: int) -> Shares:
    """How far each step's season before has moved, as two rows and their shares; none without `align`."""
    if inputs.align is None:
        return ()
    ends = (graph.ints([number]) for number in (inputs.lookback, inputs.lookback + horizon, 1))
    ahead = graph.add("Gather", graph.add("Slice", "known", *ends), graph.constant(np.array(inputs.align)), axis=2)
    given = graph.add("Cast", ahead, to=TensorProto.DOUBLE)
    given = graph.add("Where", graph.add("IsNaN", given), graph.number(0.0), given)
    shift = graph.add("Clip", given, graph.number(-inputs.season), graph.number(inputs.season))
    whole = graph.add("Floor", shift)
    part = graph.add("Sub", shift, whole)
    first = graph.add("Cast", whole, to=TensorProto.INT64)
    rest = graph.add("Sub", graph.number(1.0), part)
    return (first, rest), (graph.add("Add", first, graph.ints([1])), part)


def add_season(
    graph: Nodes, inputs: SeasonInputs, shares: Shares, *, column: str, horizon: int, offset: int = 0
) -> str:
    """See `read_season`: [N, H], float64, of a column [N, L]."""
    places = inputs.places(np.arange(1, horizon + 1), offset)
    pad, absent = graph.ints([0, 0, 0, 1]), graph.number(np.nan)
    padded = graph.add("Pad", column, pad, absent)  # the column behind the last one is missing
    plain = graph.add("Gather", padded, graph.constant(np.clip(places, None, inputs.lookback)), axis=1)
    if not shares:
        return plain
    zero, one, length = graph.number(0.0), graph.number(1.0), graph.constant(np.array(inputs.lookback))
    total, weight = zero, zero
    for back, share in shares:
        place = graph.add("Sub", graph.constant(places[None]), back)
        there = graph.add(
            "And", graph.add("GreaterOrEqual", place, graph.constant(np.array(0))), graph.add("Less", place, length)
        )
        value = graph.add("GatherElements", padded, graph.add("Where", there, place, length), axis=1)
        seen = graph.add("And", graph.add("Not", graph.add("IsNaN", value)), graph.add("Greater", share, zero))
        total = graph.add("Add", total, graph.add("Where", seen, graph.add("Mul", share, value), zero))
        weight = graph.add("Add", weight, graph.add("Where", seen, share, zero))
    known = graph.add("Greater", weight, zero)
    return graph.add("Where", known, graph.add("Div", total, graph.add("Where", known, weight, one)), plain)


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
