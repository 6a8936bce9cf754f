"""How many numbers a graph computes for one window, from its operators alone: known before anything runs."""

from __future__ import annotations

from math import prod
from typing import Any

import onnx

from tidewright.errors import BundleError
from tidewright.registry.verify import GRAPH

MOST_NUMBERS = 1 << 27  # of all intermediate results together: 512 MB of float32
_KEEP = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "TopK",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Identity",
        "Cast",
        "Slice",
    }
)
_PAIR = frozenset({"Add", "Sub", "Mul", "Div", "Where", "Max", "Min"})


def check_sizes(model: onnx.ModelProto, *, name: str = GRAPH) -> int:
    """How many numbers the intermediate results of one window are, at most; `name` is the graph's file.

    Raises `BundleError` where they are too many, or can't be bounded.
    """
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in single.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    for value in single.graph.output:
        value.type.tensor_type.ClearField("shape")
    for node in single.graph.node:
        if node.op_type == "DynamicQuantizeLSTM":  # its shapes are those of an LSTM
            node.op_type, node.domain = "LSTM", ""
            del node.input[8:]
    single.graph.ClearField("value_info")  # what the file says of its own sizes is not believed
    try:
        inferred = onnx.shape_inference.infer_shapes(single, data_prop=True, strict_mode=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError) as error:
        raise BundleError(
            f"{name} is not a valid graph: {str(error).splitlines()[0]}. Export the model again with Tidewright."
        ) from error
    bounds = _bounds(inferred.graph, name)
    total = sum(bounds.values())
    if total > MOST_NUMBERS:
        raise BundleError(
            f"{name} computes {total} numbers for one window; {MOST_NUMBERS} are allowed. Make the model smaller."
        )
    return sum(bounds[name] for node in inferred.graph.node for name in node.output if name)


def _bounds(graph: Any, file: str) -> dict[str, int]:
    """An upper bound of the number of elements of every value of a graph."""
    bounds = {tensor.name: prod(map(abs, tensor.dims)) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        size = _size(value)
        if size is not None:
            bounds[value.name] = size
    for node in graph.node:
        given = [bounds[name] for name in node.input if name in bounds]
        for name in filter(None, node.output):
            if name not in bounds:
                bounds[name] = _bound(node, given, file=file)
    return bounds


def _size(value: Any) -> int | None:
    """The number of elements of a value; None where inference could not tell."""
    kind = value.type.tensor_type
    known = kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim)
    return prod(abs(int(dim.dim_value)) for dim in kind.shape.dim) if known else None


def _bound(node: Any, given: list[int], *, file: str) -> int:
    """What a node's answer can't exceed, where its shape is computed by the graph itself."""
    if node.op_type in _KEEP and given:
        return given[0]
    if node.op_type == "Concat" and given:
        return sum(given)
    if node.op_type in _PAIR and given:
        return prod(max(size, 1) for size in given)
    raise BundleError(
        f"{file} has a node '{node.op_type}' whose size can't be bounded. Export the model again with Tidewright."
    )
