"""`recompute_blocks`: a network in training keeps what enters its blocks, and computes the rest again in the backward
pass (Chen, Xu, Zhang, Guestrin 2016): less memory for about a third more computing.

A core names its blocks in `recomputed`; a list or a row of modules there means each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from tidewright.errors import ConfigError
from tidewright.models.torch.network import ForecastNet


@contextmanager
def recompute_blocks(network: ForecastNet, *, model: str) -> Iterator[None]:
    """Inside the block the network's own blocks are computed again in every backward pass; after it nothing of that is
    left. Weights, their names and the bits of loss and gradients stay as they are: a block draws its dropout from the
    same state of torch's generators again, and counts its batch's statistics once.

    Raises `ConfigError` for a network, called `model` in the message, that names no blocks.
    """
    blocks = list_blocks(network)
    if not blocks:
        raise ConfigError(
            f"{model} has no repeated blocks to compute again; got train.recompute=True. Leave it out; a larger "
            "train.accumulate saves memory too."
        )
    for block in blocks:
        block.forward = partial(_run, block, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the class's own shows again


def list_blocks(network: ForecastNet) -> list[nn.Module]:
    """The modules that a network's core names as its blocks, in the order of their names."""
    named = [getattr(network.core, name) for name in getattr(network.core, "recomputed", ())]
    parts = [list(part) if isinstance(part, nn.ModuleList | nn.Sequential) else [part] for part in named]
    return [block for part in parts for block in part]


def _run(block: nn.Module, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*inputs, **options)
    contexts = partial(_contexts, block)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **options)


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What surrounds a block's forward pass, and its second one."""
    return nullcontext(), _hold_statistics(block)


@contextmanager
def _hold_statistics(block: nn.Module) -> Iterator[None]:
    """Batch normalisation takes its batch's moments, and leaves its running ones as they are."""
    norms = [part for part in block.modules() if isinstance(part, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
