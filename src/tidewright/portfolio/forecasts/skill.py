"""How far forecasts may move weights: their rank IC, its error, and what is left of it after both.

C cutoffs, A assets, H steps, T bars. The skill at a date rests on outcomes that were known at that date alone.

The mean of C rank ICs of which `overlap` neighbours share a horizon has the variance of Hansen and Hodrick (1980): the
autocovariances up to overlap - 1, each in full; where these sum to less than zero, as Newey and West (1987) weight
them. It is scaled by C / (C - overlap), and C / overlap independent horizons give the degrees of freedom less one. In
simulations without skill this rejects at 5 % in 5 to 9 % of cases (40 to 320 cutoffs, overlaps of 3 to 20); Newey and
West's weights alone, with as many lags, do so in 9 to 25 %.

What is left is shrunk towards no skill: max(0, 1 - error^2 / mean^2) * mean, and nothing below zero. It is the
posterior mean under a normal prior around zero whose variance is estimated by mean^2 - error^2 (James and Stein 1961;
Efron and Morris 1973). That weights scale with the information coefficient is Grinold and Kahn (2000), chapter 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.metrics.comparison import diebold_mariano
from tidewright.portfolio.forecasts.predictions import Predictions
from tidewright.portfolio.forecasts.rank_ic import rank_ic
from tidewright.portfolio.inputs import FloatArray, TimeArray, read_times
from tidewright.portfolio.labels import name_assets
from tidewright.portfolio.show import show

_LEVEL = 0.05  # the significance that a model must beat its floor with


@dataclass(frozen=True, slots=True, eq=False)
class Skill:
    """The measured skill of forecasts: `ic` [C], the rank IC of each cutoff, NaN where there is none.

    mean, error, statistic: of the ICs, with `freedom` degrees; `error` is NaN where too few cutoffs tell one. shrunk:
    what is left of the mean, 0 to 1. weight: how much that is of it, between no view (0) and the forecast as it is (1).
    floor_mean, floor_error: the same of the floor's ICs, NaN without one. beats_floor: whether the model's errors are
    below its floor's, None where nobody said; `evidence` says how that was found.
    """

    ic: FloatArray
    mean: float
    error: float
    statistic: float
    freedom: float
    shrunk: float
    overlap: int
    floor_mean: float = math.nan
    floor_error: float = math.nan
    beats_floor: bool | None = None
    evidence: str = "nobody said whether it beats its floor"

    def __repr__(self) -> str:
        return show(self)

    @property
    def count(self) -> int:
        """The cutoffs with an IC."""
        return int(np.isfinite(self.ic).sum())

    @property
    def weight(self) -> float:
        return self.shrunk / self.mean if self.shrunk > 0.0 else 0.0

    @property
    def used(self) -> float:
        """What may move weights: `shrunk`, of a forecast that beat its floor alone."""
        return self.shrunk if self.beats_floor else 0.0

    def explain(self) -> str:
        """The skill in one sentence."""
        if not self.count:
            return "No date had 3 assets to order, so no skill could be measured."
        said = f"rank IC {self.mean:.3f}"
        if not math.isfinite(self.error):
            return (
                f"{said} over {self.count} dates, too few for its error with {self.overlap} in one horizon: 0 is used."
            )
        beside = "" if math.isnan(self.floor_mean) else f", its floor's {self.floor_mean:.3f}"
        return (
            f"{said} with an error of {self.error:.3f} over {self.count} dates{beside}; shrunk to {self.shrunk:.3f} "
            f"({self.weight:.0%} of it). {self.evidence[:1].upper()}{self.evidence[1:]}: {self.used:.3f} is used."
        )


def estimate_skill(
    expected: ArrayLike,
    realised: ArrayLike,
    *,
    overlap: int = 1,
    floor: ArrayLike | None = None,
    beats_floor: bool | None = None,
) -> Skill:
    """The skill of forecast returns [C, A] beside what came [C, A], of cutoffs in time order.

    `overlap` is how many neighbouring cutoffs have a bar of their horizons in common, itself counted: ceil(horizon /
    stride). `floor` [C, A] is what the floor forecast. Whether the model beats it is `beats_floor`, a run's verdict;
    without, the Diebold-Mariano test of their absolute errors says it, at 5 %.

    >>> rng = np.random.default_rng(0)
    >>> came = rng.normal(size=(60, 8))
    >>> skill = estimate_skill(came + 3 * rng.normal(size=(60, 8)), came, beats_floor=True)
    >>> round(skill.mean, 3), round(skill.error, 3), round(skill.used, 3)
    (0.335, 0.044, 0.33)
    """
    forecast, outcome = np.asarray(expected, dtype=np.float64), np.asarray(realised, dtype=np.float64)
    if forecast.ndim != 2 or forecast.shape != outcome.shape:
        raise AllocationError(
            f"forecasts have the shape {forecast.shape}, outcomes {outcome.shape}. Bring both as [cutoffs, assets]."
        )
    if overlap < 1:
        raise AllocationError(f"overlap is {overlap}; it is a number of cutoffs, at least 1.")
    if floor is None:
        return _sum_up(rank_ic(forecast, outcome), overlap=overlap, beats_floor=beats_floor)
    plain = np.asarray(floor, dtype=np.float64)
    if plain.shape != outcome.shape:
        raise AllocationError(
            f"the floor's forecasts have the shape {plain.shape}, outcomes {outcome.shape}. Align them."
        )
    return _sum_up(
        rank_ic(forecast, outcome),
        overlap=overlap,
        beats_floor=beats_floor,
        floor_ic=rank_ic(plain, outcome),
        losses=_mean_errors(forecast, plain, outcome),
    )


def measure_skill(
    predictions: Predictions,
    returns: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str] | None = None,
    as_of: np.datetime64 | None = None,
    floor: Predictions | None = None,
    beats_floor: bool | None = None,
) -> Skill:
    """The skill of predictions on simple returns [T, A] at `times` [T], as it was known at `as_of` (the last time).

    Only cutoffs whose whole horizon lies at or before `as_of` count. `floor` holds the floor's predictions of the same
    cutoffs and assets; see `estimate_skill` for what they and `beats_floor` are for.
    """
    stamps = read_times(times, rows=len(np.asarray(times)))
    until = len(stamps) if as_of is None else int(np.searchsorted(stamps, as_of, side="right"))
    if until < 1:
        raise AllocationError(f"as_of is {as_of}, before the first return at {stamps[0]}. Ask for a later date.")
    names = name_assets(returns, assets)
    measured = _measure(predictions, np.asarray(returns)[:until], times=stamps[:until], assets=names, floor=floor)
    return measured.at(measured.known, beats_floor=beats_floor)


def walk_skill(
    predictions: Predictions,
    returns: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str] | None = None,
    floor: Predictions | None = None,
    beats_floor: bool | None = None,
) -> FloatArray:
    """The skill that may move weights at each cutoff [C], from outcomes known at it, as `Predictions.to_view` takes it.

    At each cutoff it is what `measure_skill` gives as of then.
    """
    measured = _measure(predictions, returns, times=times, assets=assets, floor=floor)
    ends, used = predictions.times[:, -1], np.zeros(len(predictions.cutoffs))
    for row, cutoff in enumerate(predictions.cutoffs):
        known = measured.known & (ends <= cutoff)
        used[row] = measured.at(known, beats_floor=beats_floor).used if known.any() else 0.0
    return used


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What was found at each cutoff: ICs [C], the floor's [C], mean errors of both [2, C], and what is known."""

    ic: FloatArray
    floor_ic: FloatArray | None
    losses: FloatArray | None
    known: NDArray[np.bool_]
    overlap: NDArray[np.intp]

    def at(self, known: NDArray[np.bool_], *, beats_floor: bool | None) -> Skill:
        return _sum_up(
            self.ic[known],
            overlap=int(np.max(self.overlap[known], initial=1)),
            beats_floor=beats_floor,
            floor_ic=None if self.floor_ic is None else self.floor_ic[known],
            losses=None if self.losses is None else self.losses[:, known],
        )


def _measure(
    predictions: Predictions,
    returns: ArrayLike,
    *,
    times: ArrayLike,
    assets: Sequence[str] | None,
    floor: Predictions | None,
) -> _Measured:
    realised, known = predictions.realise(returns, times=times, assets=assets)
    expected, overlap = predictions.expected(), _count_overlap(predictions.cutoffs, predictions.times[:, -1])
    if floor is None:
        return _Measured(rank_ic(expected, realised), None, None, known, overlap)
    if floor.assets != predictions.assets or not np.array_equal(floor.times, predictions.times):
        raise AllocationError(
            "the floor predicts other assets or times than the model. Predict both at the same cutoffs."
        )
    plain = floor.expected()
    return _Measured(
        rank_ic(expected, realised),
        rank_ic(plain, realised),
        _mean_errors(expected, plain, realised),
        known,
        overlap,
    )


def _count_overlap(cutoffs: TimeArray, ends: TimeArray) -> NDArray[np.intp]:
    """How many cutoffs, itself counted, begin before each cutoff's horizon ends [C]."""
    return np.asarray(np.searchsorted(cutoffs, ends, side="left") - np.arange(len(cutoffs)))


def _mean_errors(forecast: FloatArray, plain: FloatArray, outcome: FloatArray) -> FloatArray:
    """The mean absolute error over assets of the model's and of the floor's forecasts [2, C], where both have one."""
    errors = np.abs(np.stack([forecast, plain]) - outcome)
    there = np.isfinite(errors).all(axis=0)
    sums = np.where(there, errors, 0.0).sum(axis=2)
    counts = there.sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _sum_up(
    ic: FloatArray,
    *,
    overlap: int,
    beats_floor: bool | None,
    floor_ic: FloatArray | None = None,
    losses: FloatArray | None = None,
) -> Skill:
    mean, error, freedom = average(ic, overlap=overlap)
    beats, evidence = _judge(losses, overlap=overlap, told=beats_floor)
    low, low_error = (math.nan, math.nan) if floor_ic is None else average(floor_ic, overlap=overlap)[:2]
    values = ic.copy()
    values.flags.writeable = False
    return Skill(
        ic=values,
        mean=mean,
        error=error,
        statistic=mean / error if error > 0.0 else math.nan,
        freedom=freedom,
        shrunk=shrink(mean, error=error),
        overlap=overlap,
        floor_mean=low,
        floor_error=low_error,
        beats_floor=beats,
        evidence=evidence,
    )


def average(values: ArrayLike, *, overlap: int) -> tuple[float, float, float]:
    """The mean of values [C] in time order, its standard error and degrees of freedom; see the file's head.

    A NaN keeps its place in time and isn't counted. Fewer than two whole horizons have no error: NaN.

    >>> mean, error, freedom = average([0.1, 0.3, 0.2, 0.2], overlap=1)
    >>> round(mean, 3), round(error, 4), freedom
    (0.2, 0.0408, 3.0)
    """
    row = np.asarray(values, dtype=np.float64)
    there = np.isfinite(row)
    count = int(there.sum())
    if not count:
        return math.nan, math.nan, math.nan
    mean = float(row[there].mean())
    if count < 2 * overlap:
        return mean, math.nan, math.nan
    centred = np.where(there, row - mean, 0.0)
    shifted = np.array([centred[lag:] @ centred[: centred.size - lag] for lag in range(overlap)]) / count
    variance = float(shifted[0] + 2.0 * shifted[1:].sum())
    if variance <= 0.0:
        variance = float(shifted[0] + 2.0 * (1.0 - np.arange(1, overlap) / overlap) @ shifted[1:])
    return mean, math.sqrt(max(variance, 0.0) / (count - overlap)), count / overlap - 1.0


def shrink(mean: float, *, error: float) -> float:
    """What is left of a mean IC above zero: max(0, 1 - error^2 / mean^2) * mean; 0 where either isn't known.

    >>> round(shrink(0.05, error=0.025), 4), shrink(0.05, error=0.06), shrink(-0.1, error=0.01)
    (0.0375, 0.0, 0.0)
    """
    if not (mean > 0.0 and math.isfinite(error)):
        return 0.0
    return max(0.0, 1.0 - (error / mean) ** 2) * mean


def _judge(losses: FloatArray | None, *, overlap: int, told: bool | None) -> tuple[bool | None, str]:
    """Whether the model beats its floor, and how that was found."""
    if told is not None:
        return told, f"the run found that it {'beat' if told else 'did not beat'} its floor"
    if losses is None:
        return None, "nobody said whether it beats its floor"
    test = diebold_mariano(losses[0], losses[1], horizon=overlap)
    if math.isnan(test.p_value):
        return False, f"whether it beats its floor can't be tested ({test.reason})"
    beats = test.p_value < _LEVEL
    return beats, f"it {'beat' if beats else 'did not beat'} its floor (Diebold-Mariano p = {test.p_value:.3f})"
