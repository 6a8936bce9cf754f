"""What a network minimises, on standardised windows; missing labels are left out.

N windows, H horizon, Q quantiles, C scores a step, K components of a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tidewright.errors import DataError
from tidewright.features.windows import Doubles
from tidewright.models.torch.heads import CountHead, StudentHead, normal_below, split_mixture, split_two
from tidewright.models.torch.network import ForecastNet
from tidewright.training.gather import Inputs
from tidewright.training.sharpe import COST_BPS, open_sharpe_loss

Loss = Callable[[ForecastNet, Inputs, Tensor], tuple[Tensor, Tensor | int]]
Cells = Callable[[ForecastNet, Inputs, Tensor], tuple[Tensor, Tensor | None]]
HEADS = {  # what a network that minimises a loss gives: the name of its head
    "quantile": "quantile",
    "mse": "point",
    "mae": "point",
    "huber": "point",
    "gaussian": "gaussian",
    "crps": "gaussian",
    "student": "student",
    "mixture": "mixture",
    "negative_binomial": "negative_binomial",
    "sharpe": "position",
}
HEAVIEST = 100.0  # the most usual deviations that an error in the target's unit is weighed by
DELTA = 1.0  # where Huber's loss turns from squared to absolute, in standard deviations of the window
_LOG_ROOT_TAU = 0.5 * math.log(2.0 * math.pi)


def open_loss(
    name: str,
    quantiles: tuple[float, ...],
    *,
    complete: bool,
    delta: float | None = None,
    cost_bps: float | None = None,
    unit: str | None = None,
    device: str = "cpu",
) -> Loss:
    """The loss of a batch: the sum of its cells (see `open_cells`), and their number.

    "sharpe" is one number for a whole run of cutoffs (`Runs`), see `open_sharpe_loss`.
    """
    if name == "sharpe":
        return open_sharpe_loss(COST_BPS if cost_bps is None else cost_bps)
    cells = open_cells(name, quantiles, complete=complete, delta=delta, unit=unit, device=device)

    def measure(network: ForecastNet, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor | int]:
        losses, seen = cells(network, inputs, labels)
        return losses.sum(), losses.numel() if seen is None else seen.sum() * losses.shape[2]

    return measure


def open_cells(
    name: str,
    quantiles: tuple[float, ...],
    *,
    complete: bool,
    delta: float | None = None,
    unit: str | None = None,
    device: str = "cpu",
) -> Cells:
    """The loss of every label [N, H, Q] (or [N, H, 1]), 0 where it is missing, and which are there [N, H] (None: all).

    "quantile" is the pinball loss (Koenker, Bassett 1978): half the CRPS as far as the levels can tell. "mse", "mae"
    and "huber" (Huber 1964, `delta`) are errors of the point; "gaussian", "student", "mixture" and "negative_binomial"
    the negative log likelihood of the label (the last on the original scale); "crps" the continuous ranked probability
    score of a normal distribution. Errors are counted in standard deviations of the window, or, with the `unit`
    "target", in usual ones (`ForecastNet.usual_scale`), the target's unit but for a constant; windows livelier than
    100 times the usual weigh no more than those. `complete` promises that no label is missing, and saves the mask.
    """
    if HEADS[name] in ("quantile", "point"):
        cells = _cells_of_errors(name, quantiles, delta=DELTA if delta is None else delta, device=device)
        return _error_cells(cells, complete=complete, weighed=unit == "target")

    def measure(network: ForecastNet, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        scores, mean, scale = network.score(**inputs)
        seen = None if complete else labels.isfinite()
        safe = labels if seen is None else torch.where(seen, labels, mean.clamp(min=0.0))  # where the loss is finite
        cells = score_distribution(name, network, scores, labels=safe, mean=mean, scale=scale)
        if seen is not None:
            cells = torch.where(seen, cells, torch.zeros_like(cells))
        return cells.unsqueeze(2), seen

    return measure


def score_distribution(
    name: str, network: ForecastNet, scores: Tensor, *, labels: Tensor, mean: Tensor, scale: Tensor
) -> Tensor:
    """The loss [N, H] of the distributions that scores [N, H, C] describe, at labels [N, H] on the original scale."""
    if name == "negative_binomial":
        assert isinstance(network.head, CountHead)
        return count_loss(labels, *network.head.parts(scores, mean))
    z = (labels - mean) / scale
    if name == "mixture":
        return mixture_loss(z, *split_mixture(scores))
    place, spread = split_two(scores)
    if name == "student":
        assert isinstance(network.head, StudentHead)
        freedom = network.head.freedom()
        if freedom.ndim == 2:  # [M, H] of M members, whose windows follow one another
            freedom = freedom.repeat_interleave(len(z) // len(freedom), dim=0)
        return student_loss((z - place) / spread, spread=spread, freedom=freedom)
    if name == "crps":
        return normal_crps((z - place) / spread, spread=spread)
    return normal_loss((z - place) / spread, spread=spread)


def normal_loss(z: Tensor, *, spread: Tensor) -> Tensor:
    """-log of the normal density of a value `z` spreads above the place.

    >>> round(float(normal_loss(torch.tensor(0.0), spread=torch.tensor(1.0))), 4)
    0.9189
    """
    return 0.5 * z.square() + torch.log(spread) + _LOG_ROOT_TAU


def normal_crps(z: Tensor, *, spread: Tensor) -> Tensor:
    """The continuous ranked probability score of a normal distribution at a value `z` spreads above its place, in the
    value's unit (Gneiting, Raftery, Westveld, Goldman 2005).

    >>> round(float(normal_crps(torch.tensor(0.0), spread=torch.tensor(1.0))), 4)
    0.2337
    """
    density = torch.exp(-0.5 * z.square() - _LOG_ROOT_TAU)
    return spread * (z * (2.0 * normal_below(z) - 1.0) + 2.0 * density - 1.0 / math.sqrt(math.pi))


def student_loss(z: Tensor, *, spread: Tensor, freedom: Tensor) -> Tensor:
    """-log of the density of Student's t, with some degrees of freedom, `z` spreads above the place.

    >>> one = torch.tensor(1.0)
    >>> round(float(student_loss(torch.tensor(0.0), spread=one, freedom=one)), 4)  # Cauchy's: log(pi)
    1.1447
    """
    half = 0.5 * (freedom + 1.0)
    size = torch.lgamma(0.5 * freedom) - torch.lgamma(half) + 0.5 * torch.log(freedom * math.pi)
    return size + torch.log(spread) + half * torch.log1p(z.square() / freedom)


def mixture_loss(z: Tensor, log_weights: Tensor, places: Tensor, spreads: Tensor) -> Tensor:
    """-log of the density [N, H] of K normal distributions at z [N, H]; the others are [N, H, K].

    >>> one = torch.zeros(1, 1, 2)
    >>> round(float(mixture_loss(torch.zeros(1, 1), one - math.log(2), one, one + 1.0)), 4)
    0.9189
    """
    each = log_weights - normal_loss((z.unsqueeze(2) - places) / spreads, spread=spreads)
    return -torch.logsumexp(each, dim=2)


def count_loss(labels: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """-log of the negative binomial probability of counts, with variance mean + dispersion * mean^2.

    It is taken in float64: differences of large logarithms have no digits left in float32.

    >>> one = torch.tensor(1.0)
    >>> round(float(count_loss(torch.tensor(0.0), one, one)), 4)  # a geometric distribution: log(2)
    0.6931
    """
    count, expected, shape = labels.double(), mean.double(), 1.0 / dispersion.double()
    chance = torch.lgamma(count + shape) - torch.lgamma(shape) - torch.lgamma(count + 1.0)
    fail, success = torch.log1p(expected / shape), torch.log1p(shape / expected)
    return (shape * fail + count * success - chance).float()


def check_labels(name: str, labels: Doubles) -> None:
    """Raises `DataError` where a loss can't be taken at the values that are learned from."""
    if name != "negative_binomial":
        return
    seen = labels[np.isfinite(labels)]
    strange = seen[(seen < 0) | (seen != np.floor(seen))]
    if strange.size:
        raise DataError(
            f"the loss negative_binomial is for counts, whole numbers from 0 on; the target has {strange.size} other "
            f"values, such as {strange[0]:g}. Choose another loss, such as student, or count in whole units."
        )


def _error_cells(cells: Callable[[Tensor], Tensor], *, complete: bool, weighed: bool) -> Cells:
    def measure(network: ForecastNet, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        scores, mean, scale = network.score(**inputs)
        error = ((labels - mean) / scale).unsqueeze(2) - scores
        if weighed:
            error = error * (scale / network.usual_scale).clamp(max=HEAVIEST).unsqueeze(2)
        seen = None if complete else labels.isfinite()
        if seen is not None:
            error = torch.where(seen.unsqueeze(2), error, torch.zeros_like(error))
        return cells(error), seen

    return measure


def _cells_of_errors(
    name: str, quantiles: tuple[float, ...], *, delta: float, device: str
) -> Callable[[Tensor], Tensor]:
    """The losses of errors [N, H, C], label minus forecast."""
    if name == "mse":
        return torch.square
    if name == "mae":
        return torch.abs
    if name == "huber":
        return lambda error: functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)
    tilt = torch.tensor(quantiles, device=device) - 0.5
    # max(q e, (q - 1) e), in two terms without a branch
    return lambda error: torch.add(error.abs() * 0.5, error * tilt)
