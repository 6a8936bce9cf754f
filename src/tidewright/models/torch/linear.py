"""Linear networks: the lookback's values times one matrix or two.

N windows, L lookback, H horizon, C output columns (quantiles or the point). Values are standardised by window already,
so that RLinear is one matrix, and the mean that DLinear and NLinear are given is 0.

A missing step is filled, by `mean_nearby`, with the mean of the observed ones up to half a kernel away: a matrix has no
way to leave a step out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tidewright.models.specs.linear import DLinear, NLinear, RLinear
from tidewright.models.torch.dense import answer_layer
from tidewright.models.torch.shape import Shape

NEARBY = 25  # steps of the mean that fills a gap, as DLinear's usual kernel
LEAST_GAIN = 1e-2  # what reversing an affine normalisation divides by at least


class DLinearCore(nn.Module):
    """Scores [N, H, C]: `answer` on the moving average plus `season` on what it leaves.

    The moving average repeats the ends of the window, as in the paper; so that a kernel may be wider than it;
    the two biases of the paper are one.
    """

    def __init__(self, spec: DLinear, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.kernel, self.outputs = spec.kernel, (shape.horizon, len(start))
        self.answer = answer_layer(shape.lookback, shape.horizon, start=start)
        self.season = nn.Linear(shape.lookback, shape.horizon * len(start), bias=False)
        nn.init.normal_(self.season.weight, std=0.01)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        trend = mean_nearby(values, seen, self.kernel)
        answer: Tensor = self.answer(trend) + self.season((values - trend) * seen)
        return answer.reshape(-1, *self.outputs)


class NLinearCore(nn.Module):
    """Scores [N, H, C]: the last observed value plus `answer` on the window less that value."""

    def __init__(self, spec: NLinear, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.outputs = (shape.horizon, len(start))
        self.answer = answer_layer(shape.lookback, shape.horizon, start=start)

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        last = last_observed(values, seen)
        answer: Tensor = self.answer(fill_gaps(values, seen) - last) + last
        return answer.reshape(-1, *self.outputs)


class RLinearCore(nn.Module):
    """Scores [N, H, C]: `answer` on the window; with `affine`, times `gain` plus `offset` before, undone after."""

    def __init__(self, spec: RLinear, shape: Shape, *, start: tuple[float, ...]) -> None:
        super().__init__()
        self.affine, self.outputs = spec.affine, (shape.horizon, len(start))
        self.answer = answer_layer(shape.lookback, shape.horizon, start=start)
        if spec.affine:
            self.gain, self.offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def forward(
        self, values: Tensor, seen: Tensor, past: Tensor | None, known: Tensor | None, static: Tensor | None
    ) -> Tensor:
        window = fill_gaps(values, seen)
        if self.affine:
            answer: Tensor = (self.answer(window * self.gain + self.offset) - self.offset) / keep_off_zero(self.gain)
        else:
            answer = self.answer(window)
        return answer.reshape(-1, *self.outputs)


def keep_off_zero(gain: Tensor) -> Tensor:
    """Gains that can be divided by: at least `LEAST_GAIN` away from 0, with their sign."""
    small = torch.where(gain < 0, -LEAST_GAIN, LEAST_GAIN)
    return torch.where(gain.abs() < LEAST_GAIN, small, gain)


def mean_nearby(values: Tensor, seen: Tensor, kernel: int) -> Tensor:
    """The centred moving average [N, L] of the observed values, the ends of the window repeated; 0 where none is near.

    `kernel` is odd. `values` are 0 where `seen` is.

    >>> mean_nearby(torch.tensor([[1.0, 0.0, 3.0, 5.0]]), torch.tensor([[1.0, 0.0, 1.0, 1.0]]), 3)
    tensor([[1.0000, 2.0000, 4.0000, 4.3333]])
    """
    both, half = torch.stack([values, seen], dim=1), kernel // 2
    padded = torch.cat([both[:, :, :1].expand(-1, -1, half), both, both[:, :, -1:].expand(-1, -1, half)], dim=2)
    total, share = _moving_sum(padded, kernel).unbind(dim=1)
    near = share > 0
    return torch.where(near, total / torch.where(near, share, torch.ones_like(share)), torch.zeros_like(total))


def _moving_sum(rows: Tensor, kernel: int) -> Tensor:
    """Sums of `kernel` steps along the last dimension, out of sums of 1, 2, 4, 8: a fifth of avg_pool1d's time."""
    length = rows.shape[-1] - kernel + 1
    doubled, size, done = rows, 1, 0
    total = torch.zeros_like(rows[..., :length])
    while True:
        if kernel & size:
            total = total + doubled[..., done : done + length]
            done += size
        if done == kernel:
            return total
        doubled, size = doubled[..., :-size] + doubled[..., size:], 2 * size


def fill_gaps(values: Tensor, seen: Tensor) -> Tensor:
    """The window [N, L] with the mean of what is nearby where it is missing; 0 (its mean) where nothing is near."""
    return values + (1.0 - seen) * mean_nearby(values, seen, NEARBY)


def last_observed(values: Tensor, seen: Tensor) -> Tensor:
    """The last value [N, 1] that is there; 0 where none is.

    >>> last_observed(torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([[1.0, 1, 0], [0.0, 0, 0]]))
    tensor([[2.],
            [0.]])
    """
    steps = torch.arange(1, values.shape[1] + 1, dtype=values.dtype, device=values.device)
    return values.gather(1, (seen * steps).argmax(dim=1, keepdim=True))
