"""One step of many networks side by side, each at its own rate, decay and clip.

M members; every parameter has a leading dimension M.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tidewright.training.optimizers import open_optimizer
from tidewright.training.spec import TrainSpec


class Steps:
    """The optimiser of all members.

    torch's own step, at rate 1 and on blocks of zeros, gives the moves; each member then makes its own at its own rate.
    The members' specs differ in weight_decay and clip alone, as far as they count here.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], trains: Sequence[TrainSpec]) -> None:
        self.parameters, self.trains = list(parameters), list(trains)
        self._blocks = [parameter.detach().view(len(trains), -1) for parameter in self.parameters]  # [M, W]
        self._moves = [nn.Parameter(torch.zeros_like(block)) for block in self._blocks]
        self._optimizer = open_optimizer(replace(trains[0], learning_rate=1.0, weight_decay=0.0), self._moves)
        self._decoupled = trains[0].optimizer == "adamw"
        self._clip = self._column([train.clip for train in trains])
        self._clips = any(train.clip < math.inf for train in trains)
        self._decay = self._column([train.weight_decay for train in trains])
        self._decays = any(train.weight_decay for train in trains)

    @torch.no_grad()
    def take(self, gradients: Sequence[Tensor], rates: Tensor) -> None:
        """Moves every member against its gradients, which it may overwrite, at its rate [M, 1]."""
        slopes = [slope.reshape(block.shape) for slope, block in zip(gradients, self._blocks, strict=True)]
        if self._clips:
            self._clip_each(slopes)
        for block, move, slope in zip(self._blocks, self._moves, slopes, strict=True):
            if self._decays and not self._decoupled:
                slope.addcmul_(self._decay, block)
            move.grad = slope
        self._optimizer.step()
        shrink = self._decay * -rates
        for block, move in zip(self._blocks, self._moves, strict=True):
            if self._decays and self._decoupled:
                block.addcmul_(block, shrink)
            block.addcmul_(move, rates)
            move.zero_()

    def keep(self, rows: Tensor, parameters: Sequence[nn.Parameter]) -> Steps:
        """The same optimiser of only the members at `rows`, whose parameters these are."""
        kept = Steps(parameters, [self.trains[row] for row in rows.tolist()])
        for before, after in zip(self._moves, kept._moves, strict=True):
            for name, held in self._optimizer.state[before].items():
                whole = isinstance(held, Tensor) and held.shape == before.shape
                kept._optimizer.state[after][name] = held.index_select(0, rows) if whole else held
        return kept

    def _clip_each(self, slopes: Sequence[Tensor]) -> None:
        """Shortens each member's whole gradient to its largest norm, as torch's `clip_grad_norm_` does."""
        norms = torch.stack([torch.linalg.vector_norm(slope, dim=1) for slope in slopes])
        norm = torch.linalg.vector_norm(norms, dim=0).unsqueeze(1)
        factor = (self._clip / (norm + 1e-6)).clamp(max=1.0)
        for slope in slopes:
            slope.mul_(factor)

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self._blocks[0].device).unsqueeze(1)
