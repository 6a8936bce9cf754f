"""The Diebold-Mariano test against other libraries and in simulations; Holm's correction."""

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from statsmodels.api import OLS
from statsmodels.stats.multitest import multipletests

from tidewright.errors import ConfigError, DataError
from tidewright.metrics.comparison import diebold_mariano, holm


def moving_average(generator, *, n, horizon):
    """Unit-variance noise, uncorrelated from lag `horizon` on, as errors of overlapping forecasts are."""
    noise = generator.standard_normal(n + horizon - 1)
    return np.convolve(noise, np.ones(horizon) / np.sqrt(horizon), mode="valid")


@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
def test_without_lags_it_is_students_t_test(alternative):
    generator = np.random.default_rng(0)
    ours, theirs = generator.random(40), generator.random(40) + 0.1
    got = diebold_mariano(ours, theirs, horizon=1, alternative=alternative)
    expected = ttest_1samp(ours - theirs, 0.0, alternative=alternative)
    assert (got.statistic, got.p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-10)
    assert (got.n, got.lags, got.weights, got.reason) == (40, 0, "rectangular", "")


@pytest.mark.parametrize(("horizon", "stride", "lags"), [(4, 1, 3), (7, 2, 3), (24, 24, 0), (5, 9, 0)])
def test_with_lags_it_is_statsmodels_rectangular_variance_times_the_correction(horizon, stride, lags):
    generator = np.random.default_rng(1)
    theirs = generator.random(50)
    ours = theirs + moving_average(generator, n=50, horizon=4) - 0.2
    got = diebold_mariano(ours, theirs, horizon=horizon, stride=stride, alternative="two-sided")
    options = {"maxlags": lags, "kernel": "uniform", "use_correction": False}
    fit = OLS(ours - theirs, np.ones(50)).fit(cov_type="HAC", cov_kwds=options)
    span = lags + 1
    expected = fit.tvalues[0] * np.sqrt((50 + 1 - 2 * span + span * (span - 1) / 50) / 50)
    assert got.lags == lags
    assert got.statistic == pytest.approx(expected, rel=1e-10)
    assert got.p_value == pytest.approx(2 * student.sf(abs(expected), 49), rel=1e-10)


def test_swapping_the_two_mirrors_the_result():
    generator = np.random.default_rng(2)
    a, b = generator.random(30), generator.random(30)
    one, other = diebold_mariano(a, b, horizon=2), diebold_mariano(b, a, horizon=2, alternative="greater")
    assert (one.p_value, one.statistic) == pytest.approx((other.p_value, -other.statistic))


def rejections(*, horizon, gain, alternative, seed):
    generator = np.random.default_rng(seed)
    rejected = 0
    for _ in range(500):
        theirs = 5.0 + generator.random(60)
        ours = theirs + moving_average(generator, n=60, horizon=horizon) - gain
        rejected += diebold_mariano(ours, theirs, horizon=horizon, alternative=alternative).p_value < 0.05
    return rejected / 500


@pytest.mark.parametrize("alternative", ["less", "two-sided"])
@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_equal_accuracy_is_rejected_about_as_often_as_the_level_says(horizon, alternative):
    assert 0.02 <= rejections(horizon=horizon, gain=0.0, alternative=alternative, seed=horizon) <= 0.08


def test_a_true_gain_is_found():
    assert rejections(horizon=1, gain=0.5, alternative="less", seed=3) > 0.95
    assert rejections(horizon=4, gain=1.0, alternative="less", seed=3) > 0.9


def test_a_gain_is_no_evidence_of_the_opposite():
    assert rejections(horizon=1, gain=0.5, alternative="greater", seed=3) == 0.0


def test_a_variance_that_is_not_positive_falls_back_to_bartlett_and_says_so():
    theirs = np.full(20, 5.0)
    ours = theirs - 0.1 + np.where(np.arange(20) % 2, 1.0, -1.0)
    got = diebold_mariano(ours, theirs, horizon=2)
    covariances = 1.0, -19 / 20
    variance = covariances[0] + 2 * 0.5 * covariances[1]
    correction = (20 + 1 - 4 + 2 / 20) / 20
    assert got.weights == "bartlett"
    assert got.statistic == pytest.approx(-0.1 / np.sqrt(variance / 20) * np.sqrt(correction), rel=1e-9)


def test_a_missing_loss_keeps_its_place_in_time():
    generator = np.random.default_rng(4)
    ours, theirs = generator.random(40), generator.random(40)
    ours[10] = np.nan
    got = diebold_mariano(ours, theirs, horizon=2, alternative="two-sided")
    difference = ours - theirs
    deviation = np.nan_to_num(difference - np.nanmean(difference))
    variance = (deviation @ deviation + 2 * deviation[1:] @ deviation[:-1]) / 39
    expected = np.nanmean(difference) / np.sqrt(variance / 39) * np.sqrt((39 + 1 - 4 + 2 / 39) / 39)
    assert (got.n, got.statistic) == (39, pytest.approx(expected, rel=1e-10))


def test_identical_losses_have_p_1_and_a_reason():
    losses = np.random.default_rng(5).random(20)
    got = diebold_mariano(losses, losses * (1 + 1e-15), horizon=1)
    assert (got.p_value, got.reason) == (1.0, "the losses are identical at every cutoff")
    assert np.isnan(got.statistic)


@pytest.mark.parametrize(
    ("ours", "horizon", "reason"),
    [
        ([1.0, 2.0], 1, "2 cutoffs are too few for 0 lags; 3 are needed"),
        ([1.0, 2.0, np.nan], 1, "2 cutoffs are too few"),
        (np.arange(23.0), 4, "23 cutoffs are too few for 3 lags; 24 are needed, or a larger stride"),
        ([], 1, "0 cutoffs are too few"),
        ([np.nan] * 5, 1, "0 cutoffs are too few"),
        ([0.1] * 9, 1, "differ by the same amount at every cutoff"),
    ],
)
def test_where_no_test_can_be_made_p_is_nan_with_the_reason(ours, horizon, reason):
    got = diebold_mariano(ours, np.zeros(len(ours)), horizon=horizon)
    assert np.isnan(got.p_value)
    assert np.isnan(got.statistic)
    assert reason in got.reason


def test_wrong_arguments_are_refused():
    with pytest.raises(DataError, match=r"got shapes \(2,\) and \(3,\)"):
        diebold_mariano([1.0, 2.0], [1.0, 2.0, 3.0], horizon=1)
    with pytest.raises(DataError, match="the loss at cutoff 1 is infinite"):
        diebold_mariano([1.0, np.inf], [1.0, 2.0], horizon=1)
    with pytest.raises(ConfigError, match="at least 1 step, got 0 and 1"):
        diebold_mariano([1.0], [1.0], horizon=0)
    with pytest.raises(ConfigError, match=r"alternative is 'less'.*got 'lower'"):
        diebold_mariano([1.0], [1.0], horizon=1, alternative="lower")


def test_holm_equals_statsmodels_and_leaves_nan_out():
    raw = np.random.default_rng(6).random(15) ** 3
    expected = multipletests(raw, method="holm")[1]
    np.testing.assert_allclose(holm(raw), expected, rtol=1e-12)
    with_gaps = np.insert(raw, [0, 7, 15], np.nan)
    np.testing.assert_allclose(holm(with_gaps), np.insert(expected, [0, 7, 15], np.nan), rtol=1e-12)


def test_holm_of_nothing_is_nothing():
    assert holm([]).size == 0
    assert np.isnan(holm([np.nan])).all()


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(DataError, match=r"numbers from 0 to 1.*got \[1\.2\]"):
        holm([1.2])
