"""What a network minimises, on standardised windows; missing labels are left out.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tidewright.models.torch.network import ForecastNet
from tidewright.training.gather import Inputs

Loss = Callable[[ForecastNet, Inputs, Tensor], tuple[Tensor, Tensor | int]]


def open_loss(name: str, quantiles: tuple[float, ...], *, complete: bool, device: str = "cpu") -> Loss:
    """The loss of a batch: its sum over the labels that are there, and their number (times the quantiles).

    "quantile" is the pinball loss (Koenker, Bassett 1978), "mse" the squared and "mae" the absolute error of
    the point. `complete` promises that no label is missing, and saves the mask.
    """
    tilt = torch.tensor(quantiles, device=device) - 0.5

    def measure(network: ForecastNet, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor | int]:
        scores, mean, scale = network.score(**inputs)
        error = ((labels - mean) / scale).unsqueeze(2) - scores
        count: Tensor | int = error.numel()
        if not complete:
            seen = labels.isfinite().unsqueeze(2)
            error = torch.where(seen, error, torch.zeros_like(error))
            count = seen.sum() * scores.shape[2]
        if name == "mse":
            return error.square().sum(), count
        if name == "mae":
            return error.abs().sum(), count
        # max(q e, (q - 1) e), in two terms without a branch
        return torch.add(error.abs() * 0.5, error * tilt).sum(), count

    return measure
