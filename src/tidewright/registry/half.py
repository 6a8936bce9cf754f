"""Layers of a graph in float16 or bfloat16: their matrices are kept and multiplied so, all else stays float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tidewright.registry.prepare_graph import drop_unused, find_layers

TYPES = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
KINDS = {"float16": ("MatMul", "Conv", "LSTM", "GRU"), "bfloat16": ("MatMul",)}  # what opset 18 has in that type


def to_half(model: onnx.ModelProto, precision: str) -> tuple[onnx.ModelProto, int]:
    """The graph with its layers in that type, and how many they are. Raised levels never meet it: what standardises
    windows is no layer.
    """
    names = set(find_layers(model, KINDS[precision]))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        nodes.extend(_lower(node, constants, model, TYPES[precision]) if node.name in names else [node])
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    model.graph.ClearField("value_info")
    drop_unused(model)
    return model, len(names)


def _lower(node: Any, constants: dict[str, Any], model: onnx.ModelProto, kind: int) -> list[Any]:
    """The node between casts; its constants are cast once and for all."""
    before, after = [], []
    for place, name in enumerate(node.input):
        if not name or (node.op_type in ("LSTM", "GRU") and place == 4):  # lengths are whole numbers
            continue
        lowered = f"{name}_half" if name in constants else f"{node.name}_in_{place}_half"
        if name not in constants:
            before.append(helper.make_node("Cast", [name], [lowered], name=f"{node.name}_to_{place}", to=kind))
        elif lowered not in constants:
            constants[lowered] = _cast(constants[name], lowered, kind)
            model.graph.initializer.append(constants[lowered])
        node.input[place] = lowered
    for place, name in enumerate(node.output):
        if name:
            node.output[place] = f"{name}_half"
            cast = helper.make_node(
                "Cast", [node.output[place]], [name], name=f"{node.name}_from_{place}", to=TensorProto.FLOAT
            )
            after.append(cast)
    return [*before, node, *after]


def _cast(tensor: Any, name: str, kind: int) -> Any:
    values = numpy_helper.to_array(tensor)
    if kind == TensorProto.FLOAT16:
        return numpy_helper.from_array(values.astype(np.float16), name)
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to the nearest, ties to even
    made = onnx.TensorProto(name=name, data_type=kind, dims=values.shape)
    made.raw_data = rounded.astype("<u2").tobytes()
    return made
