"""A feed-forward network on the flattened lookback and its covariates.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the
point).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tidewright.models.spec import FeedForward
from tidewright.models.torch.shape import Shape

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}


class DenseCore(nn.Module):
    """Scores [N, H, C] from everything in one row: values, mask, past, known and static, flattened.

    `start` [C] is what it answers before it has learned anything.
    """

    def __init__(self, spec: FeedForward, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.outputs = (shape.horizon, len(start))
        width = shape.lookback * (2 + shape.past) + (shape.lookback + shape.horizon) * shape.known + shape.static
        self.hidden = dense_stack(
            width, spec.hidden, activation=spec.activation, dropout=spec.dropout, batch_norm=spec.batch_norm
        )
        self.answer = answer_layer((width, *spec.hidden)[-1], shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        parts = [values, seen, *(part.flatten(1) for part in (past, known, static) if part is not None)]
        answer: Tensor = self.answer(self.hidden(torch.cat(parts, dim=1)))
        return answer.reshape(-1, *self.outputs)


def dense_stack(
    width: int, hidden: tuple[int, ...], *, activation: str, dropout: float, batch_norm: bool
) -> nn.Sequential:
    """Linear layers, each followed by batch normalisation (if asked for), activation and dropout (if above
    0).

    Weights start as He's normal for relu and gelu (He et al. 2015), as Glorot's uniform for the others
    (2010).
    """
    layers: list[nn.Module] = []
    for size in hidden:
        linear = nn.Linear(width, size, bias=not batch_norm)
        if activation in ("relu", "gelu"):
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        else:
            nn.init.xavier_uniform_(linear.weight)
        if not batch_norm:
            nn.init.zeros_(linear.bias)
        layers += [linear, *([nn.BatchNorm1d(size)] if batch_norm else []), ACTIVATIONS[activation]()]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        width = size
    return nn.Sequential(*layers)


def answer_layer(width: int, horizon: int, *, start: tuple[float, ...]) -> nn.Linear:
    """The last layer: small weights, and `start` as the bias of every step."""
    layer = nn.Linear(width, horizon * len(start))
    nn.init.normal_(layer.weight, std=0.01)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(start).repeat(horizon))
    return layer
