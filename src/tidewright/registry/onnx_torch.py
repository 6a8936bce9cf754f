"""Networks as ONNX graphs, by torch's exporter; the scalings are part of the network, and so of the graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import onnx
import torch
from torch.export import Dim

from tidewright.models.specs.convolutional import TCN
from tidewright.models.torch.fitted import TorchFitted
from tidewright.registry.graph import OPSET
from tidewright.registry.graph_names import INPUTS, OUTPUT
from tidewright.registry.strip_notes import strip_notes

_TRACED = 3  # windows in the traced batch; any number goes through the graph
_KNOWN = (  # what torch 2.13 says of its own parts on every export
    (FutureWarning, r"`isinstance\(treespec, LeafSpec\)` is deprecated"),
    (FutureWarning, r"_check_is_size will be removed"),
    (UserWarning, r"# The axis name: (N|L) will not be used"),
    (UserWarning, r"The tensor attributes? self\..*_flat_weights"),
)


def to_onnx(fitted: TorchFitted) -> onnx.ModelProto:
    """The graph of a network: its inputs by name to `quantiles` [N, H, Q], all float32, N free, and L where it has
    `lengths`."""
    shape = fitted.shape
    sizes = {
        "target": (_TRACED, shape.lookback),
        "past": (_TRACED, shape.lookback, shape.past),
        "known": (_TRACED, shape.lookback + shape.horizon, shape.known),
        "static": (_TRACED, shape.static),
    }
    inputs = {name: torch.zeros(sizes[name]) for name in shape.inputs}
    free = _free_axes(fitted)
    forget_loops()
    with quiet_export(), torch.inference_mode():
        program = torch.onnx.export(
            fitted.network if fitted.lengths is None else fitted.free,
            kwargs=inputs,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes={name: free[name] for name in inputs},
            input_names=list(inputs),
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None
    return strip_notes(program.model_proto)


def _free_axes(fitted: TorchFitted) -> dict[str, dict[int, Any]]:
    """The axes of each input that have no size of their own."""
    rows = Dim("N", min=1)
    free: dict[str, dict[int, Any]] = {name: {0: rows} for name in INPUTS}
    if fitted.lengths is not None:
        thinned = isinstance(fitted.spec, TCN)  # with an end torch 2.13 makes dims of what is left over, and fails
        steps = Dim("L", min=fitted.lengths[0], max=None if thinned else fitted.lengths[1])
        free["target"][1] = free["past"][1] = steps
        free["known"][1] = steps + fitted.shape.horizon
    return free


def forget_loops() -> None:
    """Drops what torch kept of the loops of networks that were exported before, with the sizes these had: it would be
    taken for the loop of the next one. Compiled sessions keep theirs.
    """
    from torch._C._dynamo.eval_frame import reset_code
    from torch._higher_order_ops.while_loop import while_loop

    for inner in while_loop.__code__.co_consts:  # the function that torch compiles anew for each loop is inside
        if isinstance(inner, CodeType):
            reset_code(inner)


@contextmanager
def quiet_export() -> Iterator[None]:
    """Silences what the exporter is known to say, and nothing else."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")  # names torchvision, which is no need
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category, text in _KNOWN:
                warnings.filterwarnings("ignore", message=text, category=category)
            yield
    finally:
        log.setLevel(level)
