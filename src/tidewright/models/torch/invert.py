"""Where a rising function reaches a value: a search with a fixed number of steps, so that it exports to ONNX."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

POINTS, ROUNDS = 8, 5  # 9^5 parts of the bracket, and a straight line within the last one


def invert(rises: Callable[[Tensor], Tensor], wanted: Tensor, *, low: Tensor, high: Tensor) -> Tensor:
    """The x [...] between `low` and `high` [...] at which a rising function is `wanted` (of a shape that fits).

    `rises` is asked for many x [..., X] at once. Where the function is flat, any of its places there is given.

    >>> low = torch.zeros(1)
    >>> round(float(invert(lambda x: x * x, torch.tensor(2.0), low=low, high=low + 2.0)), 5)
    1.41421
    """
    wanted = (wanted + torch.zeros_like(low)).unsqueeze(-1)
    parts = torch.arange(1, POINTS + 1, device=low.device).to(low.dtype) / (POINTS + 1)
    low, width = low.unsqueeze(-1), (high - low).unsqueeze(-1)
    for _ in range(ROUNDS):
        below = (rises(low + width * parts) < wanted).to(low.dtype).sum(dim=-1, keepdim=True)
        width = width / (POINTS + 1)
        low = low + width * below
    first, last = rises(torch.cat([low, low + width], dim=-1)).chunk(2, dim=-1)
    share = (wanted - first) / (last - first).clamp(min=1e-30)
    return (low + width * share.clamp(0.0, 1.0)).squeeze(-1)
