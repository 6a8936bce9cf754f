"""Sample paths: each step as the quantiles say, and from step to step as the errors did."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError
from tidewright.features.windows import cut_windows
from tidewright.metrics.distribution import score_at, value_at
from tidewright.models.fitted import Fitted
from tidewright.models.spec import Naive
from tidewright.training.fit import fit
from tidewright.training.paths import Dependence, measure_dependence, mend_correlation, rank_correlation, sample_paths

TASK = Task(6, (0.1, 0.5, 0.9))


@cache
def make_panel() -> Panel:
    """A random walk: its naive forecast's errors at steps a < b are correlated as sqrt(a / b)."""
    walk = np.cumsum(np.random.default_rng(0).normal(size=6000)) + 500
    return Panel.from_table(pl.DataFrame({"t": np.arange(6000), "y": walk}), time="t", target="y")


@cache
def make_split() -> Split:
    return split_holdout(make_panel(), TASK, validation=3000, stride=1)


@cache
def floor() -> Fitted:
    return fit(Naive(), panel=make_panel(), split=make_split(), task=TASK)


@cache
def dependence() -> Dependence:
    return measure_dependence(floor(), panel=make_panel(), cutoffs=make_split().validation)


def test_the_dependence_of_a_random_walks_errors_is_the_one_it_has() -> None:
    steps = np.arange(1, 7)
    true = np.sqrt(np.minimum.outer(steps, steps) / np.maximum.outer(steps, steps))
    np.testing.assert_allclose(dependence().correlation, true, atol=0.06)  # 3,000 windows that overlap
    assert dependence().windows > 2900


def test_every_step_of_the_paths_has_the_forecasts_quantiles() -> None:
    windows = cut_windows(make_panel(), floor().view, horizon=6, cutoffs=Cutoffs(5500, 5503))
    paths = sample_paths(floor(), windows, dependence=dependence(), paths=20_000, seed=1)
    assert paths.shape == (4, 20_000, 6)
    for place, level in enumerate(TASK.quantiles):
        share = (paths <= floor().predict(windows)[:, None, :, place]).mean(axis=1)
        assert np.abs(share - level).max() < 5 * np.sqrt(level * (1 - level) / 20_000)


def test_steps_of_the_paths_hang_together_as_the_errors_do() -> None:
    windows = cut_windows(make_panel(), floor().view, horizon=6, cutoffs=make_split().validation)
    residual = score_at(floor().predict(windows), windows.labels(), levels=TASK.quantiles)
    one = windows.subset(np.array([0]))
    paths = sample_paths(floor(), one, dependence=dependence(), paths=20_000, seed=2)[0]
    expected = stats.spearmanr(residual).statistic
    np.testing.assert_allclose(stats.spearmanr(paths).statistic, expected, atol=0.03)  # 4 / sqrt(20,000)


def test_a_sum_over_the_horizon_is_spread_as_the_labels_sums_are() -> None:
    windows = cut_windows(make_panel(), floor().view, horizon=6, cutoffs=make_split().test or Cutoffs(0, 0))
    paths = sample_paths(floor(), windows, dependence=dependence(), paths=200, seed=3)
    inside = paths.sum(axis=2) <= windows.labels().sum(axis=1)[:, None]
    rank = inside.mean(axis=1)
    assert np.mean((rank > 0.1) & (rank < 0.9)) == pytest.approx(0.8, abs=0.1)
    apart = sample_paths(floor(), windows, dependence=Dependence(np.eye(6), 10), paths=200, seed=3).sum(axis=2)
    assert apart.std(axis=1).mean() < 0.75 * paths.sum(axis=2).std(axis=1).mean()


def test_a_seed_gives_the_same_paths_and_another_does_not() -> None:
    windows = cut_windows(make_panel(), floor().view, horizon=6, cutoffs=Cutoffs(5500, 5501))
    one, again, other = (
        sample_paths(floor(), windows, dependence=dependence(), paths=5, seed=seed) for seed in (1, 1, 2)
    )
    assert one.tobytes() == again.tobytes()
    assert (one != other).any()


def test_paths_that_can_not_be_drawn_are_refused() -> None:
    windows = cut_windows(make_panel(), floor().view, horizon=6, cutoffs=Cutoffs(5500, 5501))
    with pytest.raises(ConfigError, match="1 or more; got 0"):
        sample_paths(floor(), windows, dependence=dependence(), paths=0)
    with pytest.raises(ConfigError, match="the dependence is of 2 steps, the model forecasts 6"):
        sample_paths(floor(), windows, dependence=Dependence(np.eye(2), 10), paths=3)
    with pytest.raises(DataError, match="ranks need 10 windows at least; there are 2"):
        measure_dependence(floor(), panel=make_panel(), cutoffs=Cutoffs(5500, 5501))


def test_rank_correlation_is_scipys_and_leaves_missing_values_out() -> None:
    draw = np.random.default_rng(4)
    values = draw.normal(size=(400, 4)) @ draw.normal(size=(4, 4))
    np.testing.assert_allclose(rank_correlation(values), stats.spearmanr(values).statistic, atol=1e-12)
    holes = np.where(draw.random(values.shape) < 0.1, np.nan, values)
    for a, b in ((0, 1), (2, 3)):
        expected = stats.spearmanr(holes[:, a], holes[:, b], nan_policy="omit").statistic
        assert rank_correlation(holes)[a, b] == pytest.approx(expected, abs=0.02)


def test_an_impossible_correlation_is_mended() -> None:
    wrong = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    right = mend_correlation(wrong)
    assert np.linalg.eigvalsh(right).min() >= 0
    np.testing.assert_allclose(np.diag(right), 1.0)


@settings(max_examples=60, deadline=None)
@given(
    start=arrays(np.float64, (2, 3), elements=st.floats(-100, 100)),
    widths=arrays(np.float64, (2, 3, 3), elements=st.floats(0.01, 50)),
    z=arrays(np.float64, (2, 3), elements=st.floats(-4, 4)),
)
def test_a_value_and_its_normal_score_are_each_others_inverse(start, widths, z) -> None:  # type: ignore[no-untyped-def]
    quantiles = start[..., None] + np.cumsum(widths, axis=2)
    levels = (0.05, 0.5, 0.8)
    back = score_at(quantiles, value_at(quantiles, z, levels=levels), levels=levels)
    np.testing.assert_allclose(back, z, atol=1e-6)


def test_normal_quantiles_give_the_normal_distribution_back() -> None:
    quantiles = stats.norm.ppf((0.1, 0.5, 0.9), 3.0, 2.0)[None, None]
    z = np.linspace(-5, 5, 21)
    found = value_at(quantiles, z.reshape(-1, 1, 1), levels=(0.1, 0.5, 0.9))[:, 0, 0]
    np.testing.assert_allclose(found, 3.0 + 2.0 * z, atol=1e-12)


def test_quantiles_that_are_one_have_the_middle_of_their_scores() -> None:
    quantiles = np.array([[[5.0, 5.0, 5.0]]])
    scores = [float(score_at(quantiles, [[v]], levels=(0.1, 0.5, 0.9))[0, 0]) for v in (4.0, 5.0, 6.0)]
    assert scores == [-8.0, pytest.approx(0.0), 8.0]
    with pytest.raises(DataError, match="two levels or more"):
        score_at([[[5.0]]], [[1.0]], levels=(0.5,))
