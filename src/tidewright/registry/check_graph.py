"""What an ONNX graph may be before a runtime sees it: plain operators on numbers that the file itself holds.

No control flow, no functions, no files beside it, no operators of other domains, and no intermediate result
of a size that a real model has no use for: a tiny file can't ask for gigabytes, or never end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs

from tidewright.errors import BundleError
from tidewright.registry.fix_length import fix_length
from tidewright.registry.graph_names import name_output
from tidewright.registry.graph_size import check_sizes
from tidewright.registry.manifest import Manifest
from tidewright.registry.verify import GRAPH

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
CONTRIB, CONTRIB_OPS = "com.microsoft", frozenset({"DynamicQuantizeLSTM"})  # what ONNX Runtime makes of an int8 LSTM
MOST_NODES = 100_000
SPARE = 2  # times what the ends take: a real network takes less between them, give or take a step
REMEDY = "Export the model again with Tidewright."


def check_graph(content: bytes, manifest: Manifest) -> int:
    """How many numbers the graph computes for one window, at most; of several lengths for those of `checked_lengths`.

    Raises `BundleError` where the bytes are no graph, or one that is not what the manifest says, or does more.
    """
    model = read_graph(content)
    _check_border(model, manifest)
    if manifest.lengths is None:
        return check_sizes(model)
    return max(_count(model, manifest, steps) for steps in checked_lengths(manifest))


def checked_lengths(manifest: Manifest) -> frozenset[int]:
    """The lengths that are looked at when a bundle is opened: the ends, and the usual one. Others are when asked."""
    return frozenset((*(manifest.lengths or ()), manifest.view.lookback))


def check_length(model: onnx.ModelProto, manifest: Manifest, *, steps: int, numbers: int) -> None:
    """Raises `BundleError` where windows of `steps` steps would take far more than the `numbers` that `check_graph`
    told: sizes may follow from the length by a formula that is small at the ends alone.
    """
    found = _count(model, manifest, steps)
    if found > SPARE * numbers:
        raise BundleError(
            f"{GRAPH} computes {found} numbers for one window of {steps} steps, and {numbers} at most for its longest, "
            f"shortest and usual one. {REMEDY}"
        )


def _count(model: onnx.ModelProto, manifest: Manifest, steps: int) -> int:
    return check_sizes(fix_length(model, rows=1, steps=steps, horizon=manifest.task.horizon))


def read_graph(content: bytes, *, name: str = GRAPH) -> onnx.ModelProto:
    """The graph of these bytes, which are those of the file `name`. Raises `BundleError` where they are none, or one of
    other than plain operators.
    """
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise BundleError(f"{name} is no ONNX graph: {error}. {REMEDY}") from error
    _check_operators(model, name)
    return model


def read_widths(model: onnx.ModelProto) -> dict[str, int]:
    """How many features each covariate input takes, by its name."""
    found = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    return {name: int(dims[-1].dim_value) for name, dims in found.items() if name != "target"}


def _check_operators(model: onnx.ModelProto, file: str) -> None:
    if len(model.functions) or len(model.training_info):
        raise BundleError(f"{file} holds functions or training steps, which a bundle may not. {REMEDY}")
    domains = {node.domain for node in model.graph.node if not _is_contrib(node)}
    domains |= {entry.domain for entry in model.opset_import} - {CONTRIB}
    if not domains <= DOMAINS:
        raise BundleError(f"{file} uses operators of '{min(domains - DOMAINS)}', which may be code. {REMEDY}")
    if len(model.graph.node) > MOST_NODES:
        raise BundleError(f"{file} has {len(model.graph.node)} nodes; {MOST_NODES} are allowed. {REMEDY}")
    for node in model.graph.node:
        if any(item.HasField("g") or item.graphs for item in node.attribute):
            raise BundleError(f"{file} has a node '{node.op_type}' with a graph inside (a loop or a branch). {REMEDY}")
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BundleError(f"{file} keeps '{tensor.name}' in another file, which a bundle may not. {REMEDY}")


def _is_contrib(node: Any) -> bool:
    """Whether a node is an operator of ONNX Runtime itself that a lower precision needs."""
    return node.domain == CONTRIB and node.op_type in CONTRIB_OPS


def _tensors(model: onnx.ModelProto) -> Iterator[Any]:
    yield from model.graph.initializer
    for sparse in model.graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in model.graph.node:
        for item in node.attribute:
            yield from (item.t, *item.tensors)
            for sparse in (item.sparse_tensor, *item.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _check_border(model: onnx.ModelProto, manifest: Manifest) -> None:
    """The inputs and the output are those of the manifest, in float32."""
    free, task = manifest.lengths is not None, manifest.task
    lookback = 0 if free else manifest.view.lookback  # a free axis has no size
    horizon, output = 0 if free else task.horizon, {name_output(task): [task.horizon, task.width]}
    widths = manifest.widths
    shapes = {
        "target": [lookback],
        "past": [lookback, widths.past],
        "known": [lookback + horizon, widths.known],
        "static": [widths.static],
    }
    wanted = {name: shapes[name] for name in widths.inputs} | output
    found = {}
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        single = kind.elem_type == onnx.TensorProto.FLOAT
        found[value.name] = [dim.dim_value for dim in kind.shape.dim][1:] if single else None
    if found != wanted:
        raise BundleError(f"model.onnx takes and gives {found}; the manifest says {wanted}. {REMEDY}")
