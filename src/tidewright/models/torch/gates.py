"""Gated layers of the Temporal Fusion Transformer (Lim, Arik, Loeff, Pfister 2021): they can switch themselves off.

D features; any leading dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tidewright.models.torch.dropout import Dropout


class GatedSkip(nn.Module):
    """A block's input plus its answer through a gated linear unit (Dauphin et al. 2017), layer-normalised."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.gate = glorot(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, answer: Tensor, entered: Tensor) -> Tensor:
        return self.join(self.gate(self.dropout(answer)), entered)

    def join(self, gated: Tensor, entered: Tensor) -> Tensor:
        """The gated answer [..., 2 D] of a block, added to what entered it [..., D] and normalised."""
        normed: Tensor = self.norm(entered + F.glu(gated, dim=-1))
        return normed


class GatedResidual(nn.Module):
    """A gated residual network [..., D] to [..., D], which a context [..., D] may steer.

    `second` and the gate have nothing but dropout between them, in the paper. Here it is before both, so that they can
    be multiplied out.
    """

    def __init__(self, width: int, *, dropout: float, context: bool = False) -> None:
        super().__init__()
        self.first = glorot(width, width)
        self.context = glorot(width, width, bias=False) if context else None
        self.second = glorot(width, width)
        self.skip = GatedSkip(width, dropout=dropout)

    def forward(self, entered: Tensor, context: Tensor | None = None) -> Tensor:
        hidden = self.first(entered)
        if self.context is not None:
            hidden = hidden + self.context(context)
        hidden = self.skip.dropout(F.elu(hidden))
        gate = self.skip.gate
        # few rows, as in one answer, are cheaper layer by layer
        gated = F.linear(hidden, *multiply_out(self.second, gate)) if self.training else gate(self.second(hidden))
        return self.skip.join(gated, entered)


def multiply_out(first: nn.Linear, second: nn.Linear) -> tuple[Tensor, Tensor]:
    """The weight and the bias of two layers in a row as one: a third fewer products of a row, where D leads to 2 D."""
    return second.weight @ first.weight, torch.addmv(second.bias, second.weight, first.bias)


def glorot(entering: int, leaving: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer that starts with Glorot's uniform weights (2010) and no bias, as the paper's own code does."""
    layer = nn.Linear(entering, leaving, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
