"""ONNX graphs written by hand: nodes one after the other, in double precision inside, float32 at the
border."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tidewright.registry.graph_names import OUTPUT

OPSET, IR_VERSION = 18, 10


class GraphText:
    """A graph under construction; every call adds one node or one constant and gives its name."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The name of the first output of a new node."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        outputs = [name, f"{name}_places"] if kind == "TopK" else [name]
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return name

    def constant(self, value: npt.ArrayLike) -> str:
        """The name of a new constant: float64 for floats, int64 for whole numbers."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind in "iub" else np.float64)
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def finish(self, answer: str, *, lookback: int, horizon: int, levels: int, output: str = OUTPUT) -> onnx.ModelProto:
        """The model from `target` [N, L] float32 to `output` [N, H, Q] float32, given the double answer's
        name.
        """
        self._nodes.append(helper.make_node("Cast", [answer], [output], to=TensorProto.FLOAT))
        graph = helper.make_graph(
            self._nodes,
            "tidewright",
            [helper.make_tensor_value_info("target", TensorProto.FLOAT, ["N", lookback])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", horizon, levels])],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
