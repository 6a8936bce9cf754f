"""What a network's scores mean: quantiles, a point, or the parameters of a distribution, and its quantiles.

N windows, H horizon, Q quantiles, C scores a step, K components of a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tidewright.errors import BundleError, ConfigError
from tidewright.models.torch.count_quantiles import EXACT, count_quantiles
from tidewright.models.torch.invert import POINTS, invert
from tidewright.models.torch.shape import Shape

LEAST_SPREAD = 1e-3  # of a distribution, in standard deviations of the window: a likelihood needs a floor
LEAST_FREEDOM, USUAL_FREEDOM, MOST_LOG_FREEDOM = 1.0, 6.0, 7.0  # of Student's t
MOST_DISPERSION, USUAL_DISPERSION = 4.0, 0.3  # of counts
LARGEST_COUNT = 1e15  # a window's mean count is held below it
COMPONENTS, MOST_COMPONENTS = 3, 16


class QuantileHead(nn.Module):
    """Scores [N, H, Q] are the quantiles of standardised windows; those that cross are put in order
    (Chernozhukov, Fernandez-Val, Galichon 2010)."""

    centred = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        # a start at the normal distribution's quantiles: a window's values are standardised
        self.start = normal_quantiles(shape)
        self.cells = 1  # numbers held at once for a quantile

    def forward(self, scores: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Quantiles [N, H, Q] on the original scale; mean and scale are [N, 1]."""
        ordered = ascend(scores)
        return mean.unsqueeze(2) + scale.unsqueeze(2) * ordered


class PointHead(nn.Module):
    """Scores [N, H, 1] are the median; the others are that plus the buffer `spread` [H, Q], which is measured on
    training windows once the network has learned."""

    centred = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.start, self.cells = (0.0,), 1
        self.spread: Tensor
        self.register_buffer("spread", torch.zeros(shape.horizon, len(shape.quantiles)))

    def forward(self, scores: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """See `QuantileHead.forward`."""
        ordered = ascend(scores + self.spread)
        return mean.unsqueeze(2) + scale.unsqueeze(2) * ordered


class GaussianHead(nn.Module):
    """Scores [N, H, 2] are the place and the spread (softplus) of a normal distribution of the standardised target."""

    centred = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.start, self.cells = (0.0, inverse_softplus(1.0)), 1
        self.normal: Tensor
        self.register_buffer("normal", torch.tensor(normal_quantiles(shape)))

    def forward(self, scores: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """See `QuantileHead.forward`."""
        place, spread = split_two(scores)
        quantiles = place.unsqueeze(2) + spread.unsqueeze(2) * self.normal
        return mean.unsqueeze(2) + scale.unsqueeze(2) * quantiles


class StudentHead(nn.Module):
    """Scores [N, H, 2] are the place and the spread of a Student's t of the standardised target; its degrees of
    freedom, above 1, are learned, one number a step of the horizon.

    `base` [H, Q] holds the quantiles of the standard t of those degrees (scipy's, so exact); `settle` renews it.
    """

    centred = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.start, self.cells = (0.0, inverse_softplus(1.0)), 1
        self.levels = shape.quantiles
        start = math.log(USUAL_FREEDOM - LEAST_FREEDOM)
        self.log_freedom = nn.Parameter(torch.full((shape.horizon,), start))
        self.base: Tensor
        self.register_buffer("base", torch.zeros(shape.horizon, len(shape.quantiles)))
        self.settle()

    def freedom(self) -> Tensor:
        """The degrees of freedom [H]."""
        return LEAST_FREEDOM + torch.exp(self.log_freedom.clamp(max=MOST_LOG_FREEDOM))

    def settle(self) -> None:
        """Puts the quantiles of the degrees of freedom as they stand in place."""
        if self.base.is_meta:
            return
        from scipy.special import stdtrit

        freedom = self.freedom().detach().double().cpu().numpy()
        base = stdtrit(freedom[:, None], [list(self.levels)])
        with torch.no_grad():
            self.base.copy_(torch.from_numpy(base))

    def forward(self, scores: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """See `QuantileHead.forward`."""
        place, spread = split_two(scores)
        quantiles = place.unsqueeze(2) + spread.unsqueeze(2) * self.base
        return mean.unsqueeze(2) + scale.unsqueeze(2) * quantiles


class MixtureHead(nn.Module):
    """Scores [N, H, 3 K] are the log weights, the places and the spreads of K normal distributions of the standardised
    target (Bishop 1994).

    The quantiles are sought between the smallest and the largest quantile of the components. Where the density is
    nearly 0 (between two far components) they move by the rounding of the weights over that density.
    """

    centred = True

    def __init__(self, shape: Shape, *, components: int) -> None:
        super().__init__()
        if not 2 <= components <= MOST_COMPONENTS:
            raise ConfigError(f"a mixture has from 2 to {MOST_COMPONENTS} components; got {components}.")
        places = tuple(NormalDist().inv_cdf((k + 0.5) / components) for k in range(components))
        self.start = (*[0.0] * components, *places, *[inverse_softplus(0.7)] * components)
        self.cells = components * POINTS
        self.normal: Tensor
        self.register_buffer("normal", torch.tensor(normal_quantiles(shape)))
        self.register_buffer("levels", torch.tensor(shape.quantiles))
        self.levels: Tensor
        self.register_buffer("components", torch.tensor(components))

    def forward(self, scores: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """See `QuantileHead.forward`."""
        log_weights, places, spreads = split_mixture(scores)
        each = places.unsqueeze(2) + spreads.unsqueeze(2) * self.normal.unsqueeze(1)  # [N, H, Q, K]
        weights = torch.exp(log_weights)[:, :, None, None]
        places, spreads = places[:, :, None, None], spreads[:, :, None, None]  # [N, H, 1, 1, K]

        def below(x: Tensor) -> Tensor:
            return (weights * normal_below((x.unsqueeze(4) - places) / spreads)).sum(dim=4)

        quantiles = invert(below, self.levels, low=each.amin(dim=3), high=each.amax(dim=3))
        ordered = ascend(quantiles)
        return mean.unsqueeze(2) + scale.unsqueeze(2) * ordered


class CountHead(nn.Module):
    """Scores [N, H, 2] are the mean and the dispersion of a negative binomial of the target itself, a count.

    The mean is softplus of the score times the window's own mean count, with one more count in it so that a window of
    zeros has a mean (as in DeepAR: Salinas, Flunkert, Gasthaus, Januschowski 2020); the variance is mean + dispersion *
    mean^2, and the dispersion lies between 0 and 4. See `count_quantiles` for the quantiles' accuracy.
    """

    centred = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.lookback, self.cells = shape.lookback, EXACT
        start = math.log(USUAL_DISPERSION / (MOST_DISPERSION - USUAL_DISPERSION))
        self.start = (math.log(math.e - 1.0), start)
        self.counted: Tensor
        self.register_buffer("counted", torch.tensor(shape.quantiles, dtype=torch.float64))
        self.normal: Tensor
        self.register_buffer("normal", torch.tensor(normal_quantiles(shape), dtype=torch.float64))

    def parts(self, scores: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the dispersion [N, H], both above 0."""
        unit = mean.clamp(0.0, LARGEST_COUNT) + 1.0 / self.lookback
        expected = unit * (functional.softplus(scores[:, :, 0]) + 1e-6)
        return expected, MOST_DISPERSION * torch.sigmoid(scores[:, :, 1]) + 1e-6

    def forward(self, scores: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """See `QuantileHead.forward`; `scale` has no part in it."""
        parts = self.parts(scores, mean)
        return count_quantiles(*parts, levels=self.counted, normal=self.normal).float()


class PositionHead(nn.Module):
    """Scores [N, H, 1] are positions and no forecast: from -1 to 1 by their tanh, or from `low` 0 to 1. Windows keep
    their mean, for what returns have done on the whole is what a position follows."""

    centred = False

    def __init__(self, shape: Shape, *, low: float) -> None:
        super().__init__()
        self.start, self.cells = (0.0,), 1
        self.low: Tensor
        self.register_buffer("low", torch.tensor(low))

    def forward(self, scores: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Positions [N, H, 1]."""
        return self.low + (1.0 - self.low) * (torch.tanh(scores) + 1.0) / 2.0


Head = QuantileHead | PointHead | GaussianHead | StudentHead | MixtureHead | CountHead | PositionHead
_MARKS = {  # a tensor that only this head has, by name
    "head.spread": "point",
    "head.components": "mixture",
    "head.base": "student",
    "head.counted": "negative_binomial",
    "head.low": "position",
    "head.normal": "gaussian",
}


def open_head(name: str, shape: Shape, *, components: int | None = None) -> Head:
    """The head of that name; `components` is for a mixture. Raises `ConfigError`."""
    if name == "mixture":
        return MixtureHead(shape, components=components or COMPONENTS)
    heads: dict[str, Callable[[Shape], Head]] = {
        "quantile": QuantileHead,
        "point": PointHead,
        "gaussian": GaussianHead,
        "student": StudentHead,
        "negative_binomial": CountHead,
        "position": partial(PositionHead, low=-1.0),
        "long position": partial(PositionHead, low=0.0),
    }
    if name not in heads:
        raise ConfigError(f"no head is called {name!r}. There are: {', '.join((*heads, 'mixture'))}.")
    return heads[name](shape)


def head_of(tensors: Mapping[str, Any]) -> tuple[str, int | None]:
    """The name of the head that a network's tensors have, and how many components. Raises `BundleError`."""
    name = next((name for mark, name in _MARKS.items() if mark in tensors), "quantile")
    if name != "mixture":
        return name, None
    found = tensors["head.components"]
    if found.shape != () or not 2 <= int(found) <= MOST_COMPONENTS:
        raise BundleError(f"head.components should be one number from 2 to {MOST_COMPONENTS}; got {found}.")
    return name, int(found)


def split_two(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Place and spread [N, H] from scores [N, H, 2]."""
    return scores[:, :, 0], functional.softplus(scores[:, :, 1]) + LEAST_SPREAD


def split_mixture(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log weights, places and spreads [N, H, K] from scores [N, H, 3 K]."""
    log_weights, places, raw = scores.chunk(3, dim=2)
    return torch.log_softmax(log_weights, dim=2), places, functional.softplus(raw) + LEAST_SPREAD


def ascend(quantiles: Tensor) -> Tensor:
    """Quantiles [N, H, Q] in order. The graph of `torch.sort` computes its own size, which must be known beforehand."""
    ordered, _ = torch.topk(quantiles, quantiles.shape[2], dim=2, largest=False, sorted=True)
    return ordered


def normal_below(z: Tensor) -> Tensor:
    """P(Z < z) of a standard normal variable."""
    return 0.5 * (1.0 + torch.erf(z * math.sqrt(0.5)))


def normal_quantiles(shape: Shape) -> tuple[float, ...]:
    """The standard normal distribution's quantiles at a shape's levels."""
    return tuple(NormalDist().inv_cdf(level) for level in shape.quantiles)


def inverse_softplus(spread: float) -> float:
    """The score whose spread is `spread`."""
    return math.log(math.expm1(spread - LEAST_SPREAD))
