"""Fixed bases of the blocks of N-BEATS and N-HiTS: one matrix over the lookback, one over the horizon.

L lookback, H horizon, J terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tidewright.models.torch.shape import Shape


@dataclass(frozen=True, eq=False, slots=True)
class Bases:
    """What a block's coefficients multiply: `backcast` [J, L] and `forecast` [J', H]."""

    backcast: Tensor
    forecast: Tensor


def polynomial_bases(shape: Shape, degree: int) -> Bases:
    """Powers 0 to `degree` of time, which goes from above 0 to 1."""
    return _both(shape, lambda length: polynomial(length, degree))


def fourier_bases(shape: Shape, harmonics: int) -> Bases:
    """A constant, cosines and sines up to the `harmonics`-th, as far as a row of that length can tell them apart."""
    return _both(shape, lambda length: fourier(length, harmonics))


def line_bases(shape: Shape, stride: int) -> Bases:
    """One knot every `stride` steps, joined by straight lines."""
    return _both(shape, lambda length: hats(length, stride))


def polynomial(length: int, degree: int) -> Tensor:
    """Powers of time [degree + 1, length].

    >>> polynomial(4, 1)
    tensor([[1.0000, 1.0000, 1.0000, 1.0000],
            [0.2500, 0.5000, 0.7500, 1.0000]])
    """
    time = torch.arange(1, length + 1, dtype=torch.float64) / length
    return torch.stack([time**power for power in range(degree + 1)]).float()


def fourier(length: int, harmonics: int) -> Tensor:
    """Cosines from the 0th on, then sines from the 1st on [J, length]."""
    most = min(harmonics, (length - 1) // 2)  # the sine at half the sampling rate would be all 0
    angle = 2 * math.pi * torch.arange(length, dtype=torch.float64) / length
    cosines = [torch.cos(angle * number) for number in range(most + 1)]
    return torch.stack(cosines + [torch.sin(angle * number) for number in range(1, most + 1)]).float()


def hats(length: int, stride: int) -> Tensor:
    """The weights of evenly spaced knots [J, length]; a column's sum is 1.

    >>> hats(5, 2)
    tensor([[1.0000, 0.5000, 0.0000, 0.0000, 0.0000],
            [0.0000, 0.5000, 1.0000, 0.5000, 0.0000],
            [0.0000, 0.0000, 0.0000, 0.5000, 1.0000]])
    """
    knots = -(-length // stride)
    if knots == 1:
        return torch.ones(1, length)
    places = torch.arange(length, dtype=torch.float64) * (knots - 1) / (length - 1)
    distance = (places - torch.arange(knots, dtype=torch.float64).unsqueeze(1)).abs()
    return (1.0 - distance).clamp(min=0.0).float()


def _both(shape: Shape, make: Callable[[int], Tensor]) -> Bases:
    return Bases(make(shape.lookback), make(shape.horizon))
