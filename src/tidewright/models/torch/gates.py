"""Gated layers of the Temporal Fusion Transformer (Lim, Arik, Loeff, Pfister 2021): they can switch themselves off.

D features; any leading dimensions.
"""

from __future__ import annotations

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
        normed: Tensor = self.norm(entered + F.glu(self.gate(self.dropout(answer)), dim=-1))
        return normed


class GatedResidual(nn.Module):
    """A gated residual network [..., D] to [..., D], which a context [..., D] may steer."""

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
        skipped: Tensor = self.skip(self.second(F.elu(hidden)), entered)
        return skipped


def glorot(entering: int, leaving: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer that starts with Glorot's uniform weights (2010) and no bias, as the paper's own code does."""
    layer = nn.Linear(entering, leaving, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
