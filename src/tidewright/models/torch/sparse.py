"""SparseTSF: one small map from period to period, the same for every place in the period.

N windows, L lookback, H horizon, W period, B periods of the lookback, A periods of the horizon, C output columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tidewright.models.specs.linear import SparseTSF
from tidewright.models.torch.dense import answer_layer
from tidewright.models.torch.linear import fill_gaps
from tidewright.models.torch.shape import Shape


class SparseCore(nn.Module):
    """Scores [N, H, C]: the values at one place of all B periods lead to those at the same place of A periods.

    Before that each step is given a learned mean of what is around it, up to half a period away. `start` [C] is what it
    answers before it has learned anything.
    """

    def __init__(self, spec: SparseTSF, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.period, self.horizon = spec.period, shape.horizon
        self.short = -shape.lookback % spec.period
        self.before, ahead = (shape.lookback + self.short) // spec.period, -(-shape.horizon // spec.period)
        self.around = nn.Parameter(torch.zeros(1, 1, 2 * (spec.period // 2) + 1))
        width = spec.hidden or self.before
        self.hidden = nn.Sequential(nn.Linear(self.before, width), nn.ReLU()) if spec.hidden else nn.Identity()
        self.answer = answer_layer(width, ahead, start=start)
        self.outputs = (ahead, len(start))

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        window = fill_gaps(values, seen).unsqueeze(1)
        window = window + functional.conv1d(window, self.around, padding=self.period // 2)
        places = functional.pad(window, (self.short, 0)).reshape(-1, self.before, self.period).transpose(1, 2)
        answer: Tensor = self.answer(self.hidden(places)).transpose(1, 2)  # [N, A C, W]
        steps = answer.reshape(-1, *self.outputs, self.period).transpose(2, 3)
        return steps.reshape(-1, self.outputs[0] * self.period, self.outputs[1])[:, : self.horizon]
