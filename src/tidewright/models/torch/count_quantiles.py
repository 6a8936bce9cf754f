"""Quantiles of the negative binomial distribution in plain arithmetic, so that they export to ONNX.

N windows, H horizon, Q quantiles. Everything is float64: float32 has too few digits for a difference of logarithms
of large counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tidewright.models.torch.invert import invert

EXACT = 64  # counts below this are summed one by one
SERIES = 1e-3  # below it a logarithm and a hyperbolic sine are taken by their series
NEAR = 0.02  # standard deviations about the mean within which the correction is taken at their edge


def count_quantiles(mean: Tensor, dispersion: Tensor, *, levels: Tensor, normal: Tensor) -> Tensor:
    """Quantiles [N, H, Q] of counts with mean [N, H] and variance mean + dispersion * mean^2.

    At `levels` [Q], ascending, given with the normal distribution's quantiles there.

    They are continuous, 0 or more: rounded to the nearest whole number they are the distribution's own quantile, and
    a forecast that moves a little moves them a little. Below 64 the probabilities are summed one by one. Above,
    the distribution function is that of Lugannani and Rice (1980) in Barndorff-Nielsen's form with the second
    continuity correction of Daniels (1987); the level of its quantiles is off by at most 0.0003 for a dispersion up to
    0.2, 0.002 up to 1, 0.007 at 2 and 0.03 at 4 (means up to a million, levels from 0.005 to 0.995).

    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> levels = torch.tensor([0.1, 0.5, 0.99], dtype=torch.float64)
    >>> count_quantiles(3.0 * one, 0.5 * one, levels=levels, normal=torch.special.ndtri(levels)).round().tolist()
    [[[0.0, 2.0, 12.0]]]
    """
    mean, shape = mean.double().unsqueeze(2), 1.0 / dispersion.double().unsqueeze(2)
    small, reached = _sum_up(mean, shape, levels)
    large = _solve(mean, shape, levels=levels, normal=normal)
    return torch.where(reached, small, large)


def _sum_up(mean: Tensor, shape: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """The quantiles as far as the first counts reach, and whether they do, [N, H, Q] each."""
    counts = torch.arange(EXACT - 1, dtype=torch.float64, device=mean.device)
    none = shape * torch.log(shape / (shape + mean))  # log P(0)
    growth = torch.log((counts + shape) / (counts + 1.0)) + torch.log(mean / (shape + mean))
    chance = torch.exp(torch.cat([none, none + torch.cumsum(growth, dim=2)], dim=2))  # [N, H, EXACT]
    upto = torch.cumsum(chance, dim=2).unsqueeze(2)
    chance = chance.unsqueeze(2)
    share = (levels.unsqueeze(1) - (upto - chance)) / chance.clamp(min=1e-300)
    quantiles = (share.clamp(0.0, 1.0).sum(dim=3) - 0.5).clamp(min=0.0)
    return quantiles, upto[..., -1] >= levels


def _solve(mean: Tensor, shape: Tensor, *, levels: Tensor, normal: Tensor) -> Tensor:
    """The quantiles above the first counts, sought by their cube roots, which are nearly normal; Markov's inequality
    is the bracket."""
    low = torch.full_like(mean, EXACT) ** (1 / 3) + torch.zeros_like(levels)
    high = torch.maximum((mean / (1.0 - levels) + 1.0) ** (1 / 3), low)
    mean, shape = mean.unsqueeze(3), shape.unsqueeze(3)
    near = _correct_about(mean, shape)
    return invert(lambda root: normal_score(root**3, mean, shape, near=near), normal, low=low, high=high) ** 3


def normal_score(value: Tensor, mean: Tensor, shape: Tensor, *, near: tuple[Tensor, Tensor]) -> Tensor:
    """The normal distribution's quantile at the level P(count < value), value above 0 and midway between counts."""
    root, width = _signed_root(value, mean, shape)
    edge = NEAR * torch.sqrt(mean + mean * mean / shape)
    apart = value - mean
    inside = apart.abs() < edge
    safe = torch.where(inside, torch.ones_like(root), root)
    correction = torch.log(torch.where(inside, torch.ones_like(width), width / safe)) / safe
    between = torch.where(apart < 0, near[0], near[1])
    return root + torch.where(inside, between, correction)


def _correct_about(mean: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """The correction just below and just above the mean, where its own formula is 0 / 0."""
    edge = NEAR * torch.sqrt(mean + mean * mean / shape)
    found = []
    for side in (-1.0, 1.0):
        root, width = _signed_root((mean + side * edge).clamp(min=1e-3), mean, shape)
        # a mean so small that the edge lies below 0 has no quantile here: any finite number will do
        safe = torch.where(root.abs() > 1e-6, root, torch.full_like(root, side))
        found.append(torch.log((width / safe).clamp(min=1e-6)) / safe)
    return found[0], found[1]


def _signed_root(value: Tensor, mean: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """The signed root of the deviance at a value, and the saddlepoint's width in the same sign."""
    tilt = log_one_plus(shape * (value - mean) / (mean * (value + shape)))
    deviance = value * tilt - shape * log_one_plus((value - mean) / (mean + shape))
    sign = torch.where(value < mean, -torch.ones_like(value), torch.ones_like(value))
    # 2 sinh(tilt / 2): ONNX Runtime has sinh in float32 alone
    lean = torch.where(tilt.abs() < SERIES, tilt, torch.exp(0.5 * tilt) - torch.exp(-0.5 * tilt))
    return sign * torch.sqrt(2.0 * deviance.clamp(min=0.0)), lean * torch.sqrt(value + value * value / shape)


def log_one_plus(x: Tensor) -> Tensor:
    """log(1 + x) that keeps its digits near 0 in ONNX too, where log1p is the logarithm of a rounded sum.

    >>> log_one_plus(torch.tensor(1e-12, dtype=torch.float64)).item()
    9.999999999995e-13
    """
    t = x / (2.0 + x)  # log(1 + x) = 2 artanh(t)
    square = t * t
    series = 2.0 * t * (1.0 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7))))
    return torch.where(x.abs() < SERIES, series, torch.log((1.0 + x).clamp(min=1e-300)))
