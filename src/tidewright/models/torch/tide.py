"""TiDE: a dense encoder and decoder, and one matrix from the window straight to the answer.

N windows, L lookback, H horizon, P past, K known, M static features, C output columns (quantiles or the point).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tidewright.models.specs.mixer import TiDE
from tidewright.models.torch.dense import answer_layer
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.shape import Shape


class ResidualBlock(nn.Module):
    """A hidden layer with relu, plus a matrix from input to output; layer normalisation last, if asked for."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, dropout: float, layer_norm: bool) -> None:
        super().__init__()
        self.dense = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs), Dropout(dropout))
        self.skip = nn.Linear(inputs, outputs, bias=False)
        self.norm = nn.LayerNorm(outputs) if layer_norm else nn.Identity()

    def forward(self, rows: Tensor) -> Tensor:
        answer: Tensor = self.norm(self.dense(rows) + self.skip(rows))
        return answer


class TiDECore(nn.Module):
    """Scores [N, H, C]: each step's block on its decoded numbers and its known features, plus `answer` on the window.

    The last block is never normalised: over one number a normalisation would leave its offset alone.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("coder",)

    def __init__(self, spec: TiDE, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.lookback, self.outputs = shape.lookback, (shape.horizon, len(start))
        self.decoded = (shape.horizon, spec.decoder_width)
        free: dict[str, Any] = {"dropout": spec.dropout, "layer_norm": spec.layer_norm}
        self.past = ResidualBlock(shape.past, spec.width, spec.step_width, **free) if shape.past else None
        self.known = ResidualBlock(shape.known, spec.width, spec.step_width, **free) if shape.known else None
        width = 2 * shape.lookback + shape.static
        width += spec.step_width * (shape.lookback * bool(shape.past))
        width += spec.step_width * ((shape.lookback + shape.horizon) * bool(shape.known))
        last = shape.horizon * spec.decoder_width
        sizes = [width, *[spec.width] * (spec.encoder_layers + spec.decoder_layers - 1), last]
        self.coder = nn.Sequential(
            *(ResidualBlock(before, spec.width, after, **free) for before, after in pairwise(sizes))
        )
        self.step = ResidualBlock(
            spec.decoder_width + spec.step_width * bool(shape.known),
            spec.final_width,
            len(start),
            dropout=spec.dropout,
            layer_norm=False,
        )
        nn.init.normal_(self.step.skip.weight, std=0.01)
        nn.init.normal_(self.step.dense[2].weight, std=0.01)  # type: ignore[arg-type]  # a linear layer's weight
        nn.init.zeros_(self.step.dense[2].bias)  # type: ignore[arg-type]  # likewise
        self.answer = answer_layer(shape.lookback, shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        parts = [values, seen]
        if self.past is not None:
            parts.append(self.past(past).flatten(1))
        reduced = self.known(known) if self.known is not None else None
        if reduced is not None:
            parts.append(reduced.flatten(1))
        if static is not None:
            parts.append(static)
        steps = self.coder(torch.cat(parts, dim=1)).reshape(-1, *self.decoded)
        if reduced is not None:
            steps = torch.cat([steps, reduced[:, self.lookback :]], dim=2)
        answer: Tensor = self.step(steps) + self.answer(values).reshape(-1, *self.outputs)
        return answer
