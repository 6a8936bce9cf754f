"""Student's t of greatest likelihood, for all columns at once: T bars, K columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.risk.record import name_column

LEAST, MOST = 1.01, 200.0  # degrees of freedom that are looked at: below there is no mean, above it is a normal
_STEPS, _TOLERANCE, _NEAR = 400, 1e-8, 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class StudentFit:
    """Location, scale and degrees of freedom [K], and how much each bar counted [T, K]."""

    location: FloatArray
    scale: FloatArray
    degrees: FloatArray
    weights: FloatArray


def fit_student(columns: FloatArray, *, degrees: float | None = None, names: Sequence[str] = ()) -> StudentFit:
    """The t of greatest likelihood of each column [T, K]; `degrees` fixes the degrees of freedom.

    By expectation and conditional maximisation either, with the expanded scale that makes it fast. Sources: Liu and
    Rubin 1995, ML Estimation of the t Distribution Using EM; Kent, Tyler and Vardi 1994, A Curious Likelihood Identity.
    """
    location, scale = np.median(columns, axis=0), columns.std(axis=0)
    freedom = np.full(columns.shape[1], 5.0 if degrees is None else degrees)
    going = np.arange(columns.shape[1])
    for _ in range(_STEPS):
        some = columns[:, going]
        before = np.array([location[going], scale[going], freedom[going]])
        squares = ((some - before[0]) / before[1]) ** 2
        counts = (before[2] + 1.0) / (before[2] + squares)
        location[going] = (counts * some).sum(axis=0) / counts.sum(axis=0)
        scale[going] = np.sqrt((counts * (some - location[going]) ** 2).sum(axis=0) / counts.sum(axis=0))
        _refuse_stale(scale[going] / some.std(axis=0), columns=going, names=names)
        if degrees is None:
            freedom[going] = _step_degrees(((some - location[going]) / scale[going]) ** 2, freedom[going])
        going = going[_moved(before, np.array([location[going], scale[going], freedom[going]]))]
        if not going.size:
            break
    if going.size:
        raise AllocationError(
            f"the fit of Student's t did not end in {_STEPS} steps for {name_column(names, int(going[0]))} "
            f"({going.size} such). Give degrees, or take method='historical'."
        )
    squares = ((columns - location) / scale) ** 2
    return StudentFit(location, scale, freedom, (freedom + 1.0) / (freedom + squares))


def _refuse_stale(narrow: FloatArray, *, columns: NDArray[np.intp], names: Sequence[str]) -> None:
    """Most returns at one value: the likelihood of a spike there has no end."""
    if (narrow < 1e-6).any():
        raise AllocationError(
            f"most returns of {name_column(names, int(columns[np.argmin(narrow)]))} are the same value, so that no t "
            "fits them. Mend stale prices, or take method='historical'."
        )


def _moved(before: FloatArray, after: FloatArray) -> NDArray[np.bool_]:
    """Which columns of location, scale and degrees [3, K] still change, the first two in units of the scale."""
    far = (np.abs(after[:2] - before[:2]) > _TOLERANCE * after[1]).any(axis=0)
    return np.asarray(far | (np.abs(1.0 / after[2] - 1.0 / before[2]) > 1e-7))


def _step_degrees(squares: FloatArray, degrees: FloatArray) -> FloatArray:
    """One Newton step towards the degrees of freedom of greatest likelihood, in their logarithm."""
    place = np.log(degrees)
    below, here, above = (_likelihood(squares, np.exp(place + step)) for step in (-_NEAR, 0.0, _NEAR))
    slope, bend = (above - below) / (2.0 * _NEAR), (above - 2.0 * here + below) / _NEAR**2
    step = np.where(bend < 0.0, -slope / np.where(bend < 0.0, bend, 1.0), np.sign(slope))
    return np.asarray(np.clip(np.exp(place + np.clip(step, -0.5, 0.5)), LEAST, MOST))


def _likelihood(squares: FloatArray, degrees: FloatArray) -> FloatArray:
    """The mean log-likelihood [K] of squared scores [T, K], up to a constant."""
    from scipy.special import gammaln

    half = 0.5 * degrees
    spread = np.log1p(squares / degrees).mean(axis=0)
    return np.asarray(gammaln(half + 0.5) - gammaln(half) - 0.5 * np.log(degrees) - (half + 0.5) * spread)
