"""Any torch module of one input as an ONNX graph whose first dimension is free, held to what the module answers."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from tidewright.errors import ConfigError, ParityError
from tidewright.registry.graph import OPSET
from tidewright.registry.onnx_torch import quiet_export
from tidewright.registry.parity import open_graph
from tidewright.registry.strip_notes import strip_notes
from tidewright.training.checkpoint import write_whole

LIMIT = 1e-5  # of the largest answer
_TRACED = 3  # rows in the traced batch
_TRIED = (1, 2, 7)  # batches that the graph is asked with


def export_module(module: nn.Module, *, input_shape: Sequence[int], path: str | Path) -> Path:
    """Writes `features` to `prediction` as ONNX, in one step; `input_shape` begins with the batch, which is free.

    The module stays as it is: a copy on the CPU in evaluation mode is exported. Raises `ConfigError` for a shape, and
    `ParityError` where ONNX Runtime answers otherwise than the module by more than 1e-5; nothing is written then.
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"the model is a torch module; got {type(module).__name__}. Give what create_model gave.")
    shape = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
    if len(shape) < 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape):
        raise ConfigError(
            f"input_shape begins with the batch and has every size, such as (1, 100); got {input_shape!r}."
        )
    target = Path(path)
    if target.is_dir():
        raise ConfigError(f"{target} is a folder. Name a file in it, such as {target / 'model.onnx'}.")
    eager = deepcopy(module).cpu().eval()
    _try(eager, shape=shape)
    graph = _to_graph(eager, shape=shape)
    _check(eager, graph, shape=shape)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, graph)
    return target


def _try(eager: nn.Module, *, shape: tuple[int, ...]) -> None:
    """Raises `ConfigError` where the module doesn't take such an input."""
    try:
        with torch.inference_mode():
            eager(torch.zeros(_TRACED, *shape[1:]))
    except RuntimeError as error:  # torch says so of sizes that don't fit
        raise ConfigError(
            f"the model does not take an input of shape {shape}: {error}. Give the shape of its features."
        ) from error


def _to_graph(eager: nn.Module, *, shape: tuple[int, ...]) -> bytes:
    with quiet_export(), torch.inference_mode():
        program = torch.onnx.export(
            eager,
            (torch.zeros(_TRACED, *shape[1:]),),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=({0: Dim("N", min=1)},),
            input_names=["features"],
            output_names=["prediction"],
            verbose=False,
        )
    assert program is not None
    content: bytes = strip_notes(program.model_proto).SerializeToString(deterministic=True)
    return content


def _check(eager: nn.Module, graph: bytes, *, shape: tuple[int, ...]) -> None:
    session, draw = open_graph(graph), np.random.default_rng(0)
    for rows in _TRIED:
        features = draw.standard_normal((rows, *shape[1:])).astype(np.float32)
        with torch.inference_mode():
            wanted = eager(torch.from_numpy(features)).numpy()
        found = session.run(["prediction"], {"features": features})[0]
        apart = float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), np.finfo(np.float32).tiny))
        if not apart <= LIMIT:
            raise ParityError(
                f"the ONNX graph differs from the model by {apart:.3g} of its largest answer at batch {rows}; "
                f"{LIMIT:g} is allowed. Nothing was written; keep the torch model, or report its layers."
            )
