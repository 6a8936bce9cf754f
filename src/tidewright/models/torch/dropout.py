"""`Dropout`: torch's own, but for the draws on a CPU, which cost it more than a small network's matrix products."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

STATES = 65_536  # of the sixteen random bits that each number gets


class Dropout(nn.Module):
    """Sets a share of the numbers to 0 in training and scales the others up (Srivastava et al. 2014).

    On a CPU four numbers share one 64-bit draw of torch's generator (`share` is rounded to 1/65,536), which makes a
    step of 688,000 numbers forward and back 4 times cheaper than `nn.Dropout`'s; elsewhere it is `nn.Dropout`.

    >>> Dropout(0.5).eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.dropped = max(1, round(share * STATES)) if share > 0 else 0  # so many of the states of a number's bits

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.dropped:
            return values
        if values.device.type != "cpu" or torch.compiler.is_compiling():  # which makes wrong code of the view as int16
            return dropout(values, self.share)
        bits = draw_bits(values.shape)
        kept = torch.ge(bits, self.dropped - STATES // 2, out=torch.empty_like(bits, dtype=values.dtype))
        return values * kept.mul_(STATES / (STATES - self.dropped))


def draw_bits(shape: torch.Size) -> Tensor:
    """Sixteen random bits for each number, as integers from -32,768 to 32,767."""
    count = shape.numel()
    draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return draws.view(torch.int16)[:count].view(shape)
