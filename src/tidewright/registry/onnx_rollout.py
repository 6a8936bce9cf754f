"""A formula of one step, rolled out over the horizon within the graph: the graph of the step once a step.

N windows, L lookback, H horizon, Q quantiles, K known covariates. The window of a step is that of the step before
without its first row and with its point, in float32, as the last; see models/rollout. Bundles take no loops (a graph
with one might never end), so a graph grows with the horizon, and one that would be too large is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onnx import TensorProto, compose, helper

from tidewright.errors import BundleError
from tidewright.models.tree_inputs import TreeInputs
from tidewright.models.trees import TreesFitted
from tidewright.registry.graph_names import OUTPUT
from tidewright.registry.nodes import Nodes
from tidewright.registry.onnx_trees import add_window_units, finish_graph, to_onnx

MOST = 20_000_000  # learned numbers of a graph, each once a step: some 100 MB


def add_rollout(fitted: TreesFitted) -> Any:
    """The ModelProto of a recursive model, of the form of `to_onnx`. Raises `BundleError` for one too large."""
    assert fitted.offsets is not None
    inputs, task = fitted.inputs, fitted.task
    count = task.horizon * sum(array.size for array in fitted.formula.tensors().values())
    if count > MOST:
        raise BundleError(
            f"the graph of a recursive model holds its formula once a step: {count:,} numbers over {task.horizon} "
            f"steps, and {MOST:,} are allowed. Ask for fewer or smaller trees, or the strategy step or direct."
        )
    alone = replace(fitted.spec, strategy="step")
    step = to_onnx(replace(fitted, spec=alone, task=replace(task, horizon=1, quantiles=(0.5,)), offsets=None))
    graph = Nodes()
    values = graph.add("Cast", "target", to=TensorProto.DOUBLE)
    seen = graph.add("Not", graph.add("IsNaN", "target"))
    _, scale = add_window_units(graph, inputs, values=values, seen=seen)
    window, points = "target", []
    for turn in range(task.horizon):
        points.append(_add_step(graph, step.graph, inputs, window=window, turn=turn))
        cut = (graph.ints([number]) for number in (1, inputs.lookback, 1))
        window = graph.add("Concat", graph.add("Slice", window, *cut), points[-1], axis=1)
    path = graph.add("Concat", *points, axis=1) if len(points) > 1 else points[0]
    exact = graph.add("Unsqueeze", graph.add("Cast", path, to=TensorProto.DOUBLE), graph.ints([2]))
    wide = graph.add("Mul", graph.add("Unsqueeze", scale, graph.ints([2])), graph.constant(fitted.offsets))
    moved = graph.add("Add", exact, wide)
    ordered = graph.add("TopK", moved, graph.ints([len(task.quantiles)]), outputs=2, axis=-1, largest=0, sorted=1)
    graph.add("Cast", ordered, to=TensorProto.FLOAT, name=OUTPUT)
    return finish_graph(graph, inputs, horizon=task.horizon, width=len(task.quantiles))


def _add_step(graph: Nodes, step: Any, inputs: TreeInputs, *, window: str, turn: int) -> str:
    """The point [N, 1] that the step's own graph gives for a window [N, L]; turns count from 0."""
    start = f"turn{turn}."
    given = {"target": window, "static": "static"}
    if inputs.known:
        cut = (graph.ints([number]) for number in (turn, turn + inputs.lookback + 1, 1))
        given["known"] = graph.add("Slice", "known", *cut)
    named = compose.add_prefix_graph(step, start)
    for value in step.input:
        graph.nodes.append(helper.make_node("Identity", [given[value.name]], [f"{start}{value.name}"]))
    graph.nodes.extend(named.node)
    graph.constants.extend(named.initializer)
    return graph.add("Reshape", f"{start}{OUTPUT}", graph.ints([-1, 1]))
