"""The Temporal Fusion Transformer (Lim, Arik, Loeff, Pfister 2021).

N windows, L lookback, H horizon, P past, K known, M static features, V variables of a part, D width, C output
columns (quantiles or the point).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tidewright.models.specs.fusion import TFT
from tidewright.models.torch.dense import answer_layer
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.gates import GatedResidual, GatedSkip, glorot
from tidewright.models.torch.recurrent import start_recurrent
from tidewright.models.torch.selection import VariableSelection
from tidewright.models.torch.shape import Shape

CONTEXTS = 4  # of the static part: for variable selection, the LSTM's hidden and cell state, and enrichment


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """The scores [N, H, C], and what they came from: the weights of the static [N, M], past [N, L, V] and future
    variables [N, H, V], each summing to one over the variables, and the attention [N, H, L + H] of every step of the
    horizon to every time up to itself, summing to one over these, a mean over heads."""

    scores: Tensor
    static: Tensor | None
    past: Tensor
    future: Tensor
    attention: Tensor


class FusionCore(nn.Module):
    """Scores [N, H, C]. Past variables are the target, whether it is observed, the past and the known features; future
    ones are the known features, or the step's number where there are none.

    `start` [C] is what it answers before it has learned anything.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("select_past", "select_future", "recurrent", "enrich", "attend", "settle")

    def __init__(self, spec: TFT, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.horizon = shape.horizon
        width, dropout = spec.width, spec.dropout
        self.statics = StaticContexts(shape.static, width, dropout=dropout)
        self.select_past = VariableSelection(
            2 + shape.past + shape.known, width, dropout=dropout, context=True, flag=True
        )
        self.select_future = VariableSelection(max(shape.known, 1), width, dropout=dropout, context=True)
        self.recurrent = EncoderDecoder(width, spec.depth, dropout=dropout)
        self.enrich = GatedResidual(width, dropout=dropout, context=True)
        self.attend = SharedAttention(width, spec.heads, dropout=dropout)
        self.attended = GatedSkip(width, dropout=dropout)
        self.settle = GatedResidual(width, dropout=dropout)
        self.settled = GatedSkip(width, dropout=dropout)
        self.answer = answer_layer(width, 1, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        return self.read(values, seen, past, known, static).scores

    def read(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Reading:
        """The scores with the weights and the attention that made them."""
        lookback = values.shape[1]
        static_weights, (choosing, state, cell, enriching) = self.statics(static, rows=values.shape[0])
        before = [values.unsqueeze(2), *([] if past is None else [past])]
        if known is None:
            after = torch.arange(1, self.horizon + 1, dtype=values.dtype, device=values.device) / self.horizon
            after = after.reshape(1, -1, 1)  # once for all windows, until these are told apart below
        else:
            before.append(known[:, :lookback])
            after = known[:, lookback:]
        entered, past_weights = self.select_past(torch.cat([*before, seen.unsqueeze(2)], dim=2), choosing)
        past_weights = torch.cat([past_weights[:, :, :1], past_weights[:, :, -1:], past_weights[:, :, 1:-1]], dim=2)
        coming, future_weights = self.select_future(after, choosing)
        coming, future_weights = (part.expand(values.shape[0], -1, -1) for part in (coming, future_weights))
        local = self.recurrent(entered, coming, state, cell)
        enriched = self.enrich(local, enriching.unsqueeze(1))
        asking = enriched[:, lookback:]
        heard, attention = self.attend(asking, enriched)
        settled = self.settle(self.attended(heard, asking))
        scores = self.answer(self.settled(settled, local[:, lookback:]))
        return Reading(scores, static_weights, past_weights, future_weights, attention)


class StaticContexts(nn.Module):
    """The weights [N, M] of the static features and four contexts [N, D] made of those; learned constants where
    there are none."""

    def __init__(self, features: int, width: int, *, dropout: float) -> None:
        super().__init__()
        if features:
            self.select = VariableSelection(features, width, dropout=dropout, context=False)
            self.contexts = nn.ModuleList(GatedResidual(width, dropout=dropout) for _ in range(CONTEXTS))
        else:
            self.constants = nn.Parameter(torch.zeros(CONTEXTS, width))

    def forward(self, static: Tensor | None, *, rows: int) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        if static is None:
            return None, tuple(constant.expand(rows, -1) for constant in self.constants.unbind())
        chosen, weights = self.select(static.unsqueeze(1), None)
        return weights.squeeze(1), tuple(context(chosen.squeeze(1)) for context in self.contexts)


class EncoderDecoder(nn.Module):
    """Features [N, L + H, D] of each step among its neighbours: an LSTM reads the past, another goes on from its state
    into the future; both start from static contexts, and a gated skip lets the selected variables past them."""

    def __init__(self, width: int, layers: int, *, dropout: float) -> None:
        super().__init__()
        self.layers = layers
        between = dropout if layers > 1 else 0.0
        self.encoder = nn.LSTM(width, width, num_layers=layers, dropout=between, batch_first=True)
        self.decoder = nn.LSTM(width, width, num_layers=layers, dropout=between, batch_first=True)
        self.skip = GatedSkip(width, dropout=dropout)
        for lstm in (self.encoder, self.decoder):
            start_recurrent(lstm)

    def forward(self, past: Tensor, future: Tensor, state: Tensor, cell: Tensor) -> Tensor:
        states = (state.unsqueeze(0).repeat(self.layers, 1, 1), cell.unsqueeze(0).repeat(self.layers, 1, 1))
        encoded, reached = self.encoder(past, states)
        decoded, _ = self.decoder(future, reached)
        return torch.cat([self.skip(encoded, past), self.skip(decoded, future)], dim=1)


class SharedAttention(nn.Module):
    """Interpretable multi-head attention: every head has its own queries and keys, all share the values, so that the
    heads' mean is the one matrix that was used.

    Answers [N, H, D] and attention [N, H, L + H] of the last H steps to all L + H; none sees a later one.
    """

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = glorot(width, width, bias=False), glorot(width, width, bias=False)
        self.value = glorot(width, width // heads, bias=False)
        self.out = glorot(width // heads, width, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, asking: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        query, key = (self._split(part) for part in (self.query(asking), self.key(told)))
        scores = (query / query.shape[3] ** 0.5) @ key.transpose(2, 3)
        steps = torch.arange(told.shape[1], device=told.device)
        later = steps.unsqueeze(0) > steps[-asking.shape[1] :].unsqueeze(1)
        barred = torch.zeros_like(later, dtype=scores.dtype).masked_fill(later, float("-inf"))
        attention = torch.softmax(scores.add_(barred), dim=3).mean(dim=1)
        return self.out(self.dropout(attention @ self.value(told))), attention

    def _split(self, part: Tensor) -> Tensor:
        """The heads [N, heads, T, D / heads] of [N, T, D]."""
        return part.reshape(-1, part.shape[1], self.heads, part.shape[2] // self.heads).transpose(1, 2)
