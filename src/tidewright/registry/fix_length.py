"""A graph of free length for windows of one: what it would compute for that, known before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

SMALL = 64  # numbers of a shape, at most: nothing large is computed here
_FOLDED = frozenset(
    {
        "Add",
        "Cast",
        "Concat",
        "Constant",
        "Div",
        "Floor",
        "Gather",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Reshape",
        "Slice",
        "Squeeze",
        "Sub",
        "Unsqueeze",
    }
)  # operators that sizes are computed with


def fix_length(model: onnx.ModelProto, *, rows: int, steps: int, horizon: int) -> onnx.ModelProto:
    """The model for so many windows of `steps` steps, with constants in place of the sizes that follow from that."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    shapes: dict[str, list[int]] = {}
    for value in fixed.graph.input:
        dims = value.type.tensor_type.shape.dim
        free = {"target": steps, "past": steps, "known": steps + horizon}.get(value.name)
        for place, size in ((0, rows), (1, free)):
            if size is not None:
                dims[place].dim_value = size
        shapes[value.name] = [int(dim.dim_value) for dim in dims]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    fixed.graph.ClearField("value_info")
    _fold(fixed, shapes)
    return fixed


def _fold(model: onnx.ModelProto, shapes: dict[str, list[int]]) -> None:
    """Makes constants of the sizes of inputs and of what is computed of these alone."""
    known = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if np.prod(tensor.dims) <= SMALL and len(tensor.dims) <= 1
    }
    own: dict[str, npt.NDArray[Any]] = {}
    kept = []
    for node in model.graph.node:
        found = _compute(node, known, shapes, model)
        if found is None:
            kept.append(node)
        else:
            known[node.output[0]] = own[node.output[0]] = found
    model.graph.ClearField("node")
    model.graph.node.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in own.items())


def _compute(
    node: Any, known: dict[str, npt.NDArray[Any]], shapes: dict[str, list[int]], model: onnx.ModelProto
) -> npt.NDArray[Any] | None:
    """What a node answers, if that is a few numbers which follow from sizes; None otherwise."""
    if node.op_type == "Shape" and node.input[0] in shapes:
        told = {item.name: item.i for item in node.attribute}
        return np.array(shapes[node.input[0]][told.get("start", 0) : told.get("end")], np.int64)
    small = node.op_type in _FOLDED and len(node.output) == 1 and node.domain in ("", "ai.onnx")
    if not small or not node.input or any(name and name not in known for name in node.input):
        return None
    from onnx.reference import ReferenceEvaluator

    opsets = {entry.domain: entry.version for entry in model.opset_import}
    given = {name: known[name] for name in node.input if name}
    if sum(value.size for value in given.values()) > SMALL:
        return None
    try:
        answer = np.asarray(ReferenceEvaluator(node, opsets=opsets).run(None, given)[0])
    except (
        ValueError,
        IndexError,
        TypeError,
        RuntimeError,
        ZeroDivisionError,
    ):  # a forged node: it is looked at as it is
        return None
    return answer if answer.size <= SMALL else None
