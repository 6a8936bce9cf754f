"""The shape of returns: skew, kurtosis, and what lies in the tails. Losses are positive."""

from __future__ import annotations

import math

import numpy as np

from tidewright.metrics.returns.line import varies
from tidewright.metrics.returns.sample import Floats, Sample, divide

LEVEL = 0.95  # of value at risk and expected shortfall


def find_skew(sample: Sample) -> Floats:
    """The third moment over the cubed deviation (divisor T).

    >>> round(float(find_skew(Sample(np.array([0.01, 0.03, -0.01, 0.02]), 12.0))), 6)
    -0.434651
    """
    centred = _centre(sample)
    return np.asarray(np.mean(centred * centred * centred, axis=-1) / varies(sample.returns) ** 3)[()]


def find_kurtosis(sample: Sample) -> Floats:
    """The fourth moment over the fourth power of the deviation (divisor T); 3 for a normal distribution.

    >>> round(float(find_kurtosis(Sample(np.array([0.01, 0.03, -0.01, 0.02]), 12.0))), 6)
    1.845714
    """
    centred = _centre(sample)
    square = centred * centred
    return np.asarray(np.mean(square * square, axis=-1) / varies(sample.returns) ** 4)[()]


def find_tail_ratio(sample: Sample) -> Floats:
    """The 95th percentile over the 5th, as distances from zero (linear between neighbours)."""
    high, low = (_percentile(sample.ordered, share) for share in (0.95, 0.05))
    return divide(np.abs(high), np.abs(low))


def find_value_at_risk(sample: Sample) -> Floats:
    """The loss that 95 % of periods do not exceed: minus the k-th lowest return, k = floor(0.05 T) + 1.

    The lower quantile of the losses, as `portfolio.risk` and Rockafellar and Uryasev 2002 have it.

    >>> round(float(find_value_at_risk(Sample(np.linspace(-0.10, 0.09, 20), 252.0))), 6)
    0.09
    """
    return np.asarray(-sample.ordered[..., math.floor(_rank(sample.periods))])[()]


def find_expected_shortfall(sample: Sample) -> Floats:
    """The mean loss of the worst 5 % of periods, the last of them by the part of it that counts.

    Source: Rockafellar and Uryasev 2002, Conditional Value-at-Risk for General Loss Distributions.

    >>> round(float(find_expected_shortfall(Sample(np.linspace(-0.15, 0.14, 30), 252.0))), 6)
    0.146667
    """
    rank = _rank(sample.periods)
    whole = math.ceil(rank) - 1
    worst = sample.ordered[..., :whole].sum(axis=-1) + (rank - whole) * sample.ordered[..., whole]
    return np.asarray(-worst / rank)[()]


def _rank(periods: int) -> float:
    return max(round((1.0 - LEVEL) * periods, 9), 1e-9)  # 0.05 T without what rounding adds to it


def _centre(sample: Sample) -> Floats:
    centred: Floats = sample.returns - sample.returns.mean(axis=-1, keepdims=True)
    return centred


def _percentile(ordered: Floats, share: float) -> Floats:
    place = share * (ordered.shape[-1] - 1)
    low = math.floor(place)
    high = min(low + 1, ordered.shape[-1] - 1)
    return np.asarray(ordered[..., low] + (place - low) * (ordered[..., high] - ordered[..., low]))
