"""A conformal model as one ONNX graph: the inner model's own, and after it what models/conformal.py does.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tidewright.models.conformal import Conformal
from tidewright.registry.graph_names import OUTPUT

INNER = "inner_quantiles"


def add_offsets(fitted: Conformal, model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph of the inner model with the offsets added, in double precision, and its quantiles put in order."""
    added = onnx.ModelProto()
    added.CopyFrom(model)
    for node in added.graph.node:
        for names in (node.input, node.output):
            names[:] = [INNER if name == OUTPUT else name for name in names]
    count, median = len(fitted.task.quantiles), fitted.task.median
    text = _Text(added.graph)
    quantiles = text.add("Cast", INNER, to=TensorProto.DOUBLE)
    each = [text.column(quantiles, place) for place in range(count)]
    unit = text.add("Sub", each[-1], each[0]) if fitted.unit == "width" else ""
    moved = []
    for place in range(count):
        offset = text.constant(fitted.offsets[None, :, place : place + 1])
        offset = text.add("Mul", unit, offset) if unit else offset
        moved.append(text.add("Add", each[place if fitted.method == "cqr" else median], offset))
    for place in range(median + 1, count):
        moved[place] = text.add("Max", moved[place], moved[place - 1])
    for place in range(median - 1, -1, -1):
        moved[place] = text.add("Min", moved[place], moved[place + 1])
    text.add("Cast", text.add("Concat", *moved, axis=2), to=TensorProto.FLOAT, name=OUTPUT)
    onnx.checker.check_model(added, full_check=True)
    return added


class _Text:
    """Nodes and constants added to a graph, under names of their own."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._count = 0

    def add(self, kind: str, *given: str, name: str = "", **options: Any) -> str:
        """Adds a node; gives the name of its output."""
        name = name or self._name()
        self._graph.node.append(helper.make_node(kind, list(given), [name], **options))
        return name

    def constant(self, value: npt.NDArray[Any]) -> str:
        """Adds a constant."""
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def column(self, values: str, place: int) -> str:
        """One quantile [N, H, 1]."""
        ends = (self.constant(np.array([number], dtype=np.int64)) for number in (place, place + 1, 2))
        return self.add("Slice", values, *ends)

    def _name(self) -> str:
        self._count += 1
        return f"conformal_{self._count}"
