"""iTransformer: attention between the target and its covariates, each one token.

N windows, L lookback, H horizon, P past, K known, M static features, D width, C output columns.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from tidewright.models.specs.attention import ITransformer
from tidewright.models.torch.attention import Layer, bar
from tidewright.models.torch.dense import answer_layer
from tidewright.models.torch.dropout import Dropout
from tidewright.models.torch.shape import Shape


class VariateCore(nn.Module):
    """Scores [N, H, C] from the target's token, after it has attended to those of the covariates.

    A variate without any value is no token. `start` [C] is what it answers before it has learned anything.
    """

    recomputed: ClassVar[tuple[str, ...]] = ("layers",)

    def __init__(self, spec: ITransformer, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        width, lookback = spec.d_model, shape.lookback
        self.outputs = (shape.horizon, len(start))
        self.embed = nn.Linear(2 * lookback, width)
        nn.init.zeros_(self.embed.weight[:, lookback:])  # a gap says nothing until one was learned from
        self.embed_past = nn.Linear(lookback + 2, width) if shape.past else None
        self.embed_known = nn.Linear(lookback + shape.horizon + 2, width) if shape.known else None
        self.embed_static = nn.Linear(shape.static, width) if shape.static else None
        variates = 1 + shape.past + shape.known + bool(shape.static)
        self.identity = nn.Parameter(torch.empty(variates, width).normal_(std=0.02)) if spec.identity else None
        self.drop = Dropout(spec.dropout)
        self.layers = nn.ModuleList(
            Layer(width, spec.nhead, hidden=spec.dim_feedforward, dropout=spec.dropout, first=False)
            for _ in range(spec.layers)
        )
        self.answer = answer_layer(width, shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        tokens = [self.embed(torch.cat([values, 1.0 - seen], dim=1)).unsqueeze(1)]
        there = [seen.amax(dim=1, keepdim=True)]
        for layer, covariates in ((self.embed_past, past), (self.embed_known, known)):
            if layer is not None and covariates is not None:
                course, told = standardise_covariates(covariates)
                tokens.append(layer(course))
                there.append(told)
        if self.embed_static is not None and static is not None:
            tokens.append(self.embed_static(static).unsqueeze(1))
            there.append(torch.ones_like(there[0]))
        answer: Tensor = self.answer(self._attend(torch.cat(tokens, dim=1), bar(torch.cat(there, dim=1))))
        return answer.reshape(-1, *self.outputs)

    def _attend(self, tokens: Tensor, barred: Tensor) -> Tensor:
        """The target's token [N, D] after all layers."""
        tokens = self.drop(tokens if self.identity is None else tokens + self.identity)
        for layer in self.layers[:-1]:
            tokens = layer(tokens, barred)
        target: Tensor = self.layers[-1](tokens, barred, only=slice(0, 1))  # nobody reads the others
        return target.flatten(1)


def standardise_covariates(steps: Tensor) -> tuple[Tensor, Tensor]:
    """Each covariate's course [N, F, T + 2] from [N, T, F], and whether it was seen at all [N, F].

    T standardised values, then their level and spread. A 0 is taken for missing: it is what missing becomes, and
    stays 0.

    >>> standardise_covariates(torch.tensor([[[1.0], [3.0], [0.0]]]))[0]
    tensor([[[-1.0000,  1.0000,  0.0000,  2.0000,  1.0000]]])
    """
    steps = steps.transpose(1, 2)
    there = (steps != 0).to(steps.dtype)
    count = there.sum(dim=2, keepdim=True).clamp(min=1.0)
    level = steps.sum(dim=2, keepdim=True) / count
    centred = torch.where(steps != 0, steps - level, torch.zeros_like(steps))
    spread = torch.sqrt((centred * centred).sum(dim=2, keepdim=True) / count + 1e-5)
    return torch.cat([centred / spread, level, spread], dim=2), there.amax(dim=2)
