"""Variable selection (Lim, Arik, Loeff, Pfister 2021): which of several numbers counts, at every step anew.

N windows, T steps, V variables, D features, B = N x T rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.gates import glorot, multiply_out


class VariableSelection(nn.Module):
    """Features [N, T, D] and the variables' weights [N, T, V], which sum to one, from values [N, T, V].

    Every variable is embedded, goes through a gated residual network of its own, and is weighed by a network that
    sees all embeddings and a context [N, D]. One variable alone has the weight one. With `flag` the last
    one is 0 or 1 everywhere.

    All variables are computed at once, by products of stacks of matrices, a flag for its two values alone. An
    embedding of a number and the layer after it are both affine, as are two layers without an activation between, so
    they are multiplied out first: the same answer and gradients without a row's V x D embeddings.
    """

    def __init__(self, variables: int, width: int, *, dropout: float, context: bool, flag: bool = False) -> None:
        super().__init__()
        self.flag = flag
        self.embed_weight, self.embed_bias = _matrix(variables, width), _matrix(variables, width)
        self.first_weight, self.first_bias = _matrix(variables, width, width), _matrix(variables, width)
        self.second_weight, self.second_bias = _matrix(variables, width, width), _matrix(variables, width)
        self.gate_weight, self.gate_bias = _matrix(variables, width, 2 * width), _matrix(variables, 2 * width)
        self.norm_weight, self.norm_bias = _matrix(variables, width), _matrix(variables, width)
        self.dropout = Dropout(dropout)
        self.weigh = Weighing(variables, width, dropout=dropout, context=context) if variables > 1 else None
        self._start()

    def forward(self, values: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.weigh is None:
            weights = torch.ones_like(values)
        else:
            weights = self.weigh(values, context, self.embed_weight, self.embed_bias)
        rows, shares = values.reshape(-1, values.shape[2]), weights.reshape(-1, values.shape[2])  # [B, V]
        plain = slice(0, rows.shape[1] - int(self.flag))
        own = self._transform(rows[:, plain], plain) * shares[:, plain].t().unsqueeze(2)
        chosen = own.sum(dim=0) + shares @ self.norm_bias
        if self.flag:
            both = torch.arange(2, dtype=rows.dtype, device=rows.device).unsqueeze(1)
            raised, share = rows[:, -1:], shares[:, -1:]
            apart = torch.cat([share * (1.0 - raised), share * raised], dim=1)
            chosen = torch.addmm(chosen, apart, self._transform(both, slice(rows.shape[1] - 1, None))[0])
        return chosen.reshape(-1, values.shape[1], chosen.shape[1]), weights

    def _transform(self, rows: Tensor, which: slice) -> Tensor:
        """The gated residual networks of some variables, but for the bias of their norms: [V, B, D] from [B, V]."""
        embed_weight, norm_weight = self.embed_weight[which].unsqueeze(1), self.norm_weight[which].unsqueeze(1)
        first_weight, gate_weight = self.first_weight[which], self.gate_weight[which]
        embed_bias, first_bias, second_bias, gate_bias = (
            bias[which].unsqueeze(1) for bias in (self.embed_bias, self.first_bias, self.second_bias, self.gate_bias)
        )
        rows = rows.t().unsqueeze(2)
        level = torch.baddbmm(first_bias, embed_bias, first_weight)
        hidden = self.dropout(F.elu(torch.baddbmm(level, rows, embed_weight @ first_weight)))
        gate_level = torch.baddbmm(gate_bias, second_bias, gate_weight)
        gated = torch.baddbmm(gate_level, hidden, self.second_weight[which] @ gate_weight)
        entered = torch.baddbmm(embed_bias, rows, embed_weight)
        return F.layer_norm(entered + F.glu(gated, dim=2), entered.shape[2:]) * norm_weight

    def _start(self) -> None:
        """Embeddings as torch starts a layer of one input; Glorot's weights, no biases, and norms of gain one."""
        for embedding in (self.embed_weight, self.embed_bias):
            nn.init.uniform_(embedding, -1.0, 1.0)
        for stack in (self.first_weight, self.second_weight, self.gate_weight):
            for matrix in stack:
                nn.init.xavier_uniform_(matrix)
        for bias in (self.first_bias, self.second_bias, self.gate_bias, self.norm_bias):
            nn.init.zeros_(bias)
        nn.init.ones_(self.norm_weight)


class Weighing(nn.Module):
    """The weights [N, T, V] of V variables from all of their embeddings, by one gated residual network.

    Its layer norm keeps the weights from running away to a single variable. Of two variables it would leave but the
    sign of their difference, without a gradient, so it is a soft one there.
    """

    def __init__(self, variables: int, width: int, *, dropout: float, context: bool) -> None:
        super().__init__()
        self.first = glorot(variables * width, width)
        self.context = glorot(width, width, bias=False) if context else None
        self.second = glorot(width, width)
        self.dropout = Dropout(dropout)
        self.gate = glorot(width, 2 * variables)
        self.skip = glorot(variables * width, variables)
        self.norm = nn.LayerNorm(variables, eps=1.0 if variables == 2 else 1e-5)

    def forward(self, values: Tensor, context: Tensor | None, embed_weight: Tensor, embed_bias: Tensor) -> Tensor:
        hidden = _affine(self.first, values, embed_weight, embed_bias)
        if self.context is not None and context is not None:
            hidden = hidden + self.context(context).unsqueeze(1)
        hidden = self.dropout(F.elu(hidden))
        gated = F.linear(hidden, *multiply_out(self.second, self.gate))
        entered = _affine(self.skip, values, embed_weight, embed_bias)
        return torch.softmax(self.norm(entered + F.glu(gated, dim=2)), dim=2)


def _affine(layer: nn.Linear, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What a layer [V x D to O] says of the flattened embeddings of values [N, T, V], without making them."""
    parts = layer.weight.reshape(-1, *weight.shape)  # [O, V, D]
    return F.linear(values, (parts * weight).sum(dim=2), layer.weight @ bias.reshape(-1) + layer.bias)


def _matrix(*sizes: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*sizes))
