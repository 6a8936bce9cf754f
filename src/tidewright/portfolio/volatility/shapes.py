"""Standardised shocks: draws of mean 0 and variance 1, and the moments that persistence and forecasts need.

t: Student's with nu degrees of freedom. skewt: Hansen 1994 with eta degrees of freedom and lambda from -1 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.volatility.catalog import Distribution


def draw_shocks(
    distribution: Distribution, shape: Sequence[float], *, size: tuple[int, ...], draw: np.random.Generator
) -> FloatArray:
    """Independent shocks of an array's size."""
    if distribution == "normal":
        return draw.standard_normal(size)
    degrees = float(shape[0])
    values = draw.standard_t(degrees, size) * math.sqrt((degrees - 2.0) / degrees)
    if distribution == "t":
        return values
    lean = float(shape[1])
    centre, width = _place(degrees, lean)
    sides = np.where(draw.random(size) < (1.0 - lean) / 2.0, -(1.0 - lean), 1.0 + lean)
    return np.asarray((sides * np.abs(values) - centre) / width, dtype=np.float64)


def share_of_losses(distribution: Distribution, shape: Sequence[float]) -> float:
    """How much of the variance lies below zero: a half where the shocks are symmetric."""
    if distribution != "skewt":
        return 0.5
    return _integrate(lambda z: z * z, shape, low=-math.inf, high=0.0)


def mean_size(distribution: Distribution, shape: Sequence[float]) -> float:
    """The mean of |z|; as the mean of z is 0, half of it lies below."""
    if distribution == "normal":
        return math.sqrt(2.0 / math.pi)
    if distribution == "t":
        return _mean_size_of_t(float(shape[0]))
    return -2.0 * _integrate(lambda z: z, shape, low=-math.inf, high=0.0)


def _mean_size_of_t(degrees: float) -> float:
    gammas = math.exp(math.lgamma((degrees + 1.0) / 2.0) - math.lgamma(degrees / 2.0))
    return 2.0 * math.sqrt((degrees - 2.0) / math.pi) * gammas / (degrees - 1.0)


def _place(degrees: float, lean: float) -> tuple[float, float]:
    """Hansen's a and b, which make the mean 0 and the variance 1."""
    centre = 4.0 * lean * math.exp(_log_scale(degrees)) * (degrees - 2.0) / (degrees - 1.0)
    return centre, math.sqrt(1.0 + 3.0 * lean * lean - centre * centre)


def _log_scale(degrees: float) -> float:
    return math.lgamma((degrees + 1.0) / 2.0) - math.lgamma(degrees / 2.0) - math.log(math.pi * (degrees - 2.0)) / 2.0


def _integrate(what: Callable[[float], float], shape: Sequence[float], *, low: float, high: float) -> float:
    from scipy.integrate import quad

    degrees, lean = float(shape[0]), float(shape[1])
    centre, width = _place(degrees, lean)
    scale = width * math.exp(_log_scale(degrees))

    def density(z: float) -> float:
        turned = width * z + centre
        side = 1.0 - lean if turned < 0.0 else 1.0 + lean
        return scale * float((1.0 + (turned / side) ** 2 / (degrees - 2.0)) ** (-(degrees + 1.0) / 2.0))

    bend = -centre / width  # where the two halves meet
    cuts = (low, bend, high) if low < bend < high else (low, high)
    return float(sum(quad(lambda z: what(z) * density(z), one, two)[0] for one, two in pairwise(cuts)))
