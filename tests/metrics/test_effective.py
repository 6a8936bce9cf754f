"""The effective number of trials against the luck of the best, drawn from known correlations."""

import numpy as np
import pytest

from tidewright.errors import DataError
from tidewright.metrics.effective import effective_number, expected_largest


def correlate(kind, trials=40):
    groups = np.repeat(np.arange(4), trials // 4)
    found = {
        "independent": np.eye(trials),
        "alike": np.full((trials, trials), 0.8),
        "groups": np.where(groups[:, None] == groups, 0.95, 0.0),
    }[kind].copy()
    np.fill_diagonal(found, 1.0)
    return np.linalg.cholesky(found)


@pytest.mark.parametrize("kind", ["independent", "alike", "groups"])
@pytest.mark.parametrize("length", [60, 500])
def test_as_many_independent_trials_have_as_lucky_a_best_one(kind, length):
    draw, root = np.random.default_rng(0), correlate(kind)
    luck = (draw.normal(size=(20_000, len(root))) @ root.T).max(axis=1).mean()
    found = [effective_number(draw.normal(size=(length, len(root))) @ root.T) for _ in range(5)]
    assert expected_largest(np.mean(found)) == pytest.approx(luck, abs=0.06)


def test_copies_count_once_and_signs_don_t_hide_them():
    draw = np.random.default_rng(1)
    one, two = draw.normal(size=(2, 100))
    assert effective_number(np.stack([one] * 7, axis=1)) == 1.0
    assert effective_number(np.stack([one, 3 * one + 5, two], axis=1)) == pytest.approx(
        effective_number(np.stack([one, two], axis=1)), abs=0.15
    )


def test_a_trial_that_doesn_t_vary_is_none():
    noise = np.random.default_rng(2).normal(size=(100, 5))
    still = np.column_stack([noise, np.zeros(100), np.full(100, 0.1)])
    assert effective_number(still) == effective_number(noise)
    assert effective_number(np.zeros((100, 3))) == 1.0


def test_the_same_seed_gives_the_same_number_and_many_trials_fit():
    noise = np.random.default_rng(3).normal(size=(30, 3000))
    assert effective_number(noise, seed=1) == effective_number(noise, seed=1)
    assert effective_number(noise, seed=1) != effective_number(noise, seed=2)


def test_a_few_positions_have_no_number_and_bad_ones_are_refused():
    assert np.isnan(effective_number(np.ones((3, 2))))
    with pytest.raises(DataError, match="finite numbers"):
        effective_number([[1.0, np.nan]])
    with pytest.raises(DataError, match="at least 1"):
        expected_largest(0.5)
