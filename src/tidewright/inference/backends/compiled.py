"""torch.compile as a backend: compiled in this process when it starts, for one window and for several."""

from __future__ import annotations

from typing import Any

from tidewright.inference.backends.backend import Backend
from tidewright.inference.backends.networks import (
    REFUSALS,
    answer_with,
    explain_no_torch,
    explain_uncompiled,
    in_precision,
    open_network,
    quiet_torch,
    refuse,
)
from tidewright.inference.options import SessionOptions
from tidewright.inference.session import Answerer
from tidewright.optional import has
from tidewright.registry.bundle import Bundle
from tidewright.runtime import apply_threads, explain_no_compiler, explain_no_cuda


def start(bundle: Bundle, /, *, options: SessionOptions) -> Answerer:
    """What answers: the compiled network. Raises `BackendError` where it can't be compiled."""
    opened = open_network(bundle, device=options.device)
    import torch

    with quiet_torch(), apply_threads(options.threads):
        compiler: Any = torch.compile  # its types lack isolate_recompiles: 8 compilations for each session
        module = compiler(in_precision(opened, options.precision), fullgraph=True, isolate_recompiles=True)
        if any(isinstance(one, torch.nn.RNNBase) for one in opened.network.modules()):
            # Dynamo passes LSTMs over unless it is told not to, in calls too: one of another shape may compile anew
            module = torch._dynamo.config.patch(allow_rnn=True)(module)
        answerer = answer_with(module, opened, threads=options.threads)
        try:
            with torch.inference_mode():
                for rows in (slice(0, 1), slice(None)):
                    given = {name: tensor[rows].clone() for name, tensor in opened.example.items()}
                    if rows.stop is None:
                        for tensor in given.values():
                            torch._dynamo.mark_dynamic(tensor, 0)
                    module(**given)
        except REFUSALS as error:
            raise refuse(error, "torch.compile", bundle) from error
    return answerer


def explain_missing(device: str) -> str:
    """Why nothing can be compiled for a device: torch, its CUDA, triton or a C++ compiler is missing."""
    if device == "cuda":
        return explain_no_torch() or explain_no_cuda() or ("" if has("triton") else "triton is not installed")
    return explain_no_torch() or explain_no_compiler()


def is_ready(bundle: Bundle, options: SessionOptions) -> bool:
    """It compiles whenever it starts."""
    return False


BACKEND = Backend(explain_uncompiled, explain_missing, start, is_ready)
