"""What a network that goes step by step reads of a window, and what its head is given beside the last state.

N windows, L lookback, H horizon, P past, K known, M static features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tidewright.models.torch.shape import Shape


def step_width(shape: Shape) -> int:
    """The features of one step of `stack_steps`: value, mask, past and known."""
    return 2 + shape.past + shape.known


def stack_steps(values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None) -> Tensor:
    """The steps of the lookback [N, L, 2 + P + K]: value, mask, past features and known ones side by side."""
    steps = [values.unsqueeze(2), seen.unsqueeze(2)]
    if past is not None:
        steps.append(past)
    if known is not None:
        steps.append(known[:, : values.shape[1]])
    return torch.cat(steps, dim=2)


def ahead_width(shape: Shape) -> int:
    """How much `add_ahead` adds to a state."""
    return shape.horizon * shape.known + shape.static


def add_ahead(*states: Tensor, lookback: int, known: Tensor | None, static: Tensor | None) -> Tensor:
    """The states [N, W], then the known features over the horizon, flattened, and the static ones."""
    parts = list(states)
    if known is not None:
        parts.append(known[:, lookback:].flatten(1))
    if static is not None:
        parts.append(static)
    return torch.cat(parts, dim=1)
