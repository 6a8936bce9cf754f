"""LEAR: some seasons of the lookback, and what is known of them and of the horizon, times one matrix.

N windows, L lookback, H horizon, W numbers of a row, C output columns (quantiles or the point).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tidewright.models.specs.lear import Lear
from tidewright.models.torch.dense import answer_layer
from tidewright.models.torch.shape import Shape

FARTHEST = 12.0  # the answer before the hyperbolic sine: 80,000 deviations of the window


class LearCore(nn.Module):
    """Scores [N, H, C] from one row: target, past and known features of the seasons, and what is known of the horizon.

    `start` [C] is what it answers before it has learned anything. training/fit_lear solves its matrix.
    """

    def __init__(self, spec: Lear, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.runs = season_runs(spec.lags, season=spec.season, lookback=shape.lookback)
        self.lookback, self.squash, self.outputs = shape.lookback, spec.squash, (shape.horizon, len(start))
        steps = sum(stop - first for first, stop in self.runs)
        width = steps * (2 + shape.past + shape.known) + shape.horizon * shape.known + shape.static
        self.answer = answer_layer(width, shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        answer: Tensor = self.answer(self.row(values, seen, past, known, static))
        if self.squash:
            answer = torch.sinh(answer.clamp(-FARTHEST, FARTHEST))
        return answer.reshape(-1, *self.outputs)

    def row(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        """What the matrix is given [N, W]."""
        parts = [self._pick(values), *(self._pick(part) for part in (past, known) if part is not None)]
        if known is not None:
            parts.append(known[:, self.lookback :])
        if static is not None:
            parts.append(static)
        numbers = torch.cat([part.flatten(1) for part in parts], dim=1)
        return torch.cat([torch.asinh(numbers) if self.squash else numbers, 1.0 - self._pick(seen)], dim=1)

    def _pick(self, steps: Tensor) -> Tensor:
        """The seasons' rows of [N, L, ...]."""
        return torch.cat([steps[:, first:stop] for first, stop in self.runs], dim=1)


def season_runs(lags: tuple[int, ...], *, season: int, lookback: int) -> tuple[tuple[int, int], ...]:
    """Where in the lookback the seasons stand, as (first, stop), the oldest first; its last row where it has none.

    >>> season_runs((1, 3), season=4, lookback=10)
    ((0, 2), (6, 10))
    """
    found = [(max(lookback - lag * season, 0), lookback - (lag - 1) * season) for lag in sorted(lags, reverse=True)]
    return tuple(run for run in found if run[1] > 0) or ((lookback - 1, lookback),)
