"""The block bootstrap against resamples laid out one by one, and how often its intervals hold the truth."""

import numpy as np
import pytest

from tidewright.errors import ConfigError, DataError
from tidewright.metrics.bootstrap import block_bootstrap, block_bootstrap_ratio, choose_block


def laid_out(values, *, block, draws, seed):
    """Each resample written out: circular blocks, the last one cut."""
    count = len(values)
    starts = np.random.default_rng(seed).integers(count, size=(draws, -(-count // block)))
    rows = [[values[(start + k) % count] for start in line for k in range(block)][:count] for line in starts]
    return np.array(rows)


@pytest.mark.parametrize("block", [1, 3, 7, 11])
def test_the_interval_is_that_of_resamples_laid_out_one_by_one(block):
    generator = np.random.default_rng(0)
    above, below = generator.random(11), generator.random(11) + 1e3
    got = block_bootstrap_ratio(above, below, block=block, seed=5, draws=50, level=0.8)
    sums = [laid_out(part, block=block, draws=50, seed=5).sum(axis=1) for part in (above, below)]
    expected = np.quantile(sums[0] / sums[1], [0.1, 0.9])
    assert (got.low, got.high) == pytest.approx(tuple(expected), rel=1e-10)


def coverage(*, block, reach, replications=300):
    """How often a 90 % interval holds the mean 0 of noise that depends on its `reach` - 1 predecessors."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(replications):
        noise = generator.standard_normal(100 + reach - 1)
        interval = block_bootstrap(
            np.convolve(noise, np.ones(reach), mode="valid"), block=block, seed=generator, draws=300
        )
        held += interval.low <= 0.0 <= interval.high
    return held / replications


def test_intervals_of_independent_values_hold_the_truth_as_often_as_they_say():
    assert 0.85 <= coverage(block=1, reach=1) <= 0.95


def test_blocks_keep_the_coverage_where_single_values_would_lose_it():
    assert 0.8 <= coverage(block=10, reach=5) <= 0.95
    assert coverage(block=1, reach=5) < 0.7


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    values = np.random.default_rng(2).random(30)
    one, same, other = (block_bootstrap(values, block=3, seed=seed) for seed in (7, 7, 8))
    assert one == same
    assert one != other


def test_a_higher_level_gives_a_wider_interval():
    values = np.random.default_rng(2).random(30)
    narrow, wide = (block_bootstrap(values, block=3, seed=0, level=level) for level in (0.5, 0.95))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_missing_value_does_not_count():
    gappy = np.array([2.0, np.nan, 2.0, np.nan, 2.0])
    interval = block_bootstrap(gappy, block=1, seed=0)
    assert (interval.low, interval.high) == pytest.approx((2.0, 2.0))
    assert interval.draws < 1000  # some resamples are all missing


def test_a_large_level_of_values_does_not_blur_a_small_spread():
    values = 1e9 + np.random.default_rng(3).random(50)
    near = block_bootstrap(values - 1e9, block=4, seed=0)
    far = block_bootstrap(values, block=4, seed=0)
    assert (far.low - 1e9, far.high - 1e9) == pytest.approx((near.low, near.high), abs=1e-6)


def test_values_without_any_number_have_no_interval():
    with pytest.raises(DataError, match="denominators are all 0"):
        block_bootstrap([np.nan, np.nan], block=1, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 0}, "block must be from 1 to the 3 values that there are, got 0"),
        ({"block": 4}, "got 4"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"level": 90}, "Write 0.9 for 90 %"),
        ({"level": 1.0}, "between 0 and 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        block_bootstrap([1.0, 2.0, 3.0], **({"block": 1, "seed": 0} | options))


def test_wrong_values_are_refused():
    with pytest.raises(DataError, match=r"one number a cutoff, in order; got shapes \(0,\)"):
        block_bootstrap([], block=1, seed=0)
    with pytest.raises(DataError, match=r"got shapes \(2,\) and \(1,\)"):
        block_bootstrap_ratio([1.0, 2.0], [1.0], block=1, seed=0)
    with pytest.raises(DataError, match=r"entry 1 can't be resampled: inf over 1\.0"):
        block_bootstrap([1.0, np.inf], block=1, seed=0)
    with pytest.raises(DataError, match=r"entry 0 can't be resampled: 1\.0 over -1\.0"):
        block_bootstrap_ratio([1.0, 2.0], [-1.0, 2.0], block=1, seed=0)


def test_a_block_is_at_least_as_long_as_the_dependence_and_never_longer_than_the_data():
    assert [choose_block(n) for n in (1, 8, 27, 1000)] == [1, 2, 3, 10]
    assert choose_block(1000, lags=95) == 96
    assert choose_block(10, lags=95) == 10
    with pytest.raises(ConfigError, match="got 0 and 0"):
        choose_block(0)
