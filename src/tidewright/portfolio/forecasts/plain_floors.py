"""Forecasts that need no model, to hold predictions of returns against: no change, and the mean so far.

C cutoffs, A assets, H steps, T bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.forecasts.predictions import Predictions
from tidewright.portfolio.inputs import FloatArray, read_assets, read_matrix, read_times

ZERO, MEAN = "no change", "mean so far"


def plain_floors(
    predictions: Predictions, returns: ArrayLike, *, times: ArrayLike, assets: Sequence[str]
) -> dict[str, Predictions]:
    """Forecasts of the same cutoffs, assets and steps by name: returns of zero, and each asset's mean return so far.

    `returns` [T, A] are simple returns at `times`; of those at or before a cutoff alone is its mean, 0 where there are
    none. An asset without a prediction at a cutoff has none here either.
    """
    values = read_matrix(returns, noun="returns")
    stamps = read_times(times, rows=len(values))
    names = read_assets(assets, columns=values.shape[1])
    columns = [names.index(name) for name in predictions.assets]
    known = np.isfinite(values[:, columns])
    sums = np.cumsum(np.where(known, values[:, columns], 0.0), axis=0)
    means = sums / np.maximum(np.cumsum(known, axis=0), 1)
    rows = np.searchsorted(stamps, predictions.cutoffs, side="right") - 1
    so_far = np.where((rows >= 0)[:, None], means[np.maximum(rows, 0)], 0.0)
    return {ZERO: _say(predictions, ZERO, np.zeros_like(so_far)), MEAN: _say(predictions, MEAN, so_far)}


def choose_floor(
    predictions: Predictions, returns: ArrayLike, *, times: ArrayLike, assets: Sequence[str]
) -> Predictions:
    """The plain floor with the lower mean absolute error on the cutoffs whose horizon is over: the harder one to beat.

    Where none is over, nothing can be told, and it is "no change".
    """
    floors = plain_floors(predictions, returns, times=times, assets=assets)
    realised, known = predictions.realise(returns, times=times, assets=assets)
    if not known.any():
        return floors[ZERO]
    errors = {name: _mean_error(floor.expected()[known], realised[known]) for name, floor in floors.items()}
    return floors[min(errors, key=lambda name: errors[name])]


def refuse_units(expected: FloatArray, spread: FloatArray, *, returns: FloatArray, steps: int) -> None:
    """Forecasts in percent, or of prices: they differ far more than returns [T, A] of so many steps ever do.

    `expected` and `spread` are [C, A]. Raises `AllocationError`.
    """
    usual = float(np.sqrt(steps) * np.nanmedian(np.nanstd(returns, axis=0)))
    widths = spread[np.isfinite(spread)]
    said = float(np.median(widths)) if widths.size else float(np.nanstd(expected))
    if usual > 0.0 and said > _FAR * usual:
        raise AllocationError(
            f"the forecasts vary by {said:.3g} over {steps} steps and the returns by {usual:.3g}: these are no simple "
            "returns as fractions (0.01 is one percent). Divide percents by 100; of prices forecast the returns."
        )


_FAR = 20.0  # times: a percent is 100


def _say(predictions: Predictions, name: str, step: FloatArray) -> Predictions:
    """A forecast of `step` [C, A] for every step, where there is a prediction."""
    there = np.isfinite(predictions.quantiles).all(axis=(2, 3))
    values = np.where(there, step, np.nan)
    wide = np.repeat(values[:, :, None, None], predictions.times.shape[1], axis=2)
    return replace(predictions, model=name, levels=np.array([0.5]), quantiles=wide, notes=())


def _mean_error(forecast: FloatArray, realised: FloatArray) -> float:
    errors = np.abs(forecast - realised)
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else np.inf
