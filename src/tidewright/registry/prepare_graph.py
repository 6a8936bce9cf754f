"""A graph made ready for lower precision: layers with learned matrices, named, and products in one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEARNED = ("MatMul", "Gemm", "Conv", "LSTM", "GRU")  # operators whose second input is what a layer learned


def prepare(graph: bytes, *, split: bool = True) -> onnx.ModelProto:
    """The graph with a name on every node and, with `split`, each Gemm with a constant matrix as a product and a sum.

    What standardises windows and gives answers their scale back has no such matrix, and so stays as it is.
    """
    model = onnx.load_model_from_string(graph)
    _fold(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for place, node in enumerate(model.graph.node):
        node.name = f"node_{place}"
        nodes.extend(_split(node, constants, model) if split and _is_layer(node) else [node])
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    drop_unused(model)
    return model


def find_layers(model: onnx.ModelProto, kinds: tuple[str, ...] = LEARNED, *, stacked: bool = True) -> list[str]:
    """The names of the nodes of these kinds whose matrix is a float32 constant; without `stacked` products of several
    matrices at once are left out.
    """
    dims = {t.name: len(t.dims) for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    found = [node for node in model.graph.node if node.op_type in kinds and dims.get(node.input[1], 0) >= 2]
    return [node.name for node in found if stacked or node.op_type != "MatMul" or dims[node.input[1]] == 2]


def drop_unused(model: onnx.ModelProto) -> None:
    """Takes constants away that no node reads."""
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(kept)


def _fold(model: onnx.ModelProto) -> None:
    """Makes constants of what layers learned where the graph computes these from constants, as of recurrent ones."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = _find_makers(model, set(constants))

    def compute(name: str) -> None:
        if name in constants or name not in makers:
            return
        node = makers[name]
        for one in node.input:
            compute(one)
        given = {one: constants[one] for one in node.input if one}
        constants.update(zip(node.output, _run(node, given, model), strict=True))
        model.graph.initializer.extend(numpy_helper.from_array(constants[one], one) for one in node.output)

    for node in model.graph.node:
        if node.op_type in LEARNED:
            for name in node.input[1:]:
                compute(name)
    folded = {tensor.name for tensor in model.graph.initializer}
    kept = [node for node in model.graph.node if not folded & set(node.output)]
    model.graph.ClearField("node")
    model.graph.node.extend(kept)


def _find_makers(model: onnx.ModelProto, known: set[str]) -> dict[str, Any]:
    """The nodes that compute constants from what is known, by the names of their answers."""
    makers: dict[str, Any] = {}
    for node in model.graph.node:
        if node.input and all(not name or name in known or name in makers for name in node.input):
            makers.update(dict.fromkeys(node.output, node))
    return makers


def _run(node: Any, given: dict[str, Any], model: onnx.ModelProto) -> list[Any]:
    """What a node answers."""
    from onnx.reference import ReferenceEvaluator

    opsets = {entry.domain: entry.version for entry in model.opset_import}
    answers: list[Any] = ReferenceEvaluator(node, opsets=opsets).run(None, given)
    return answers


def _is_layer(node: Any) -> bool:
    told = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    plain = all(told.get(name, 1.0) == 1.0 for name in ("alpha", "beta")) and not told.get("transA", 0)
    return bool(node.op_type == "Gemm" and plain)


def _split(node: Any, constants: dict[str, Any], model: onnx.ModelProto) -> list[Any]:
    """A Gemm as MatMul and Add; as it is where its matrix is no constant."""
    matrix = constants.get(node.input[1])
    if matrix is None:
        return [node]
    turned = any(item.name == "transB" and item.i for item in node.attribute)
    name = f"{node.input[1]}_turned" if turned else node.input[1]
    if turned and name not in constants:
        constants[name] = numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(matrix).T), name)
        model.graph.initializer.append(constants[name])
    if len(node.input) < 3 or not node.input[2]:
        return [helper.make_node("MatMul", [node.input[0], name], [node.output[0]], name=node.name)]
    between = f"{node.output[0]}_product"
    product = helper.make_node("MatMul", [node.input[0], name], [between], name=node.name)
    return [product, helper.make_node("Add", [between, node.input[2]], [node.output[0]], name=f"{node.name}_sum")]
