"""TSMixer: layers that mix over time and over features in turn, and lead from the lookback to the horizon.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the point).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tidewright.models.specs.mixer import TSMixer
from tidewright.models.torch.dense import answer_layer
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.mix_features import mix_features
from tidewright.models.torch.shape import Shape
from tidewright.models.torch.steps import stack_steps, step_width


class MixerLayer(nn.Module):
    """Features [N, F, T] after a matrix over time and a layer of `width` units over features, each added to its input.

    The layer over features reads them as one table [F, N x T]: a gradient of a few weights from as many rows as there
    are steps is ten times cheaper so than from its transpose.
    """

    def __init__(self, steps: int, features: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.time_norm = nn.LayerNorm((features, steps))
        self.time = nn.Linear(steps, steps)
        self.feature_norm = nn.LayerNorm((features, steps))
        self.widen, self.narrow = nn.Linear(features, width), nn.Linear(width, features)
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.dropout(torch.relu(self.time(self.time_norm(features))))
        table = self.feature_norm(features).transpose(0, 1)
        mixed = mix_features(table.flatten(1), self.widen, self.narrow, dropout=self.dropout).view_as(table)
        answer: Tensor = features + self.dropout(mixed.transpose(0, 1))
        return answer


class TSMixerCore(nn.Module):
    """Scores [N, H, C]: the target's way through the mixers to each step, plus `answer` on all features of that step.

    Value, mask, past and known features of the lookback are mixed, and projected on the horizon. Known features of the
    horizon and static ones join there, at `width` features a step, and are mixed again.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("history", "ahead")

    def __init__(self, spec: TSMixer, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        features, joined = step_width(shape), shape.known + shape.static
        self.horizon, self.lookback = shape.horizon, shape.lookback
        sizes: dict[str, Any] = {"width": spec.width, "dropout": spec.dropout}
        self.history = nn.Sequential(*(MixerLayer(shape.lookback, features, **sizes) for _ in range(spec.layers)))
        self.project = nn.Linear(shape.lookback, shape.horizon)
        nn.init.normal_(self.project.weight, std=0.01)
        nn.init.zeros_(self.project.bias)
        self.join = nn.Linear(features + joined, spec.width) if joined else None
        self.ahead = nn.Sequential(
            *(MixerLayer(shape.horizon, spec.width, **sizes) for _ in range(spec.layers if joined else 0))
        )
        self.answer = answer_layer(spec.width if joined else features, 1, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        history = self.history(stack_steps(values, seen, past, known).transpose(1, 2))
        ahead = self.project(history)  # [N, F, H]
        target = ahead[:, :1].transpose(1, 2)
        if self.join is not None:
            parts = [ahead.transpose(1, 2)]
            if known is not None:
                parts.append(known[:, self.lookback :])
            if static is not None:
                parts.append(static.unsqueeze(1).expand(-1, self.horizon, -1))
            ahead = self.ahead(torch.relu(self.join(torch.cat(parts, dim=2))).transpose(1, 2))
        answer: Tensor = target + self.answer(ahead.transpose(1, 2))
        return answer
