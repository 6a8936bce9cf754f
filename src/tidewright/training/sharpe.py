"""What positions earn after costs, and minus the Sharpe ratio of that as a loss with a gradient.

D dates (cutoffs), S series, n windows.

After Moody, Saffell 2001 (Learning to Trade via Direct Reinforcement) and Lim, Zohren, Roberts 2019 (Enhancing
Time-Series Momentum Strategies Using Deep Neural Networks); theirs scale every series by its volatility, which is left
to the returns that are given here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tidewright.models.torch.network import ForecastNet
from tidewright.training.gather import Inputs

COST_BPS = 10.0  # of the value traded, where the spec names no other
LEAST_SPREAD = 1e-6  # of a portfolio's returns: a hundredth of a basis point a period
LEAST_LEFT = 0.01  # of the equity after a step that weights are a share of
CHUNK = 1024  # windows judged at once: bounds the memory of a recurrent network's states

SharpeLoss = Callable[[ForecastNet, Inputs, Tensor], tuple[Tensor, int]]


def open_sharpe_loss(cost_bps: float) -> SharpeLoss:
    """The loss of a run of cutoffs and the number 1: minus the Sharpe ratio per period (ddof 1) of the net returns.

    It takes the inputs of a run's windows [n, ...], date after date, and what was earned [D, S] (see `Runs`). It is
    worked out in float64; a portfolio that does not vary is held to vary by 1e-6.
    """

    def measure(network: ForecastNet, inputs: Inputs, earned: Tensor) -> tuple[Tensor, int]:
        answers = _ask(network, inputs).double()
        positions = torch.zeros_like(earned).masked_scatter(earned.isfinite(), answers)
        return -sharpe_ratio(earn(positions, earned, rate=cost_bps / 10_000.0)), 1

    return measure


def earn(positions: Tensor, earned: Tensor, *, rate: float) -> Tensor:
    """The net simple returns [D] of a portfolio that gives each series of a date an equal part of the equity, times its
    position [D, S] from -1 to 1.

    `earned` [D, S] is the simple return that each position earns, NaN where there is none to take. The rest is cash,
    which earns nothing; gains are not taken out, so a weight drifts until the next date trades it back. Every
    unit of value traded costs `rate`, the entry at the first date too.

    >>> held = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    >>> earn(held, torch.tensor([[0.02, 0.0], [0.01, 0.01]]), rate=0.0)
    tensor([0.0100, 0.0000])
    """
    there = earned.isfinite()
    gained = torch.where(there, earned, torch.zeros_like(earned))
    weights = positions / there.sum(dim=1, keepdim=True).clamp(min=1)
    gross = (weights * gained).sum(dim=1)
    left = (1.0 + gross).clamp(min=LEAST_LEFT).unsqueeze(1)
    drifted = weights * (1.0 + gained) / left
    held = torch.cat([torch.zeros_like(weights[:1]), drifted[:-1]])
    cost = rate * (weights - held).abs().sum(dim=1)
    return (1.0 + gross) * (1.0 - cost) - 1.0


def sharpe_ratio(returns: Tensor) -> Tensor:
    """mean / standard deviation (ddof 1) of returns [D], per period; D is 2 at least.

    >>> sharpe_ratio(torch.tensor([0.01, 0.03, -0.01, 0.02])) * 12**0.5  # the example of metrics.returns.sharpe
    tensor(2.5355)
    """
    variance = returns.var(correction=1).clamp(min=LEAST_SPREAD**2)  # the root has a slope there
    return returns.mean() / variance.sqrt()


def _ask(network: ForecastNet, inputs: Inputs) -> Tensor:
    """The positions of windows [n]."""
    count = len(inputs["target"])
    chunk = count if torch.is_grad_enabled() else CHUNK
    parts = [
        network(**{name: value[start : start + chunk] for name, value in inputs.items()})[:, 0, 0]
        for start in range(0, count, chunk)
    ]
    return torch.cat(parts)
