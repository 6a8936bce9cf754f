"""`ForecastNet`: raw history in, quantiles on the original scale out, with every scaling inside the graph.

N windows, L lookback, H horizon, P past, K known and M static features, Q quantiles.
"""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import Tensor, nn

from tidewright.models.spec import NETWORKS, ModelSpec
from tidewright.models.torch.shape import Shape

LARGEST = 1e30  # a larger number counts as missing: its scale would leave float32
FLAT = 1e-6  # a standard deviation below this share of the largest value is rounding, not movement


def build(spec: ModelSpec, shape: Shape, *, point: bool = False) -> ForecastNet:
    """An untrained network; its weights come from torch's generator. Raises `UnknownNameError`.

    With `point` the core learns the median alone, and the quantiles are the median plus the buffer `spread`
    [H, Q].

    >>> from tidewright.models.spec import FeedForward
    >>> shape = Shape(lookback=8, horizon=2, past=0, known=0, static=0, quantiles=(0.1, 0.5, 0.9))
    >>> build(FeedForward(hidden=(4,)), shape)(torch.ones(5, 8)).shape
    torch.Size([5, 2, 3])
    """
    # a start at the normal distribution's quantiles: a window's values are standardised
    start = (0.0,) if point else tuple(NormalDist().inv_cdf(level) for level in shape.quantiles)
    return ForecastNet(NETWORKS.load(spec.name)(spec, shape, start=start), shape, point=point)


class ForecastNet(nn.Module):
    """A core with its scalings. Inputs are float32, NaN where missing; an input without features is left out.

    Each window's target is standardised by its own observed values; covariates by the buffers, which hold the
    mean and the scale of each over the training rows. A window that does not move is scaled by `usual_scale`.
    """

    def __init__(self, core: nn.Module, shape: Shape, *, point: bool = False) -> None:
        super().__init__()
        self.core, self.shape, self.point = core, shape, point
        self.usual_scale: Tensor
        self.spread: Tensor
        self.register_buffer("usual_scale", torch.ones(()))
        if point:
            self.register_buffer("spread", torch.zeros(shape.horizon, len(shape.quantiles)))
        for name in shape.inputs[1:]:
            width = getattr(shape, name)
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_scale", torch.ones(width))

    def forward(
        self,
        target: Tensor,
        past: Tensor | None = None,
        known: Tensor | None = None,
        static: Tensor | None = None,
    ) -> Tensor:
        """Quantiles [N, H, Q] from target [N, L], past [N, L, P], known [N, L + H, K] and static [N, M]."""
        scores, mean, scale = self.score(target, past, known, static)
        if self.point:
            scores = scores + self.spread
        ordered, _ = torch.sort(scores, dim=2)  # crossing quantiles, put in order (Chernozhukov et al. 2010)
        return mean.unsqueeze(2) + scale.unsqueeze(2) * ordered

    def score(
        self,
        target: Tensor,
        past: Tensor | None = None,
        known: Tensor | None = None,
        static: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The core's answer [N, H, Q] (point: [N, H, 1]) on standardised windows; mean and scale [N, 1]."""
        values, seen, mean, scale = standardise(target, self.usual_scale)
        scores: Tensor = self.core(
            values,
            seen,
            self._scaled("past", past),
            self._scaled("known", known),
            self._scaled("static", static),
        )
        return scores, mean, scale

    def _scaled(self, name: str, values: Tensor | None) -> Tensor | None:
        """A covariate in units of its training rows; 0, their mean, where it is missing."""
        if values is None:
            return None
        scaled = (values - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_scale")
        return torch.where(scaled.abs() <= LARGEST, scaled, torch.zeros_like(scaled))


def standardise(target: Tensor, usual: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardised windows [N, L] (0 where missing), their mask [N, L], mean and scale [N, 1].

    Sums are taken in units of the largest value, so that neither 1e25 nor 1e-25 leaves float32.
    """
    zero = torch.zeros_like(target)
    observed = target.abs() <= LARGEST  # False for NaN
    seen = observed.to(target.dtype)
    count = seen.sum(dim=1, keepdim=True).clamp(min=1.0)
    filled = torch.where(observed, target, zero)
    peak = filled.abs().amax(dim=1, keepdim=True)
    peak = torch.where(peak > 0, peak, torch.ones_like(peak))
    filled = filled / peak
    mean = filled.sum(dim=1, keepdim=True) / count
    centred = (filled - mean) * seen
    deviation = torch.sqrt((centred * centred).sum(dim=1, keepdim=True) / count)
    moves = deviation > FLAT
    scale = torch.where(moves, deviation * peak, usual)
    values = centred * torch.where(moves, 1.0 / deviation.clamp(min=FLAT), torch.zeros_like(deviation))
    return values, seen, mean * peak, scale
