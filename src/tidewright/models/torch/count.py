"""How many numbers a network learns at a given shape, counted without memory for them."""

from __future__ import annotations

import torch

from tidewright.models.spec import ModelSpec
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape


def count_weights(spec: ModelSpec, shape: Shape) -> int:
    """The network's parameters.

    >>> from tidewright.models.spec import FeedForward
    >>> shape = Shape(lookback=8, horizon=2, past=0, known=0, static=0, quantiles=(0.5,))
    >>> count_weights(FeedForward(hidden=(4,)), shape) == (16 * 4 + 4) + (4 * 2 + 2)
    True
    """
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(spec, shape).parameters())
