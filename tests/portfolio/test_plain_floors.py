"""Floors that need no model know nothing of what comes."""

from __future__ import annotations

import numpy as np
import pytest

from tidewright.errors import AllocationError
from tidewright.portfolio.forecasts.plain_floors import MEAN, ZERO, choose_floor, plain_floors, refuse_units
from tidewright.portfolio.forecasts.predictions import Predictions

DAYS = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
ASSETS = ("A", "B")
RETURNS = np.random.default_rng(0).normal(0.0, 0.01, (60, 2))


def make_predictions() -> Predictions:
    cutoffs = DAYS[[20, 30, 40, 59]]
    times = cutoffs[:, None] + np.arange(1, 4)
    quantiles = np.zeros((4, 2, 3, 3))
    quantiles[1, 1] = np.nan
    return Predictions("mine", ASSETS, cutoffs, times, np.array([0.1, 0.5, 0.9]), quantiles)


def test_the_mean_is_of_returns_up_to_the_cutoff_and_nothing_is_said_where_the_model_says_nothing() -> None:
    floors = plain_floors(make_predictions(), RETURNS, times=DAYS, assets=ASSETS)
    said = floors[MEAN].expected()
    assert said[0] == pytest.approx(3.0 * RETURNS[:21].mean(axis=0))
    assert said[3] == pytest.approx(3.0 * RETURNS.mean(axis=0))
    assert np.isnan(said[1, 1])
    assert floors[ZERO].expected()[[0, 2, 3]].tolist() == [[0.0, 0.0]] * 3
    later = RETURNS.copy()
    later[41:] += 1.0
    again = plain_floors(make_predictions(), later, times=DAYS, assets=ASSETS)[MEAN].expected()
    assert np.array_equal(again[:3], said[:3], equal_nan=True)


def test_the_floor_is_the_one_with_the_lower_error() -> None:
    drift = RETURNS + np.array([0.05, 0.04])
    assert choose_floor(make_predictions(), drift, times=DAYS, assets=ASSETS).model == MEAN
    turned = np.where(np.arange(60)[:, None] < 15, 0.03, -0.001) + 0.001 * RETURNS
    assert choose_floor(make_predictions(), turned, times=DAYS, assets=ASSETS).model == ZERO


def test_percents_and_prices_are_told_from_returns() -> None:
    said = np.random.default_rng(1).normal(0.0, 0.01, (10, 2))
    refuse_units(said, np.full_like(said, 0.02), returns=RETURNS, steps=3)
    with pytest.raises(AllocationError, match="Divide percents by 100"):
        refuse_units(said, np.full_like(said, 2.0), returns=RETURNS, steps=3)
    with pytest.raises(AllocationError, match="these are no simple returns"):
        refuse_units(100.0 * said, np.full_like(said, np.nan), returns=RETURNS, steps=3)
