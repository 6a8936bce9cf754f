"""The Diebold-Mariano test against other libraries and in simulations; Holm's correction."""

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp
from scipy.stats import t as student
from statsmodels.api import OLS
from statsmodels.stats.multitest import multipletests

from tidewright.errors import ConfigError, DataError
from tidewright.metrics.comparison import compare_across_series, diebold_mariano, holm


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


def draw_differences(rng, *, series: int, cutoffs: int, horizon: int, shared: float):
    """Loss differences [C, S] of two equally good forecasts with overlapping horizons; `shared` is common to all."""
    steps = np.sqrt(shared) * rng.standard_normal((cutoffs + horizon, 1))
    steps = steps + np.sqrt(1.0 - shared) * rng.standard_normal((cutoffs + horizon, series))
    return np.lib.stride_tricks.sliding_window_view(steps, horizon, axis=0).mean(axis=2)[:cutoffs]


@pytest.mark.parametrize("shared", [0.0, 0.02, 0.1, 0.4, 0.8])
def test_a_test_over_series_that_move_together_rejects_no_oftener_than_its_level(shared: float) -> None:
    rng, worlds = np.random.default_rng(3), 1000
    rejected = plain = 0
    for _ in range(worlds):
        table = draw_differences(rng, series=45, cutoffs=14, horizon=8, shared=shared)
        rejected += compare_across_series(table).p_value < 0.05
        plain += ttest_1samp(table.mean(axis=0), 0.0, alternative="less").pvalue < 0.05
    assert rejected <= binom.ppf(0.99, worlds, 0.05)
    assert shared < 0.1 or plain > 200  # a test that takes the series as independent does


def test_a_test_over_series_finds_a_gain_that_independent_series_share() -> None:
    rng = np.random.default_rng(4)
    found = sum(
        compare_across_series(draw_differences(rng, series=45, cutoffs=14, horizon=8, shared=0.0) - 0.2).p_value < 0.05
        for _ in range(200)
    )
    assert found >= 150


def test_over_series_that_do_not_move_together_it_is_students_t_test_of_their_means() -> None:
    table = np.random.default_rng(1).normal(-0.3, 1.0, (30, 12))
    result = compare_across_series(table)
    assert result.correlation == 0.0  # this draw's is below 0
    assert result.p_value == pytest.approx(ttest_1samp(table.mean(axis=0), 0.0, alternative="less").pvalue, rel=1e-12)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.empty((0, 5)), "no series has a loss of both"),
        (np.arange(21.0).reshape(3, 7), "7 series at 3 cutoffs are too few; 8 at 3 are needed"),
        (np.random.default_rng(0).normal(size=(2, 20)), "20 series at 2 cutoffs are too few"),
        (np.arange(4.0)[:, None] + np.zeros((4, 20)), "the 20 series move together"),
    ],
)
def test_a_test_over_series_that_cannot_be_made_says_why(table, message: str) -> None:
    result = compare_across_series(table)
    assert np.isnan(result.p_value)
    assert message in result.reason


def test_missing_differences_are_left_out_of_a_test_over_series() -> None:
    table = np.random.default_rng(6).normal(-1.0, 1.0, (10, 20))
    holes = table.copy()
    holes[0, :5] = np.nan
    assert compare_across_series(holes).n == 20
    assert compare_across_series(np.hstack([table, np.full((10, 3), np.nan)])) == compare_across_series(table)
