"""The running mean of a network's weights, which is smoother than the weights themselves and often better."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tidewright.models.torch.network import ForecastNet, copy_network


@dataclass(frozen=True, eq=False, slots=True)
class Average:
    """A second network whose weights follow the first's: each step keeps `decay` of what it has.

    Early steps keep less, min(decay, (1 + step) / (10 + step)), or the untrained weights would be in the mean for
    long. Buffers that are learned too (the statistics of batch normalisation) follow likewise; counts are copied.
    """

    network: ForecastNet
    decay: float
    pairs: tuple[tuple[Tensor, Tensor], ...]  # its own tensors and those they follow

    def follow(self, step: int) -> None:
        """Takes in the weights as they are after a step, counted from 0."""
        weight = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        own = [mine for mine, _ in self.pairs if mine.is_floating_point()]
        theirs = [other for mine, other in self.pairs if mine.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_(own, theirs, weight)
            for mine, other in self.pairs:
                if not mine.is_floating_point():
                    mine.copy_(other)


def open_average(network: ForecastNet, decay: float, *, own: ForecastNet | None = None) -> Average | None:
    """The mean of a network's weights, which begins at what they are; None where `decay` is 0.

    `own` is the network that will hold it (default: a copy), which has the same weights.
    """
    if not decay:
        return None
    own = (own or copy_network(network)).eval().requires_grad_(False)
    theirs = network.state_dict()
    return Average(own, decay, tuple((tensor, theirs[name]) for name, tensor in own.state_dict().items()))
