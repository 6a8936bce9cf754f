"""What the transformers are built of: masked attention, its layer, and positions.

N windows, T tokens, S tokens that are attended to, D width (`d_model`).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tidewright.models.torch.dropout import Dropout

Kind = Literal["sinusoidal", "learned", "none"]
BARRED = 3e4  # taken from a score: its weight is 0 in float32, and the number exists in float16


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017), without dropout on its weights.

    >>> Attention(8, 2)(torch.ones(5, 3, 8), torch.ones(5, 4, 8), None).shape
    torch.Size([5, 3, 8])
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        for layer in (self.query, self.key_value, self.merge):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, asking: Tensor, asked: Tensor, barred: Tensor | None) -> Tensor:
        """[N, T, D] from tokens that ask [N, T, D], tokens that are asked [N, S, D] and `bar`'s [N, 1, 1, S]."""
        key, value = self.key_value(asked).chunk(2, dim=2)
        mixed = scaled_dot_product_attention(
            self._split(self.query(asking)), self._split(key), self._split(value), attn_mask=barred
        )
        merged: Tensor = self.merge(mixed.transpose(1, 2).flatten(2))
        return merged

    def _split(self, tokens: Tensor) -> Tensor:
        """[N, heads, T, D / heads] from [N, T, D]."""
        return torch.unflatten(tokens, 2, (self.heads, -1)).transpose(1, 2)


def bar(present: Tensor) -> Tensor:
    """What attention adds to its scores [N, 1, 1, S]: 0 for tokens that are there, so much below it for the others
    that their weight is 0. Where no token is there, all are attended to: a window without values gets an answer too.

    >>> bar(torch.tensor([[1.0, 0.0]]))
    tensor([[[[     0., -30000.]]]])
    """
    return ((present - 1.0) * BARRED)[:, None, None, :]


class Layer(nn.Module):
    """One layer: self-attention, with `cross` attention to a memory, then a feed-forward network.

    `first` normalises what enters each part (Xiong et al. 2020), else what leaves its sum (Vaswani et al. 2017).
    Without `residual` a part's output replaces its input. With `newest` tokens at the end only these are answered.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        hidden: int,
        dropout: float,
        activation: Literal["relu", "gelu"] = "gelu",
        norm: Literal["batch", "layer"] = "layer",
        first: bool = True,
        residual: bool = True,
        cross: bool = False,
    ) -> None:
        super().__init__()
        self.first, self.residual = first, residual
        self.itself = Attention(width, heads)
        self.memory = Attention(width, heads) if cross else None
        self.expand, self.shrink = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.activation = nn.GELU() if activation == "gelu" else nn.ReLU()
        self.drop = Dropout(dropout)
        self.norms = nn.ModuleList(open_norm(norm, width) for _ in range(3 if cross else 2))

    def forward(
        self,
        tokens: Tensor,
        barred: Tensor | None = None,
        *,
        memory: Tensor | None = None,
        memory_barred: Tensor | None = None,
        only: slice | None = None,
    ) -> Tensor:
        """[N, T, D] from [N, T, D]; `only` these tokens are asked for, while all are attended to."""
        asked = self._enter(tokens, 0)
        kept = tokens if only is None else tokens[:, only]
        asking = asked if only is None else asked[:, only]
        kept = self._leave(kept, self.itself(asking, asked, barred), 0)
        if self.memory is not None and memory is not None:
            kept = self._leave(kept, self.memory(self._enter(kept, 1), memory, memory_barred), 1)
        last = len(self.norms) - 1
        fed = self.shrink(self.drop(self.activation(self.expand(self._enter(kept, last)))))
        return self._leave(kept, fed, last)

    def _enter(self, tokens: Tensor, part: int) -> Tensor:
        entered: Tensor = self.norms[part](tokens) if self.first else tokens
        return entered

    def _leave(self, tokens: Tensor, change: Tensor, part: int) -> Tensor:
        left: Tensor = tokens + self.drop(change) if self.residual else self.drop(change)
        return left if self.first else self.norms[part](left)


class TokenBatchNorm(nn.Module):
    """Batch normalisation of each of the D numbers of a token over all windows and tokens; [N, T, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, tokens: Tensor) -> Tensor:
        normal: Tensor = self.norm(tokens.flatten(0, 1))  # as rows: [N, D, T] costs twice as much and two copies
        return normal.view_as(tokens)


def open_norm(norm: Literal["batch", "layer"], width: int) -> nn.Module:
    """The normalisation of tokens [N, T, D] of that name."""
    return TokenBatchNorm(width) if norm == "batch" else nn.LayerNorm(width)


class Positions(nn.Module):
    """Adds to each token what tells its place: sines and cosines (Vaswani et al. 2017), a learned vector, nothing.

    >>> Positions("sinusoidal", 3, width=4)(torch.zeros(1, 3, 4))[0, 1]
    tensor([0.8415, 0.5403, 0.0100, 0.9999])
    """

    def __init__(self, kind: Kind, count: int, *, width: int) -> None:
        super().__init__()
        self.places: Tensor | None
        self.kind, self.before = kind, 0  # places that stand before the place 0
        if kind == "learned":
            self.places = nn.Parameter(torch.empty(count, width).uniform_(-0.02, 0.02))
        else:
            self.register_buffer("places", draw_waves(count, width) if kind == "sinusoidal" else None)

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Tokens [N, T, D] with their places added, the first one's being `start`."""
        if self.places is None:
            return tokens
        first = start + self.before
        return tokens + self.places[first : first + tokens.shape[1]]

    def reach_back(self, before: int) -> None:
        """Makes so many places more, before the place 0; only of waves, which go on without end."""
        if self.places is not None:
            assert self.kind == "sinusoidal", "what was learned has no other places"
            self.places = draw_waves(before + len(self.places), self.places.shape[1], start=-before)
            self.before = before


def draw_waves(count: int, width: int, *, start: int = 0) -> Tensor:
    """Sines and cosines [T, D] of wavelengths from 2 pi to 20,000 pi steps, at places from `start` on."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(start, start + count).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
