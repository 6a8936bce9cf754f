"""PatchTST: attention over patches of the target.

N windows, L lookback, H horizon, T patches, D width, C output columns.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from tidewright.models.specs.attention import PatchTST
from tidewright.models.torch.attention import Layer, Positions, bar
from tidewright.models.torch.dense import answer_layer
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.shape import Shape


class PatchCore(nn.Module):
    """Scores [N, H, C] from the target alone.

    `start` [C] is what it answers before it has learned anything.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("layers",)

    def __init__(self, spec: PatchTST, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.patch_len, self.stride, self.outputs = spec.patch_len, spec.stride, (shape.horizon, len(start))
        self.short = max(0, spec.patch_len - shape.lookback)
        self.patches = (shape.lookback + self.short - spec.patch_len) // spec.stride + 2
        self.embed = nn.Linear(2 * spec.patch_len, spec.d_model)
        nn.init.zeros_(self.embed.weight[:, spec.patch_len :])  # a gap says nothing until one was learned from
        self.positions = Positions("learned", self.patches, width=spec.d_model)
        self.drop = Dropout(spec.dropout)
        self.layers = nn.ModuleList(
            Layer(
                spec.d_model,
                spec.nhead,
                hidden=spec.dim_feedforward,
                dropout=spec.dropout,
                norm=spec.norm,
                first=False,
            )
            for _ in range(spec.layers)
        )
        self.head_drop = Dropout(spec.head_dropout)
        self.answer = answer_layer(self.patches * spec.d_model, shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        there = self._cut(seen)
        tokens = self.drop(self.positions(self.embed(torch.cat([self._cut(values), 1.0 - there], dim=2))))
        barred = bar(there.amax(dim=2))
        for layer in self.layers:
            tokens = layer(tokens, barred)
        answer: Tensor = self.answer(self.head_drop(tokens.flatten(1)))
        return answer.reshape(-1, *self.outputs)

    def _cut(self, steps: Tensor) -> Tensor:
        """Patches [N, T, patch_len] of [N, L], the last step repeated `stride` times."""
        longer = torch.cat([pad(steps, (self.short, 0)), steps[:, -1:].expand(-1, self.stride)], dim=1)
        return longer.unfold(1, self.patch_len, self.stride)
