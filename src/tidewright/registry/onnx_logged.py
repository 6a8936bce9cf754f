"""A model of logarithms as one ONNX graph: the inner model's own, between a logarithm and an exponential.

N windows, L lookback, H horizon, Q quantiles.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, compose

from tidewright.models.logged import MOST, Logged
from tidewright.registry.graph_names import OUTPUT
from tidewright.registry.nodes import Nodes

PREFIX = "logged."


def add_logs(fitted: Logged, model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph of the inner model, given the logarithms of the target, with its answer raised again."""
    inner = compose.add_prefix(model, PREFIX)
    graph = Nodes()
    seen = _add_logs(graph, offset=fitted.offset)
    borders = {f"{PREFIX}target": "target"}
    for value in inner.graph.input:
        borders[value.name] = value.name.removeprefix(PREFIX)
        value.name = borders[value.name]
    for node in inner.graph.node:  # covariates stay what they are
        node.input[:] = [name if name == f"{PREFIX}target" else borders.get(name, name) for name in node.input]
    graph.nodes.extend(inner.graph.node)
    raised = graph.add("Min", graph.add("Cast", PREFIX + OUTPUT, to=TensorProto.DOUBLE), graph.number(MOST))
    answer = graph.add("Sub", graph.add("Exp", raised), graph.number(fitted.offset))
    known = graph.add("Where", seen, answer, graph.number(np.nan))
    graph.add("Cast", known, to=TensorProto.FLOAT, name=OUTPUT)
    del inner.graph.node[:]
    inner.graph.node.extend(graph.nodes)
    inner.graph.initializer.extend(graph.constants)
    inner.graph.output[0].name = OUTPUT
    onnx.checker.check_model(inner, full_check=True)
    return inner


def _add_logs(graph: Nodes, *, offset: float) -> str:
    """The logarithms [N, L] under the name that the inner model reads, and whether a window has any [N, 1, 1]."""
    exact = graph.add("Cast", "target", to=TensorProto.DOUBLE)
    moved = graph.add("Add", exact, graph.number(offset))
    there = graph.add("Greater", moved, graph.number(0.0))
    logs = graph.add("Log", graph.add("Where", there, moved, graph.number(1.0)))
    missing = graph.constant(np.array(np.nan, dtype=np.float32))
    graph.add("Where", there, graph.add("Cast", logs, to=TensorProto.FLOAT), missing, name=f"{PREFIX}target")
    count = graph.add("ReduceMax", graph.add("Cast", there, to=TensorProto.DOUBLE), graph.ints([1]), keepdims=1)
    return graph.add("Greater", graph.add("Unsqueeze", count, graph.ints([2])), graph.number(0.0))
