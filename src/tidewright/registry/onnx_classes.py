"""Classes in a graph of cells: what models/class_inputs sees of them, and what models/calibrated makes of an answer.

N windows, H horizon, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tidewright.models.calibrated import RAREST, Calibrated
from tidewright.models.class_inputs import told_classes
from tidewright.models.tree_inputs import TreeInputs
from tidewright.registry.graph_names import PROBABILITIES
from tidewright.registry.nodes import Nodes

INNER = "uncalibrated"


def add_seen(graph: Nodes, values: str, classes: int) -> str:
    """See `seen_classes`: columns [N, A] in double as columns [N, A, k] of ones and zeros, NaN where there is none."""
    missing = graph.add("IsNaN", values)
    parts = []
    for label in told_classes(classes):
        same = graph.add("Cast", graph.add("Equal", values, graph.number(float(label))), to=TensorProto.DOUBLE)
        told = graph.add("Where", missing, graph.number(np.nan), same)
        parts.append(graph.add("Unsqueeze", told, graph.ints([2])))
    return graph.add("Concat", *parts, axis=2) if len(parts) > 1 else parts[0]


def add_window_classes(graph: Nodes, inputs: TreeInputs, values: str) -> list[str]:
    """See `window_classes`: each part [N, .] in double."""
    places = graph.ints([inputs.lookback - lag for lag in inputs.lags])
    flat = graph.ints([0, -1])
    lags = add_seen(graph, graph.add("Gather", values, places, axis=1), inputs.classes)
    parts = [graph.add("Reshape", lags, flat)]
    seen = add_seen(graph, values, inputs.classes)  # [N, L, k]
    for length in inputs.rolling:
        cut = (graph.ints([number]) for number in (inputs.lookback - length, inputs.lookback, 1))
        tail = graph.add("Slice", seen, *cut)
        there = graph.add("Not", graph.add("IsNaN", tail))
        count, total = (
            graph.add("ReduceSum", one, graph.ints([1]), keepdims=0)
            for one in (
                graph.add("Cast", there, to=TensorProto.DOUBLE),
                graph.add("Where", there, tail, graph.number(0.0)),
            )
        )
        parts.append(graph.add("Div", total, count))
    return parts


def add_season_classes(graph: Nodes, inputs: TreeInputs, cycles: list[str], *, horizon: int) -> str:
    """The classes of the seasons before, each cycle [N, H], as columns [N, H, cycles * k] in double."""
    told = [graph.add("Unsqueeze", add_seen(graph, one, inputs.classes), graph.ints([2])) for one in cycles]
    joined = graph.add("Concat", *told, axis=2) if len(told) > 1 else told[0]
    return graph.add("Reshape", joined, graph.ints([0, horizon, -1]))


def add_probabilities(graph: Nodes, answer: str, *, shares: bool) -> None:
    """The output: scores [N, H, K] through a softmax, or shares over their sum."""
    exact = graph.add("Cast", answer, to=TensorProto.DOUBLE)
    if shares:
        total = graph.add("ReduceSum", exact, graph.ints([2]), keepdims=1)
        said = graph.add("Div", exact, total)
    else:
        said = graph.add("Softmax", exact, axis=2)
    graph.add("Cast", said, to=TensorProto.FLOAT, name=PROBABILITIES)


def add_scaling(fitted: Calibrated, model: Any) -> Any:
    """The graph of the inner model with its probabilities calibrated, in double precision."""
    added = onnx.ModelProto()
    added.CopyFrom(model)
    for node in added.graph.node:
        for names in (node.input, node.output):
            names[:] = [INNER if name == PROBABILITIES else name for name in names]
    graph = Nodes(prefix="calibrated_")
    exact = graph.add("Cast", INNER, to=TensorProto.DOUBLE)
    logs = graph.add("Log", graph.add("Max", exact, graph.number(RAREST)))
    scaled = graph.add("Mul", logs, graph.number(fitted.scaling.slope))
    scores = graph.add("Add", scaled, graph.constant(np.array(fitted.scaling.shifts)[None, None, :]))
    graph.add("Cast", graph.add("Softmax", scores, axis=2), to=TensorProto.FLOAT, name=PROBABILITIES)
    added.graph.node.extend(graph.nodes)
    added.graph.initializer.extend(graph.constants)
    onnx.checker.check_model(added, full_check=True)
    return added
