"""Convolutions, recurrent layers and attention, in series or side by side.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the point), W
width of a step, A attention heads.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tidewright.errors import ConfigError
from tidewright.models.specs.hybrid import CNNLSTM, CNNLSTMTransformer
from tidewright.models.torch.convolutional import same_conv
from tidewright.models.torch.dense import answer_layer, dense_stack
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.recurrent import last_states, start_recurrent
from tidewright.models.torch.shape import Shape
from tidewright.models.torch.steps import add_ahead, ahead_width, stack_steps, step_width


class CNNLSTMCore(nn.Module):
    """Scores [N, H, C]: the lookback's values, mask, past and known features go through convolutions, then through an
    LSTM; its last states, the known features over the horizon and the static ones go through the head.

    `start` [C] is what it answers before it has learned anything. Raises `ConfigError`.
    """

    def __init__(self, spec: CNNLSTM, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        check_kernel(max(spec.cnn_kernel_sizes), shape.lookback, name=spec.name)
        self.outputs = (shape.horizon, len(start))
        layers: list[nn.Module] = []
        width, length = step_width(shape), shape.lookback
        for channels, kernel in zip(spec.cnn_channels, spec.cnn_kernel_sizes, strict=True):
            layers += [same_conv(width, channels, kernel_size=kernel), nn.ReLU()]
            if 1 < spec.pool <= length:
                layers.append(nn.MaxPool1d(spec.pool))
                length //= spec.pool
            if spec.dropout > 0:
                layers.append(Dropout(spec.dropout))
            width = channels
        self.convolutions = nn.Sequential(*layers)
        self.recurrent = nn.LSTM(
            width,
            spec.hidden,
            num_layers=spec.layers,
            bidirectional=spec.bidirectional,
            dropout=spec.dropout if spec.layers > 1 else 0.0,
            batch_first=True,
        )
        start_recurrent(self.recurrent)
        width = spec.hidden * (2 if spec.bidirectional else 1) + ahead_width(shape)
        self.head = dense_stack(width, spec.head, activation="relu", dropout=spec.dropout, batch_norm=False)
        self.answer = answer_layer((width, *spec.head)[-1], shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        steps = self.convolutions(stack_steps(values, seen, past, known).transpose(1, 2)).transpose(1, 2)
        state = add_ahead(*last_states(self.recurrent, steps), lookback=values.shape[1], known=known, static=static)
        answer: Tensor = self.answer(self.head(state))
        return answer.reshape(-1, *self.outputs)


class CNNLSTMTransformerCore(nn.Module):
    """Scores [N, H, C]: the lookback's values, mask, past and known features, put into steps of one width, go through
    three parts (see `CNNLSTMTransformer`); the last step of what comes out, the known features over the horizon and
    the static ones go through the head.

    `start` [C] is what it answers before it has learned anything. Raises `ConfigError`.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("convolutions", "recurrent", "encoder")

    def __init__(self, spec: CNNLSTMTransformer, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        check_kernel(spec.kernel_size, shape.lookback, name=spec.name)
        width = spec.scaled_width
        self.lookback, self.serial = shape.lookback, spec.arrangement == "serial"
        self.outputs = (shape.horizon, len(start))
        self.embed = nn.Linear(step_width(shape), width)
        self.convolutions = nn.Sequential(
            *(ConvBlock(width, kernel_size=spec.kernel_size, dropout=spec.dropout) for _ in range(spec.conv_layers))
        )
        self.recurrent = nn.LSTM(
            width,
            width,
            num_layers=spec.lstm_layers,
            dropout=spec.dropout if spec.lstm_layers > 1 else 0.0,
            batch_first=True,
        )
        start_recurrent(self.recurrent)
        self.place = nn.Parameter(torch.empty(shape.lookback, width))
        nn.init.normal_(self.place, std=0.02)
        self.encoder = nn.Sequential(
            *(EncoderBlock(width, heads=spec.heads, dropout=spec.dropout) for _ in range(spec.transformer_layers))
        )
        said = width if self.serial else 3 * width
        self.norm = nn.LayerNorm(said)
        self.head = dense_stack(
            said + ahead_width(shape), (width,), activation="gelu", dropout=spec.dropout, batch_norm=False
        )
        self.answer = answer_layer(width, shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        steps = self.embed(stack_steps(values, seen, past, known))
        said = self._in_series(steps) if self.serial else self._side_by_side(steps)
        state = add_ahead(self.norm(said), lookback=self.lookback, known=known, static=static)
        answer: Tensor = self.answer(self.head(state))
        return answer.reshape(-1, *self.outputs)

    def _in_series(self, steps: Tensor) -> Tensor:
        steps = self.convolutions(steps)
        steps = steps + self.recurrent(steps)[0]
        return self.encoder(steps + self.place)[:, -1]  # type: ignore[no-any-return]

    def _side_by_side(self, steps: Tensor) -> Tensor:
        parts = (self.convolutions(steps), self.recurrent(steps)[0], self.encoder(steps + self.place))
        return torch.cat([part[:, -1] for part in parts], dim=1)


class ConvBlock(nn.Module):
    """x + dropout(gelu(conv(norm(x)))) over steps [N, L, W]."""

    def __init__(self, width: int, *, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = same_conv(width, width, kernel_size=kernel_size)
        self.act, self.drop = nn.GELU(), Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        inner = self.conv(self.norm(steps).transpose(1, 2)).transpose(1, 2)
        answer: Tensor = steps + self.drop(self.act(inner))
        return answer


class EncoderBlock(nn.Module):
    """Attention among the steps [N, L, W], then a feed-forward layer four times as wide; each normalised before and
    added after."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.dense_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width, bias=False)  # queries, keys, values
        self.merge = nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.drop = Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        steps = steps + self.drop(self.attend(self.attention_norm(steps)))
        answer: Tensor = steps + self.drop(self.dense(self.dense_norm(steps)))
        return answer

    def attend(self, steps: Tensor) -> Tensor:
        """What each step takes from all of them [N, L, W]."""
        _, length, width = steps.shape
        asked = self.ask(steps).reshape(-1, length, 3, self.heads, width // self.heads)
        query, key, value = (part.squeeze(2).transpose(1, 2) for part in asked.split(1, dim=2))
        mixed = scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        answer: Tensor = self.merge(mixed.transpose(1, 2).reshape(-1, length, width))
        return answer


def check_kernel(kernel_size: int, lookback: int, *, name: str) -> None:
    """Raises `ConfigError` for a kernel that is wider than the lookback."""
    if not 1 <= kernel_size <= lookback:
        raise ConfigError(
            f"a kernel of {name} should have 1 to {lookback} steps, its lookback; got {kernel_size}. "
            "Give a smaller kernel or a longer lookback."
        )
