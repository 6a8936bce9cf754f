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
from tidewright.models.torch.shape import Shape
from tidewright.models.torch.steps import stack_steps, step_width


class MixerLayer(nn.Module):
    """Steps [N, T, F] after a matrix over time and a layer of `width` units over features, each added to its input."""

    def __init__(self, steps: int, features: int, *, width: int, dropout: float) -> None:
        super().__init__()
        self.time_norm = nn.LayerNorm((steps, features))
        self.time = nn.Linear(steps, steps)
        self.feature_norm = nn.LayerNorm((steps, features))
        self.features = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), Dropout(dropout), nn.Linear(width, features), Dropout(dropout)
        )
        self.dropout = Dropout(dropout)

    def forward(self, steps: Tensor) -> Tensor:
        over_time = torch.relu(self.time(self.time_norm(steps).transpose(1, 2))).transpose(1, 2)
        steps = steps + self.dropout(over_time)
        answer: Tensor = steps + self.features(self.feature_norm(steps))
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
        history = self.history(stack_steps(values, seen, past, known))
        ahead = self.project(history.transpose(1, 2)).transpose(1, 2)
        target = ahead[:, :, :1]
        if self.join is not None:
            parts = [ahead]
            if known is not None:
                parts.append(known[:, self.lookback :])
            if static is not None:
                parts.append(static.unsqueeze(1).expand(-1, self.horizon, -1))
            ahead = self.ahead(torch.relu(self.join(torch.cat(parts, dim=2))))
        answer: Tensor = target + self.answer(ahead)
        return answer
