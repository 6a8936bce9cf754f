"""A whole distribution from a few of its quantiles, by straight lines between normal scores.

N windows, H horizon, Q quantiles. A normal score is the standard normal distribution's quantile at a level. Between
two levels the forecast moves in a straight line with the score, and beyond the outermost ones it goes on as between the
last two: normal tails. So quantiles of a normal distribution are that distribution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import DataError

Floats = NDArray[np.float64]
FARTHEST = 8.0  # normal scores beyond are held: a chance below 1e-15


def normal_scores(levels: ArrayLike) -> Floats:
    """The normal scores [Q] of levels, two at least, ascending between 0 and 1. Raises `DataError`.

    >>> normal_scores((0.1, 0.5, 0.9)).round(4)
    array([-1.2816,  0.    ,  1.2816])
    """
    from scipy.special import ndtri

    found = np.asarray(levels, dtype=np.float64)
    inside = bool(((found > 0) & (found < 1)).all())
    if found.ndim != 1 or found.size < 2 or not inside or (np.diff(found) <= 0).any():
        raise DataError(
            f"a distribution needs two levels or more, ascending between 0 and 1; got {found.tolist()}. "
            "Ask the model for more quantiles."
        )
    return np.asarray(ndtri(found))


def value_at(quantiles: ArrayLike, z: ArrayLike, *, levels: ArrayLike) -> Floats:
    """The values [..., N, H] of the distributions with quantiles [N, H, Q] at normal scores z [..., N, H].

    >>> value_at([[[-1.2816, 0.0, 1.2816]]], [[2.0]], levels=(0.1, 0.5, 0.9)).round(3)
    array([[2.]])
    """
    known, scores = np.asarray(quantiles, dtype=np.float64), normal_scores(levels)
    _check_shape(known, scores)
    asked = np.asarray(z, dtype=np.float64)
    place = np.clip(np.searchsorted(scores, asked, side="right") - 1, 0, scores.size - 2)
    wide = np.broadcast_to(known, (*asked.shape, scores.size))
    low, high = (np.take_along_axis(wide, (place + k)[..., None], axis=-1)[..., 0] for k in (0, 1))
    return np.asarray(low + (asked - scores[place]) * (high - low) / (scores[place + 1] - scores[place]))


def score_at(quantiles: ArrayLike, values: ArrayLike, *, levels: ArrayLike) -> Floats:
    """The normal scores [N, H] of values [N, H] under the distributions with quantiles [N, H, Q]; NaN stays NaN.

    A value at which several quantiles lie has the middle of their scores. Scores are held between -8 and 8.

    >>> score_at([[[-1.2816, 0.0, 1.2816]]], [[2.0]], levels=(0.1, 0.5, 0.9)).round(3)
    array([[2.]])
    """
    known, scores = np.asarray(quantiles, dtype=np.float64), normal_scores(levels)
    _check_shape(known, scores)
    asked = np.asarray(values, dtype=np.float64)
    sides = [(known < asked[..., None]).sum(axis=-1), (known <= asked[..., None]).sum(axis=-1)]
    return (_interpolate(known, asked, scores, sides[0]) + _interpolate(known, asked, scores, sides[1])) / 2


def _interpolate(known: Floats, asked: Floats, scores: Floats, below: NDArray[np.int64]) -> Floats:
    """The score of values that have `below` quantiles under them."""
    place = np.clip(below - 1, 0, scores.size - 2)
    low, high = (np.take_along_axis(known, (place + k)[..., None], axis=-1)[..., 0] for k in (0, 1))
    width, apart = high - low, asked - low
    level = np.where(below == scores.size, 1.0, 0.0)
    jump = np.where(apart > 0, np.inf, np.where(apart < 0, -np.inf, level))  # a step up where two quantiles are one
    share = np.divide(apart, width, out=np.where(np.isnan(asked), np.nan, jump), where=width > 0)
    found = scores[place] + share * (scores[place + 1] - scores[place])
    return np.asarray(np.clip(found, -FARTHEST, FARTHEST))


def _check_shape(known: Floats, scores: Floats) -> None:
    if known.shape[-1:] != scores.shape:
        raise DataError(f"{scores.size} levels need quantiles [..., {scores.size}]; got the shape {known.shape}.")
