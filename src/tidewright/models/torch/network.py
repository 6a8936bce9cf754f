"""`ForecastNet`: raw history in, quantiles on the original scale out, with every scaling inside the graph.

N windows, L lookback, H horizon, P past, K known and M static features, Q quantiles.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from tidewright.models.spec import NETWORKS, ModelSpec
from tidewright.models.torch.heads import Head, QuantileHead, open_head
from tidewright.models.torch.shape import Shape

LARGEST = 1e30  # a larger number counts as missing: its scale would leave float32
FLAT = 1e-6  # a standard deviation below this share of the largest value is rounding, not movement
LEAST_SPREAD = 0.1  # deviations of the training rows: a quieter window does not blow a covariate up further
FARTHEST = 1e15  # deviations that a covariate counts as at most where the window's moments are taken


def build(
    spec: ModelSpec, shape: Shape, *, head: str = "quantile", components: int | None = None, relative: bool = False
) -> ForecastNet:
    """An untrained network; its weights come from torch's generator. Raises `UnknownNameError`.

    `head` says what its scores mean (see heads.py), `components` of how many normal distributions a mixture is;
    `relative` is the view's.

    >>> from tidewright.models.spec import FeedForward
    >>> shape = Shape(lookback=8, horizon=2, past=0, known=0, static=0, quantiles=(0.1, 0.5, 0.9))
    >>> build(FeedForward(hidden=(4,)), shape)(torch.ones(5, 8)).shape
    torch.Size([5, 2, 3])
    """
    made = open_head(head, shape, components=components)
    return ForecastNet(NETWORKS.load(spec.name)(spec, shape, start=made.start), shape, head=made, relative=relative)


def copy_network(network: ForecastNet) -> ForecastNet:
    """A copy with weights of its own, where those of a recurrent layer lie in one piece: else cuDNN puts them together
    at every call, and warns of it."""
    own = copy.deepcopy(network)
    for part in own.modules():
        if isinstance(part, nn.RNNBase):
            part.flatten_parameters()
    return own


class ForecastNet(nn.Module):
    """A core with its scalings. Inputs are float32, NaN where missing; an input without features is left out.

    Each window's target is standardised by its own observed values; covariates by the buffers, which hold the
    mean and the scale of each over the training rows. A window that does not move is scaled by `usual_scale`.
    With `relative`, the past and known covariates that `past_drifts` and `known_drifts` mark with 1 are standardised
    by the window's own lookback after that.
    """

    def __init__(self, core: nn.Module, shape: Shape, *, head: Head | None = None, relative: bool = False) -> None:
        super().__init__()
        self.core, self.shape = core, shape
        self.head: Head = head or QuantileHead(shape)
        self.usual_scale: Tensor
        self.register_buffer("usual_scale", torch.ones(()))
        for name in shape.inputs[1:]:
            width = getattr(shape, name)
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_scale", torch.ones(width))
            if relative and name != "static":
                self.register_buffer(f"{name}_drifts", torch.zeros(width))

    def forward(
        self,
        target: Tensor,
        past: Tensor | None = None,
        known: Tensor | None = None,
        static: Tensor | None = None,
    ) -> Tensor:
        """Quantiles [N, H, Q] from target [N, L], past [N, L, P], known [N, L + H, K] and static [N, M]."""
        answer: Tensor = self.head(*self.score(target, past, known, static))
        return answer

    def score(
        self,
        target: Tensor,
        past: Tensor | None = None,
        known: Tensor | None = None,
        static: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The core's scores [N, H, C] on standardised windows, which the head reads; mean and scale [N, 1]."""
        given, mean, scale = self.standardised(target, past, known, static)
        scores: Tensor = self.core(*given)
        return scores, mean, scale

    def standardised(
        self,
        target: Tensor,
        past: Tensor | None = None,
        known: Tensor | None = None,
        static: Tensor | None = None,
    ) -> tuple[tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None], Tensor, Tensor]:
        """What the core is given (values, seen, past, known, static); mean and scale [N, 1] of the windows."""
        values, seen, mean, scale = standardise(target, self.usual_scale, centred=self.head.centred)
        given = {"past": past, "known": known, "static": static}
        covariates = [self._scaled(name, each, lookback=target.shape[1]) for name, each in given.items()]
        return (values, seen, covariates[0], covariates[1], covariates[2]), mean, scale

    def _scaled(self, name: str, values: Tensor | None, *, lookback: int) -> Tensor | None:
        """A covariate in units of its training rows, or of the window; 0, its mean, where it is missing."""
        if values is None:
            return None
        scaled = (values - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_scale")
        seen = scaled.abs() <= LARGEST
        filled = torch.where(seen, scaled, 0.0)
        drifts = getattr(self, f"{name}_drifts", None)
        if drifts is None:
            return filled
        return torch.where(drifts > 0, relate(filled, seen.to(filled.dtype), lookback=lookback), filled)


def relate(steps: Tensor, seen: Tensor, *, lookback: int) -> Tensor:
    """Covariates [N, T, F] less their mean and over their deviation within the first `lookback` steps; 0 where missing.

    `steps` are in units of the training rows, 0 where `seen` is.

    >>> relate(torch.tensor([[[1.0], [3.0], [4.0]]]), torch.ones(1, 3, 1), lookback=2).flatten()
    tensor([-1.,  1.,  2.])
    """
    past, there = steps[:, :lookback].clamp(-FARTHEST, FARTHEST), seen[:, :lookback]
    count = there.sum(dim=1, keepdim=True).clamp(min=1.0)
    mean = past.sum(dim=1, keepdim=True) / count
    apart = (past - mean) * there
    spread = torch.sqrt((apart * apart).sum(dim=1, keepdim=True) / count)
    return (steps - mean) / spread.clamp(min=LEAST_SPREAD) * seen


def standardise(target: Tensor, usual: Tensor, *, centred: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Standardised windows [N, L] (0 where missing), their mask [N, L], mean and scale [N, 1]; not `centred`: the mean
    stays in them, and the scale is their root mean square.

    Sums are taken in units of the largest value, so that neither 1e25 nor 1e-25 leaves float32.
    """
    observed = target.abs() <= LARGEST  # False for NaN
    seen = observed.to(target.dtype)
    count = seen.sum(dim=1, keepdim=True).clamp(min=1.0)
    filled = torch.where(observed, target, 0.0)  # numbers: a tensor of zeros is two nodes more of the graph
    peak = filled.abs().amax(dim=1, keepdim=True)
    peak = torch.where(peak > 0, peak, 1.0)
    filled = filled / peak
    mean = filled.sum(dim=1, keepdim=True) / count if centred else torch.zeros_like(count)
    moved = (filled - mean) * seen
    deviation = torch.sqrt((moved * moved).sum(dim=1, keepdim=True) / count)
    moves = deviation > FLAT
    scale = torch.where(moves, deviation * peak, usual)
    values = moved * torch.where(moves, 1.0 / deviation.clamp(min=FLAT), 0.0)
    return values, seen, mean * peak, scale
