"""`mix_features`: a layer of some width over a few features, at very many places, forward and back in parts that stay
in a core's cache.

F features, D width, R places.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tidewright.models.torch.dropout import STATES, Dropout, draw_bits

FEW = 6  # features up to which a sum of outer products is quicker than a matrix product
PART = 2**17  # numbers of the wide layer at once, half a MiB


def mix_features(table: Tensor, widen: nn.Linear, narrow: nn.Linear, *, dropout: nn.Module) -> Tensor:
    """`narrow` of the dropout of relu of `widen`, for every column of a table [F, R]: [F, R].

    In training on a CPU, in float32, a quarter of the time of the layers one by one is saved: of the wide layer only
    what dropout left is kept, whose zeros say where no gradient goes. The draws are the same.
    """
    in_parts = dropout.training and isinstance(dropout, Dropout) and not _is_watched()
    if not in_parts or table.device.type != "cpu" or table.dtype != torch.float32:
        return across(narrow, dropout(torch.relu_(across(widen, table))))
    bits = draw_bits(torch.Size([widen.out_features, table.shape[1]])) if dropout.dropped else None
    mixed: Tensor = _Mix.apply(table, widen.weight, widen.bias, narrow.weight, narrow.bias, bits, dropout.dropped)  # type: ignore[no-untyped-call]
    return mixed


def across(layer: nn.Linear, table: Tensor) -> Tensor:
    """What a layer [F to O] gives for every column of a table [F, R]: [O, R]."""
    return torch.addmm(layer.bias.unsqueeze(1), layer.weight, table)


class _Mix(torch.autograd.Function):
    """`bits` [D, R] are `draw_bits`'s; `dropped` of their states are dropped."""

    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        wide: Tensor,
        wide_bias: Tensor,
        narrow: Tensor,
        narrow_bias: Tensor,
        bits: Tensor | None,
        dropped: int,
    ) -> Tensor:
        gain = STATES / (STATES - dropped)
        size = max(1, PART // len(wide))
        mixed, hidden = torch.empty_like(table), []
        for start in range(0, table.shape[1], size):
            part = _multiply(wide, table[:, start : start + size]).add_(wide_bias.unsqueeze(1)).relu_()
            if bits is not None:
                kept = torch.empty_like(part)
                part.mul_(torch.ge(bits[:, start : start + size], dropped - STATES // 2, out=kept))
            mixed[:, start : start + size] = torch.addmm(narrow_bias.unsqueeze(1), narrow, part, alpha=gain)
            hidden.append(part)
        ctx.save_for_backward(table, wide, narrow, *hidden)
        ctx.gain, ctx.size = gain, size
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        table, wide, narrow, *hidden = ctx.saved_tensors
        back, found = torch.empty_like(table), [torch.zeros_like(one) for one in (wide, wide[:, 0], narrow)]
        for number, part in enumerate(hidden):
            place = slice(number * ctx.size, (number + 1) * ctx.size)
            own = error[:, place]
            behind = torch.ops.aten.threshold_backward(_multiply(narrow.t() * ctx.gain, own), part, 0.0)
            found[0].addmm_(behind, table[:, place].t())
            found[1].add_(behind.sum(dim=1))
            found[2].addmm_(own, part.t(), alpha=ctx.gain)
            back[:, place] = torch.mm(wide.t(), behind)
        return back, found[0], found[1], found[2], error.sum(dim=1), None, None


def _multiply(tall: Tensor, flat: Tensor) -> Tensor:
    """A [D, F] times [F, R]; of a few features a sum of products, for which libraries of matrix products are slow."""
    if tall.shape[1] > FEW:
        return torch.mm(tall, flat)
    product = tall[:, :1] * flat[:1]
    for feature in range(1, tall.shape[1]):
        product.addcmul_(tall[:, feature, None], flat[feature, None])
    return product


def _is_watched() -> bool:
    """Whether a compiler or autocast has to see each layer."""
    return torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")
