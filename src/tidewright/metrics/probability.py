"""Probabilities of an event: from a forecast's quantiles, and how good they are.

N windows, H horizon, Q quantiles, B bins. An outcome is 1 where the event came, 0 where it didn't, NaN where that isn't
known; those are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import DataError
from tidewright.metrics.distribution import score_at

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Reliability:
    """What was said and what came, in bins [B] of equal width of the probability; NaN in an empty bin.

    `said` is a bin's mean probability, `came` the share of events, `count` how many cases it holds.
    """

    said: Floats
    came: Floats
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean |said - came| over all cases (Naeini, Cooper, Hauskrecht 2015)."""
        return float(np.nansum(np.abs(self.said - self.came) * self.count) / self.count.sum())


def direction_probability(quantiles: ArrayLike, *, levels: ArrayLike, threshold: ArrayLike) -> Floats:
    """P(label > threshold) [N, H] from quantiles [N, H, Q]; the threshold is [N, H] or fits it (say [N, 1]).

    The distribution between and beyond the levels is that of metrics/distribution.

    >>> direction_probability([[[-1.0, 0.0, 1.0]]], levels=(0.1, 0.5, 0.9), threshold=[[-1.0]]).round(3)
    array([[0.9]])
    """
    from scipy.special import ndtr

    known = np.asarray(quantiles, dtype=np.float64)
    asked = np.broadcast_to(np.asarray(threshold, dtype=np.float64), known.shape[:-1])
    return np.asarray(ndtr(-score_at(known, asked, levels=levels)))


def brier_score(probability: ArrayLike, outcome: ArrayLike) -> float:
    """The mean squared difference of probability and outcome, from 0 (best) to 1 (Brier 1950). Raises `DataError`.

    >>> round(brier_score([0.9, 0.2], [1, 0]), 4)
    0.025
    """
    said, came = check_cases(probability, outcome)
    return float(np.mean((said - came) ** 2))


def reliability(probability: ArrayLike, outcome: ArrayLike, *, bins: int = 10) -> Reliability:
    """What was said beside what came, in `bins` of equal width (Murphy, Winkler 1977). Raises `DataError`.

    >>> found = reliability([0.1, 0.2, 0.9, 0.8], [0, 0, 1, 0], bins=2)
    >>> found.said.round(2), found.came, found.count
    (array([0.15, 0.85]), array([0. , 0.5]), array([2, 2]))
    """
    said, came = check_cases(probability, outcome)
    place, bins = find_bins(said, bins=bins)
    count = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=values, minlength=bins) for values in (said, came))
    means = [np.divide(total, count, out=np.full(bins, np.nan), where=count > 0) for total in sums]
    return Reliability(means[0], means[1], count)


def find_bins(probability: Floats, *, bins: int = 10) -> tuple[NDArray[np.int64], int]:
    """The bin of equal width that each probability falls in, counted from 0, and how many there are."""
    return np.minimum((probability * bins).astype(np.int64), bins - 1), bins


def check_cases(probability: ArrayLike, outcome: ArrayLike) -> tuple[Floats, Floats]:
    """The cases whose outcome is known, flat. Raises `DataError` where they are none, or no probabilities."""
    said, came = (np.asarray(values, dtype=np.float64) for values in (probability, outcome))
    if said.shape != came.shape:
        raise DataError(f"probabilities of the shape {said.shape} need outcomes of the same; got {came.shape}.")
    known = ~np.isnan(came)
    said, came = said[known], came[known]
    if not said.size:
        raise DataError("no outcome is known, so no probability can be judged. Bring labels.")
    if not ((said >= 0) & (said <= 1)).all() or not ((came == 0) | (came == 1)).all():
        raise DataError("probabilities lie between 0 and 1, and outcomes are 0, 1 or NaN. Mend the values.")
    return said, came
