"""Transformers whose tokens are steps: an encoder, an encoder with a decoder, and one with a pooled head.

N windows, L lookback, H horizon, P past, K known, M static features, D width, C output columns.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from tidewright.models.specs.attention import AdaptiveTransformer, Transformer, TransformerEncoder
from tidewright.models.torch.attention import Kind, Layer, Positions, bar
from tidewright.models.torch.dense import answer_layer, dense_stack
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.shape import Shape


class StepTokens(nn.Module):
    """A token [N, L, D] for each step of the lookback, and which of them are there [N, L].

    A step is there if its target was seen or a covariate stands away from its mean, where missing ones are put. The
    static features are added to every token.
    """

    def __init__(self, shape: Shape, width: int, *, dropout: float, positions: Kind) -> None:
        super().__init__()
        self.lookback = shape.lookback
        self.embed = nn.Linear(2 + shape.past + shape.known, width)
        self.trait = nn.Linear(shape.static, width, bias=False) if shape.static else None
        self.positions = Positions(positions, shape.lookback, width=width)
        self.drop = Dropout(dropout)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        parts = [values.unsqueeze(2), 1.0 - seen.unsqueeze(2)]
        told = seen
        for covariates in (past, None if known is None else known[:, : values.shape[1]]):
            if covariates is not None:
                parts.append(covariates)
                told = told + covariates.abs().amax(dim=2)
        tokens: Tensor = self.embed(torch.cat(parts, dim=2))
        if self.trait is not None and static is not None:
            tokens = tokens + self.trait(static).unsqueeze(1)
        placed: Tensor = self.positions(tokens, self.lookback - values.shape[1])  # the newest step's is always the same
        return self.drop(placed), (told > 0).to(values.dtype)


class EncoderCore(nn.Module):
    """Scores [N, H, C]: the newest token, having attended to the lookback, the known future and the static features
    go through the head.

    `start` [C] is what it answers before it has learned anything.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("layers",)

    def __init__(self, spec: TransformerEncoder, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.lookback, self.outputs = shape.lookback, (shape.horizon, len(start))
        self.tokens = StepTokens(shape, spec.d_model, dropout=spec.dropout, positions=spec.positions)
        self.layers = nn.ModuleList(
            Layer(spec.d_model, spec.nhead, hidden=spec.dim_feedforward, dropout=spec.dropout)
            for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.d_model)
        width = spec.d_model + shape.horizon * shape.known + shape.static
        self.head = dense_stack(width, spec.head, activation="relu", dropout=spec.dropout, batch_norm=False)
        self.answer = answer_layer((width, *spec.head)[-1], shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        tokens, present = self.tokens(values, seen, past, known, static)
        barred = bar(present)
        for layer in self.layers[:-1]:
            tokens = layer(tokens, barred)
        newest = self.layers[-1](tokens, barred, only=slice(-1, None))  # nobody reads the others
        parts = [self.norm(newest).flatten(1), *future_parts(known, static, values.shape[1])]
        answer: Tensor = self.answer(self.head(torch.cat(parts, dim=1)))
        return answer.reshape(-1, *self.outputs)


class AdaptiveCore(nn.Module):
    """Scores [N, H, C]: the averages of the tokens of each part of the lookback, the known future and the static
    features go through the head.

    `start` [C] is what it answers before it has learned anything.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("layers",)

    def __init__(self, spec: AdaptiveTransformer, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.lookback, self.outputs = shape.lookback, (shape.horizon, len(start))
        self.members: Tensor | None  # None: drawn for each window's own length
        self.segments = spec.segments
        self.register_buffer("members", draw_members(shape.lookback, spec.segments))
        self.tokens = StepTokens(shape, spec.d_model, dropout=spec.dropout, positions=spec.positions)
        self.layers = nn.ModuleList(
            Layer(spec.d_model, spec.nhead, hidden=spec.dim_feedforward, dropout=spec.dropout, residual=spec.residual)
            for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(spec.d_model)
        width = spec.segments * spec.d_model + shape.horizon * shape.known + shape.static
        self.head = dense_stack(
            width, (spec.dim_feedforward,), activation="relu", dropout=spec.dropout, batch_norm=False
        )
        self.answer = answer_layer(spec.dim_feedforward, shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        tokens, present = self.tokens(values, seen, past, known, static)
        barred = bar(present)
        for layer in self.layers:
            tokens = layer(tokens, barred)
        members = self.members
        if members is None:
            members = draw_members(tokens.shape[1], self.segments).to(tokens.device)
        pooled = average(self.norm(tokens), present, members)
        parts = [pooled.flatten(1), *future_parts(known, static, values.shape[1])]
        answer: Tensor = self.answer(self.head(torch.cat(parts, dim=1)))
        return answer.reshape(-1, *self.outputs)


class TransformerCore(nn.Module):
    """Scores [N, H, C], one decoder token a step of the horizon.

    `start` [C] is what it answers before it has learned anything.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("encoder", "decoder")

    def __init__(self, spec: Transformer, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.lookback, self.horizon = shape.lookback, shape.horizon
        width = spec.d_model
        self.tokens = StepTokens(shape, width, dropout=spec.dropout, positions=spec.positions)
        self.encoder = nn.ModuleList(
            Layer(width, spec.nhead, hidden=spec.dim_feedforward, dropout=spec.dropout)
            for _ in range(spec.num_encoder_layers)
        )
        self.memory_norm = nn.LayerNorm(width)
        self.ask = nn.Parameter(torch.zeros(width))
        self.embed_future = nn.Linear(shape.known, width, bias=False) if shape.known else None
        self.trait = nn.Linear(shape.static, width, bias=False) if shape.static else None
        self.positions = Positions(spec.positions, shape.lookback + shape.horizon, width=width)
        self.drop = Dropout(spec.dropout)
        self.decoder = nn.ModuleList(
            Layer(width, spec.nhead, hidden=spec.dim_feedforward, dropout=spec.dropout, cross=True)
            for _ in range(spec.num_decoder_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.answer = answer_layer(width, 1, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        memory, present = self.tokens(values, seen, past, known, static)
        barred = bar(present)
        for layer in self.encoder:
            memory = layer(memory, barred)
        memory = self.memory_norm(memory)
        tokens = self._future(values, known, static)
        for layer in self.decoder:
            tokens = layer(tokens, memory=memory, memory_barred=barred)
        answer: Tensor = self.answer(self.norm(tokens))
        return answer

    def _future(self, values: Tensor, known: Tensor | None, static: Tensor | None) -> Tensor:
        """The decoder's tokens [N, H, D]: what is known of each step, its place, and the static features."""
        tokens = self.ask.expand(values.shape[0], self.horizon, -1)
        if self.embed_future is not None and known is not None:
            tokens = tokens + self.embed_future(known[:, values.shape[1] :])
        if self.trait is not None and static is not None:
            tokens = tokens + self.trait(static).unsqueeze(1)
        placed: Tensor = self.drop(self.positions(tokens, self.lookback))
        return placed


def future_parts(known: Tensor | None, static: Tensor | None, lookback: int) -> list[Tensor]:
    """What a head reads besides the tokens: the known features of the horizon and the static ones, if there are."""
    parts = [] if known is None else [known[:, lookback:].flatten(1)]
    return parts if static is None else [*parts, static]


def draw_members(count: int, segments: int) -> Tensor:
    """Which of `count` tokens belong to each of `segments` even parts [segments, T]; these overlap by one token where
    they don't divide it, and repeat tokens where there are fewer than parts (adaptive pooling).

    >>> draw_members(3, 2)
    tensor([[1., 1., 0.],
            [0., 1., 1.]])
    """
    part, token = torch.arange(segments).unsqueeze(1), torch.arange(count)
    first = torch.div(part * count, segments, rounding_mode="floor")
    end = torch.div((part + 1) * count + segments - 1, segments, rounding_mode="floor")
    return ((token >= first) & (token < end)).to(torch.float32)


def average(tokens: Tensor, present: Tensor, members: Tensor) -> Tensor:
    """The mean token of each part [N, segments, D] over those that are there; 0 for a part without any."""
    weights = members * present.unsqueeze(1)
    return (weights @ tokens) / weights.sum(dim=2, keepdim=True).clamp(min=1.0)
