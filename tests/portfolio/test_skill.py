"""Measured skill: its error, its shrinkage, its evidence, and that it never looks ahead."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.forecasts.predictions import Predictions
from tidewright.portfolio.forecasts.rank_ic import rank_ic
from tidewright.portfolio.forecasts.skill import average, estimate_skill, measure_skill, shrink, walk_skill

Floats = NDArray[np.float64]
NAMES = tuple(f"asset {number}" for number in range(6))
BARS, HORIZON = 150, 3
DAYS = np.datetime64("2020-01-01") + np.arange(BARS)


@cache
def draw_returns() -> Floats:
    return np.random.default_rng(0).normal(0.0, 0.01, (BARS, 6))


def predict(*, noise: float, every: int = 1, seed: int = 1) -> Predictions:
    """Forecasts of each bar's next three returns: these with noise beside them."""
    returns, rows = draw_returns(), np.arange(0, BARS - HORIZON, every)
    steps = rows[:, None] + np.arange(1, HORIZON + 1)
    truth = returns[steps].transpose(0, 2, 1)
    said = truth + np.random.default_rng(seed).normal(0.0, noise, truth.shape)
    values = said[..., None] + np.array([-0.02, 0.0, 0.02])
    return Predictions("noisy", NAMES, DAYS[rows], DAYS[steps], np.array([0.1, 0.5, 0.9]), values)


def test_the_rank_correlation_is_that_of_scipy() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(3)
    said, came = rng.integers(0, 5, (20, 9)) / 10.0, rng.normal(size=(20, 9))
    came[rng.random(came.shape) < 0.1] = np.nan
    there = np.isfinite(came)
    theirs = [spearmanr(one[on], other[on]).statistic for one, other, on in zip(said, came, there, strict=True)]
    np.testing.assert_allclose(rank_ic(said, came), theirs, atol=1e-12)
    assert np.isnan(rank_ic([[1.0, 2.0, np.nan], [1.0, 1.0, 1.0]], [[1.0, 2.0, 3.0]] * 2)).all()


@pytest.mark.parametrize("overlap", [1, 4])
def test_the_error_is_that_of_statsmodels_but_for_its_small_sample_factor(overlap: int) -> None:
    import statsmodels.api as sm

    steps = np.random.default_rng(4).normal(size=203)
    values = np.convolve(steps, np.ones(4), "valid") + 0.3
    options = {"maxlags": overlap - 1, "kernel": "uniform"}
    theirs = sm.OLS(values, np.ones(200)).fit(cov_type="HAC", cov_kwds=options).bse[0]
    mean, error, freedom = average(values, overlap=overlap)
    assert mean == pytest.approx(values.mean(), rel=1e-12)
    assert error == pytest.approx(theirs * math.sqrt(200 / (200 - overlap)), rel=1e-9)
    assert freedom == 200 / overlap - 1


def test_a_variance_that_would_be_negative_is_weighted_as_newey_and_west_do() -> None:
    _, error, _ = average([1.0, -1.0] * 4 + [0.0], overlap=2)
    values = np.array([1.0, -1.0] * 4 + [0.0])
    lags = np.array([values @ values, values[1:] @ values[:-1]]) / 9
    assert lags[0] + 2 * lags[1] < 0
    assert error == pytest.approx(math.sqrt((lags[0] + lags[1]) / 7), rel=1e-12)


def test_noise_is_called_skill_in_about_as_many_worlds_as_promised() -> None:
    from scipy.stats import t

    rng, found = np.random.default_rng(5), []
    for _ in range(600):
        values = np.convolve(rng.normal(size=84), np.ones(5), "valid")
        mean, error, freedom = average(values, overlap=5)
        found.append(abs(mean / error) > t.ppf(0.975, freedom))
    assert 0.03 < np.mean(found) < 0.09


def test_a_missing_date_keeps_its_place_in_time() -> None:
    values = np.array([0.1, 0.2, np.nan, 0.4, 0.3, 0.5])
    mean, error, _ = average(values, overlap=2)
    assert mean == pytest.approx(0.3, rel=1e-12)
    assert error != average(values[np.isfinite(values)], overlap=2)[1]


def test_what_is_left_of_a_mean_is_the_written_formula() -> None:
    assert shrink(0.06, error=0.03) == pytest.approx(0.045, rel=1e-12)
    assert shrink(0.03, error=0.03) == 0.0
    assert shrink(-0.5, error=0.01) == 0.0
    assert shrink(0.5, error=math.nan) == 0.0
    assert shrink(math.nan, error=0.1) == 0.0


def test_better_forecasts_have_more_skill_and_noise_hardly_any() -> None:
    told = {"times": DAYS, "assets": NAMES, "beats_floor": True}
    sharp, dull = (measure_skill(predict(noise=noise), draw_returns(), **told) for noise in (0.01, 0.05))
    assert sharp.used > dull.used > 0.0
    assert sharp.overlap == HORIZON
    rng, worlds = np.random.default_rng(6), []
    for _ in range(200):
        worlds.append(estimate_skill(rng.normal(size=(60, 6)), rng.normal(size=(60, 6)), beats_floor=True).used)
    assert np.mean(np.array(worlds) == 0.0) > 0.75
    assert np.mean(worlds) < 0.02


def test_only_a_forecast_that_beats_its_floor_moves_weights() -> None:
    told = {"times": DAYS, "assets": NAMES}
    model, worse = predict(noise=0.01), predict(noise=0.05, seed=2)
    untold = measure_skill(model, draw_returns(), **told)
    assert (untold.beats_floor, untold.used) == (None, 0.0)
    assert untold.shrunk > 0.5
    beside = measure_skill(model, draw_returns(), **told, floor=worse)
    assert beside.beats_floor
    assert beside.used == beside.shrunk == untold.shrunk
    assert beside.floor_mean == pytest.approx(measure_skill(worse, draw_returns(), **told).mean, rel=1e-12)
    other = measure_skill(worse, draw_returns(), **told, floor=model)
    assert not other.beats_floor
    assert other.used == 0.0
    assert "did not beat its floor (Diebold-Mariano p = " in other.explain()
    assert measure_skill(model, draw_returns(), **told, beats_floor=False).used == 0.0
    assert measure_skill(worse, draw_returns(), **told, floor=model, beats_floor=True).used > 0.0


def test_too_few_cutoffs_have_no_error_and_no_weight() -> None:
    short = measure_skill(
        predict(noise=0.01), draw_returns(), times=DAYS, assets=NAMES, as_of=DAYS[7], beats_floor=True
    )
    assert short.count == 5
    assert math.isnan(short.error)
    assert short.used == 0.0
    assert "too few for its error" in short.explain()
    nothing = estimate_skill([[0.1, 0.2]], [[0.1, 0.3]], beats_floor=True)
    assert nothing.explain() == "No date had 3 assets to order, so no skill could be measured."
    few = measure_skill(
        predict(noise=0.01), draw_returns(), times=DAYS, assets=NAMES, as_of=DAYS[14], floor=predict(noise=0.05)
    )
    assert few.beats_floor is False
    assert "can't be tested" in few.evidence


@pytest.mark.parametrize("cut", [4, 5, 30, 31, 32, 77, 100, 148])
def test_outcomes_after_a_date_leave_the_skill_of_that_date_as_it_was(cut: int) -> None:
    returns, changed = draw_returns(), draw_returns().copy()
    changed[cut + 1 :] = np.random.default_rng(cut).normal(0.0, 0.05, changed[cut + 1 :].shape)
    for every in (1, 2):
        said, floor = predict(noise=0.02, every=every), predict(noise=0.04, every=every)
        told = {"times": DAYS, "assets": NAMES, "floor": floor}
        one = measure_skill(said, returns, **told, as_of=DAYS[cut])
        other = measure_skill(said, changed, **told, as_of=DAYS[cut])
        assert one.ic.tobytes() == other.ic.tobytes()
        assert (one.mean, one.error, one.used) == pytest.approx(
            (other.mean, other.error, other.used), nan_ok=True, abs=0
        )
        walked, again = (walk_skill(said, table, **told) for table in (returns, changed))
        known = said.cutoffs <= DAYS[cut]
        assert walked[known].tobytes() == again[known].tobytes()
        row = int(np.flatnonzero(known)[-1])
        as_of = measure_skill(said, returns, **told, as_of=said.cutoffs[row])
        assert walked[row] == as_of.used


def test_an_outcome_counts_from_the_last_bar_of_its_horizon_on() -> None:
    said = predict(noise=0.02)
    counts = [measure_skill(said, draw_returns(), times=DAYS, assets=NAMES, as_of=DAYS[bar]).count for bar in (2, 3, 4)]
    assert counts == [0, 1, 2]


def test_what_can_not_be_measured_is_refused() -> None:
    with pytest.raises(AllocationError, match=r"shape \(1, 2\), outcomes \(2, 2\)"):
        estimate_skill([[1.0, 2.0]], [[1.0, 2.0]] * 2)
    with pytest.raises(AllocationError, match="overlap is 0"):
        estimate_skill([[1.0, 2.0]], [[1.0, 2.0]], overlap=0)
    with pytest.raises(AllocationError, match=r"the floor's forecasts have the shape \(1, 1\)"):
        estimate_skill([[1.0, 2.0]], [[1.0, 2.0]], floor=[[1.0]])
    with pytest.raises(AllocationError, match="the floor predicts other assets or times"):
        measure_skill(predict(noise=0.01), draw_returns(), times=DAYS, assets=NAMES, floor=predict(noise=0.01, every=2))
    with pytest.raises(AllocationError, match="as_of is 2019-01-01, before the first return"):
        measure_skill(predict(noise=0.01), draw_returns(), times=DAYS, assets=NAMES, as_of=np.datetime64("2019-01-01"))
