"""Feed-forward networks on the flattened lookback and its covariates.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the
point).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from tidewright.models.specs.dense import FeedForward, Initialisation, ResidualMLP
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.shape import Shape

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}

NORMS: dict[str, type[nn.Module]] = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": nn.Identity}


class DenseCore(nn.Module):
    """Scores [N, H, C] from everything in one row: values, mask, past, known and static, flattened.

    `start` [C] is what it answers before it has learned anything.
    """

    def __init__(self, spec: FeedForward, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.outputs = (shape.horizon, len(start))
        width = row_width(shape)
        self.hidden = dense_stack(
            width,
            spec.hidden,
            activation=spec.activation,
            dropout=spec.dropout,
            batch_norm=spec.batch_norm,
            initialisation=spec.initialisation,
        )
        self.answer = answer_layer((width, *spec.hidden)[-1], shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        answer: Tensor = self.answer(self.hidden(flatten_row(values, seen, past, known, static)))
        return answer.reshape(-1, *self.outputs)


class ResidualCore(nn.Module):
    """Scores [N, H, C] from everything in one row, through blocks that add to what they are given.

    `start` [C] is what it answers before it has learned anything.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("blocks",)

    def __init__(self, spec: ResidualMLP, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.outputs = (shape.horizon, len(start))
        self.enter = nn.Linear(row_width(shape), spec.width)
        start_layer(self.enter, activation="tanh", initialisation=spec.initialisation)  # nothing is cut off after it
        self.blocks = nn.ModuleList(ResidualBlock(spec) for _ in range(spec.blocks))
        self.norm = NORMS[spec.norm](spec.width)
        self.answer = answer_layer(spec.width, shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        row = self.enter(flatten_row(values, seen, past, known, static))
        for block in self.blocks:
            row = row + block(row)
        answer: Tensor = self.answer(self.norm(row))
        return answer.reshape(-1, *self.outputs)


class ResidualBlock(nn.Module):
    """What is added to a row [N, W]: normalised, widened, activated, narrowed again."""

    def __init__(self, spec: ResidualMLP) -> None:
        super().__init__()
        wide = spec.width * spec.expansion
        self.norm = NORMS[spec.norm](spec.width)
        self.widen, self.narrow = nn.Linear(spec.width, wide), nn.Linear(wide, spec.width)
        start_layer(self.widen, activation=spec.activation, initialisation=spec.initialisation)
        start_layer(self.narrow, activation="tanh", initialisation=spec.initialisation)
        self.activation, self.dropout = ACTIVATIONS[spec.activation](), Dropout(spec.dropout)

    def forward(self, row: Tensor) -> Tensor:
        hidden = self.dropout(self.activation(self.widen(self.norm(row))))
        answer: Tensor = self.dropout(self.narrow(hidden))
        return answer


def row_width(shape: Shape) -> int:
    """The numbers of a window that `flatten_row` puts side by side."""
    return shape.lookback * (2 + shape.past) + (shape.lookback + shape.horizon) * shape.known + shape.static


def flatten_row(
    values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
) -> Tensor:
    """Values, mask and covariates of a window in one row [N, W]."""
    return torch.cat([values, seen, *(part.flatten(1) for part in (past, known, static) if part is not None)], dim=1)


def dense_stack(
    width: int,
    hidden: tuple[int, ...],
    *,
    activation: str,
    dropout: float,
    batch_norm: bool,
    initialisation: Initialisation = "auto",
) -> nn.Sequential:
    """Linear layers, each followed by batch normalisation (if asked for), activation and dropout (if above 0)."""
    layers: list[nn.Module] = []
    for size in hidden:
        linear = nn.Linear(width, size, bias=not batch_norm)
        start_layer(linear, activation=activation, initialisation=initialisation)
        layers += [linear, *([nn.BatchNorm1d(size)] if batch_norm else []), ACTIVATIONS[activation]()]
        if dropout > 0:
            layers.append(Dropout(dropout))
        width = size
    return nn.Sequential(*layers)


def start_layer(linear: nn.Linear, *, activation: str, initialisation: Initialisation) -> None:
    """Draws a layer's weights for what follows it, and puts its bias at 0.

    He's normal (2015), Glorot's uniform (2010), or orthogonal ones (Saxe et al. 2014) with the gain of the activation.
    """
    cut = activation in ("relu", "gelu")  # half of the variance is lost after it
    if initialisation == "orthogonal":
        nn.init.orthogonal_(linear.weight, gain=2**0.5 if cut else 1.0)
    elif initialisation == "he" or (initialisation == "auto" and cut):
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def answer_layer(width: int, horizon: int, *, start: tuple[float, ...]) -> nn.Linear:
    """The last layer: small weights, and `start` as the bias of every step."""
    layer = nn.Linear(width, horizon * len(start))
    nn.init.normal_(layer.weight, std=0.01)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(start).repeat(horizon))
    return layer
