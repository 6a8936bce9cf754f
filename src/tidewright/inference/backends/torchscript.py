"""TorchScript as a backend: the network traced in memory; no archive is read or written, for these hold code.

torch 2.13 calls torch.jit deprecated; it is here because it starts in milliseconds where other compilers take minutes.
"""

from __future__ import annotations

import warnings
from typing import Any

from tidewright.inference.backends.backend import Backend
from tidewright.inference.backends.networks import (
    REFUSALS,
    answer_with,
    explain_no_torch,
    explain_untraced,
    open_network,
    quiet_torch,
    refuse,
)
from tidewright.inference.options import SessionOptions
from tidewright.inference.session import Answerer
from tidewright.registry.bundle import Bundle
from tidewright.runtime import apply_threads, explain_no_cuda

WARMED = 3  # answers before the first: the executor looks at two and rewrites the network then


def start(bundle: Bundle, /, *, options: SessionOptions) -> Answerer:
    """What answers: the traced network. Raises `BackendError` where torch.jit can't trace it."""
    opened = open_network(bundle, device=options.device)
    import torch
    from torch.jit._trace import TracerWarning

    with quiet_torch(), apply_threads(options.threads), torch.no_grad():
        # a recurrent layer asks whether its input has a batch, which is always so
        warnings.filterwarnings("ignore", category=TracerWarning)
        try:
            trace: Any = torch.jit.trace  # it has no types
            frozen = torch.jit.freeze(trace(opened.network, example_kwarg_inputs=opened.example, check_trace=False))
        except REFUSALS as error:
            raise refuse(error, "torch.jit", bundle) from error
    answerer = answer_with(frozen, opened, threads=options.threads)
    feed = {name: tensor.cpu().numpy() for name, tensor in opened.example.items()}
    for _ in range(WARMED):
        answerer.call(feed)
    return answerer


def explain_missing(device: str) -> str:
    """Why nothing runs on a device: torch, the driver or torch's CUDA is missing."""
    return explain_no_torch() or (explain_no_cuda() if device == "cuda" else "")


BACKEND = Backend(explain_untraced, explain_missing, start)
