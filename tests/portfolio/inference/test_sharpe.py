"""Probabilistic and deflated Sharpe ratios, against the paper, scipy and worlds of noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tidewright.errors import AllocationError
from tidewright.portfolio import (
    SharpeSample,
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sample_sharpe,
)

PAPER = SharpeSample(sharpe=2.5 / math.sqrt(250), periods=1250, skew=-3.0, kurtosis=10.0)
VARIANCE = 0.5 / 250


def test_the_deflated_sharpe_ratio_of_the_paper_comes_out() -> None:
    after_100 = deflated_sharpe(PAPER, trials=100, trial_variance=VARIANCE)
    assert after_100.hurdle == pytest.approx(0.1132, abs=5e-5)
    assert after_100.probability == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(PAPER, trials=46, trial_variance=VARIANCE).probability == pytest.approx(0.9505, abs=5e-5)


def test_one_trial_is_the_probabilistic_sharpe_ratio() -> None:
    assert deflated_sharpe(PAPER, trials=1, trial_variance=VARIANCE).probability == probabilistic_sharpe(PAPER)


def test_more_trials_and_more_variance_raise_the_hurdle() -> None:
    hurdles = [expected_best_sharpe(trials, trial_variance=VARIANCE) for trials in (1, 2, 3, 10, 1000, 10**6)]
    assert hurdles == sorted(hurdles)
    assert hurdles[0] == 0.0
    assert expected_best_sharpe(10, trial_variance=4 * VARIANCE) == pytest.approx(2 * hurdles[3], rel=1e-12)


def test_the_hurdle_is_near_the_mean_of_the_largest_of_normals() -> None:
    best = np.random.default_rng(1).normal(size=(20_000, 100)).max(axis=1).mean()
    assert expected_best_sharpe(100, trial_variance=1.0) == pytest.approx(best, rel=0.02)


def test_moments_agree_with_scipy() -> None:
    returns = np.random.default_rng(2).standard_t(5, size=500) * 0.01
    sample = sample_sharpe(returns, risk_free=0.001)
    assert sample.sharpe == pytest.approx((returns.mean() - 0.001) / returns.std(ddof=1), rel=1e-12)
    assert sample.skew == pytest.approx(stats.skew(returns), rel=1e-10)
    assert sample.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-10)


def test_with_normal_returns_it_is_near_the_t_test() -> None:
    returns = np.random.default_rng(3).normal(0.0005, 0.01, size=1000)
    p_value = stats.ttest_1samp(returns, 0.0, alternative="greater").pvalue
    assert 1 - probabilistic_sharpe(sample_sharpe(returns)) == pytest.approx(p_value, abs=0.005)


def test_returns_without_variation_have_no_probability() -> None:
    sample = sample_sharpe([0.01] * 10)
    assert math.isnan(sample.sharpe)
    assert math.isnan(probabilistic_sharpe(sample))
    assert math.isnan(deflated_sharpe(sample, trials=3, trial_variance=0.1).probability)


def test_the_best_of_fifty_noise_strategies_is_seldom_called_skill() -> None:
    """Of 400 worlds a plain ratio is called skill in 1 - 0.95^50 = 92 %, the deflated one in at most 5 %."""
    rng, worlds = np.random.default_rng(4), 400
    plain = deflated = 0
    for _ in range(worlds):
        world = rng.normal(0, 0.01, size=(50, 500))
        ratios = world.mean(axis=1) / world.std(axis=1, ddof=1)
        best = sample_sharpe(world[int(np.argmax(ratios))])
        plain += probabilistic_sharpe(best) > 0.95
        verdict = deflated_sharpe(best, trials=50, trial_variance=float(ratios.var(ddof=1)))
        deflated += verdict.probability > 0.95
    assert plain / worlds == pytest.approx(0.923, abs=0.03)
    assert deflated <= 0.05 * worlds


@pytest.mark.parametrize(
    ("trials", "variance", "message"),
    [
        (0, 0.1, "trials is 0"),
        (0.5, 0.1, "trials is 0.5"),
        (math.inf, 0.1, "trials is inf"),
        (True, 0.1, "trials is True"),
        (5, -0.1, "trial_variance is -0.1"),
        (5, math.nan, "trial_variance is nan"),
    ],
)
def test_trials_that_can_not_be_are_refused(trials: Any, variance: float, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        expected_best_sharpe(trials, trial_variance=variance)


def test_a_fraction_of_trials_lies_between_its_neighbours() -> None:
    hurdles = [expected_best_sharpe(trials, trial_variance=1.0) for trials in (1, 1.5, 2, 2.5, 3, 99.5, 100)]
    assert hurdles == sorted(hurdles)
    assert len(set(hurdles)) == len(hurdles)


@pytest.mark.parametrize(("benchmark", "years"), [(0.0, 0.68), (1.0, 2.73)])
def test_the_track_records_of_the_paper_come_out(benchmark: float, years: float) -> None:
    """A Sharpe ratio of 2 a year from normal daily returns: 2.73 years to be above 1 at 95 % (Bailey and Lopez de
    Prado 2012); above 0, by hand: 1 + (1 + 0.5 x 0.016) (1.645 / 0.1265)^2 = 171.5 days."""
    daily = SharpeSample(sharpe=2 / math.sqrt(250), periods=250, skew=0.0, kurtosis=3.0)
    found = minimum_track_record(daily, benchmark=benchmark / math.sqrt(250)) / 250
    assert found == pytest.approx(years, abs=0.01)


def test_with_its_minimum_track_record_a_ratio_is_just_proven() -> None:
    sample = SharpeSample(sharpe=0.1, periods=30, skew=-0.7, kurtosis=5.0)
    for confidence in (0.9, 0.95, 0.99):
        least = minimum_track_record(sample, benchmark=0.02, confidence=confidence)
        grown = SharpeSample(0.1, round(least), -0.7, 5.0)
        assert probabilistic_sharpe(grown, benchmark=0.02) == pytest.approx(confidence, abs=1e-3)


def test_no_record_is_long_enough_for_a_ratio_below_its_benchmark() -> None:
    assert minimum_track_record(SharpeSample(0.1, 30, 0.0, 3.0), benchmark=0.1) == math.inf
    assert math.isnan(minimum_track_record(sample_sharpe([0.01] * 10)))
    with pytest.raises(AllocationError, match="confidence is 95"):
        minimum_track_record(SharpeSample(0.1, 30, 0.0, 3.0), confidence=95)


def test_excess_kurtosis_is_refused_where_it_shows() -> None:
    with pytest.raises(AllocationError, match="Pass the plain kurtosis"):
        SharpeSample(sharpe=0.1, periods=100, skew=0.0, kurtosis=0.0)


def test_one_return_is_refused() -> None:
    with pytest.raises(AllocationError, match="1 returns has no distribution"):
        sample_sharpe([0.1])
