"""Tests of drift: against scipy and formulas by hand, silent where nothing drifts, and not where something does."""

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp

from tidewright.errors import DataError
from tidewright.inference.drift import (
    block_values,
    compare_means,
    compare_rows,
    compare_values,
    draw_picks,
    find_edges,
    ks_statistic,
    least_p,
    mmd_statistic,
    psi,
)

LEVEL = 0.05


def blocks_of(rng, *, blocks, size, phi=0.0, shift=0.0, scale=1.0, columns=1):
    """Values that hang together from one to the next, in blocks."""
    count = blocks * size + 100
    found = np.empty((count, columns))
    noise = rng.normal(size=(count, columns)) * math.sqrt(1 - phi**2)
    found[0] = noise[0]
    for place in range(1, count):
        found[place] = phi * found[place - 1] + noise[place]
    values = shift + scale * found[100:]
    return block_values(values[:, 0] if columns == 1 else values, np.arange(blocks * size) // size)


def share_alarmed(ask, *, worlds):
    """The share of worlds in which a test rejects at 5 %, and in which it was made."""
    p_values = [ask(np.random.default_rng(seed)) for seed in range(worlds)]
    made = [one for one in p_values if one is not None]
    return sum(one <= LEVEL for one in made) / worlds, len(made) / worlds


def test_the_index_is_the_one_counted_by_hand():
    before = np.repeat([1.0, 2.0, 3.0, 4.0], 25)
    now = np.repeat([1.0, 2.0, 3.0, 4.0], [10, 20, 30, 40])
    by_hand = sum((a - 0.25) * math.log(a / 0.25) for a in (0.1, 0.2, 0.3, 0.4))
    assert psi(before, now, bins=4) == pytest.approx(by_hand, rel=1e-12)
    assert psi(before, before) == 0.0


def test_an_empty_bin_counts_half_a_value():
    before, now = np.repeat([1.0, 2.0], 50), np.ones(100)
    shares = (0.5, 1.0), (0.5, 0.5 / 100)
    by_hand = sum((a - e) * math.log(a / e) for e, a in shares)
    assert psi(before, now, bins=2) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        (np.full(50, 5.0), np.full(50, 5.0), False),
        (np.full(50, 5.0), np.full(50, 4.999), True),  # below a column that never moved
        (np.full(50, 5.0), np.full(50, 5.001), True),
        (np.repeat([0.0, 1.0], [95, 5]), np.repeat([-1.0, 1.0], [95, 5]), True),  # just below the commonest value
        (np.repeat([0.0, 1.0], [95, 5]), np.repeat([0.0, 1.0], [50, 50]), True),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), False),
        (np.array([1.0] * 9 + [np.nan]), np.array([1.0] * 5 + [np.nan] * 5), True),  # missing is a bin of its own
    ],
)
def test_ties_constants_and_missing_values_have_bins_of_their_own(before, now, moved):
    assert (psi(before, now) > 0.05) == moved


def test_edges_of_values_without_ties_are_their_quantiles():
    values = np.random.default_rng(0).normal(size=1000)
    edges = find_edges(values)
    assert len(edges) == 9
    assert np.allclose(np.searchsorted(np.sort(values), edges, side="right"), np.arange(100, 1000, 100))


def test_nothing_to_compare_is_nan():
    assert math.isnan(psi([], [1.0]))
    assert math.isnan(ks_statistic([np.nan], [1.0]))
    assert math.isnan(mmd_statistic([[1.0]], [[1.0], [2.0]]))
    with pytest.raises(DataError, match="hold an infinite one"):
        block_values([1.0, math.inf], [0, 0])


@pytest.mark.parametrize("ties", [False, True])
def test_the_largest_distance_is_scipys(ties):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=200), rng.normal(0.3, 1.0, size=77)
    if ties:
        a, b = a.round(1), b.round(1)
    assert ks_statistic(a, b) == pytest.approx(ks_2samp(a, b).statistic, abs=1e-15)
    assert ks_statistic(np.append(a, np.nan), b) == pytest.approx(ks_2samp(a, b).statistic, abs=1e-15)


def test_where_each_value_is_a_block_the_p_value_is_scipys():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=60), rng.normal(0.5, 1.0, size=40)
    _, distance = compare_values(block_values(a, np.arange(60)), block_values(b, np.arange(40)), draws=20_000, seed=0)
    exact = ks_2samp(a, b, method="exact").pvalue
    assert distance.joined == 1
    assert distance.p_value == pytest.approx(exact, rel=0.1)


def test_the_discrepancy_is_the_one_of_the_paper():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(12, 2)), rng.normal(0.4, 1.0, size=(9, 2))

    def kernel(a, b):
        return math.exp(-float(((a - b) ** 2).sum()) / (2 * 1.3**2))

    within = [
        sum(kernel(one[i], one[j]) for i in range(len(one)) for j in range(len(one)) if i != j)
        / (len(one) * (len(one) - 1))
        for one in (x, y)
    ]
    across = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    assert mmd_statistic(x, y, width=1.3) == pytest.approx(sum(within) - 2 * across, abs=1e-12)


def test_the_width_is_the_median_distance():
    x, y = np.array([[0.0], [1.0]]), np.array([[3.0], [7.0]])
    median = float(np.median([1, 3, 7, 2, 6, 4]))
    assert mmd_statistic(x, y) == pytest.approx(mmd_statistic(x, y, width=median), abs=1e-15)


def test_the_first_pick_is_the_live_part_and_a_seed_repeats_the_others():
    picks = draw_picks(10, 3, draws=50, seed=4)
    assert picks[0].tolist() == [False] * 7 + [True] * 3
    assert (picks.sum(axis=1) == 3).all()
    assert np.array_equal(picks, draw_picks(10, 3, draws=50, seed=4))
    assert not np.array_equal(picks, draw_picks(10, 3, draws=50, seed=5))
    assert least_p(24, 2) == pytest.approx(1 / 276)


@pytest.mark.parametrize(("phi", "blocks", "live", "size"), [(0.0, 24, 3, 8), (0.5, 40, 4, 12), (0.9, 60, 6, 12)])
def test_in_worlds_without_drift_the_false_alarms_keep_their_share(phi, blocks, live, size):
    def ask(rng):
        whole = blocks_of(rng, blocks=blocks + live, size=size, phi=phi)
        before = block_values(whole.values[whole.blocks < blocks], whole.blocks[whole.blocks < blocks])
        now = block_values(whole.values[whole.blocks >= blocks], whole.blocks[whole.blocks >= blocks] - blocks)
        return compare_values(before, now, draws=199)[1].p_value

    alarmed, made = share_alarmed(ask, worlds=200)
    assert alarmed <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 200)
    assert made > 0.5


def test_a_few_blocks_that_still_hang_together_a_little_do_not_alarm_for_that():
    """So few can't show that they are alike; without what makes up for it one in eight of these worlds alarms."""

    def ask(rng):
        whole = blocks_of(rng, blocks=36, size=6, phi=0.7)
        late = whole.blocks >= 24
        before = block_values(whole.values[~late], whole.blocks[~late])
        return compare_values(before, block_values(whole.values[late], whole.blocks[late] - 24), draws=199)

    found = [ask(np.random.default_rng(seed)) for seed in range(300)]
    for place in (0, 1):
        p_values = [one[place].p_value for one in found]
        alarmed = sum(one is not None and one <= LEVEL for one in p_values) / len(found)
        assert alarmed <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / 300)
    assert max(one[0].held for one in found) > 1.2


def test_a_test_that_takes_each_value_for_a_new_one_would_alarm():
    """Why values are drawn in blocks: scipy's p-value on the same worlds."""

    def ask(rng):
        whole = blocks_of(rng, blocks=66, size=12, phi=0.9)
        return ks_2samp(whole.values[whole.blocks < 60], whole.values[whole.blocks >= 60]).pvalue

    assert share_alarmed(ask, worlds=100)[0] > 0.4


@pytest.mark.parametrize("change", [{"shift": 1.0}, {"scale": 3.0}])
def test_a_level_or_a_spread_that_moves_is_found(change):
    def ask(rng):
        before = blocks_of(rng, blocks=40, size=12, phi=0.5)
        return compare_values(before, blocks_of(rng, blocks=5, size=12, phi=0.5, **change), draws=199)

    found = [ask(np.random.default_rng(seed)) for seed in range(20)]
    for place in (0, 1):
        assert sum(one[place].p_value is not None and one[place].p_value <= LEVEL for one in found) >= 14


def test_columns_that_move_apart_are_found_together_and_only_then():
    rng = np.random.default_rng(5)
    before, same = (blocks_of(rng, blocks=count, size=12, columns=2) for count in (30, 5))
    first = rng.normal(size=60)
    tied = block_values(np.column_stack([first, first]), same.blocks)  # each column alone is as before
    assert compare_rows(before, same, joined=1, draws=499).p_value > LEVEL
    assert compare_rows(before, tied, joined=1, draws=499).p_value <= 0.01
    assert ks_2samp(before.values[:, 0], first).pvalue > LEVEL


def test_a_mean_is_tested_on_the_side_that_is_asked_for():
    rng = np.random.default_rng(6)
    before, lower = blocks_of(rng, blocks=30, size=8), blocks_of(rng, blocks=5, size=8, shift=-1.0)
    assert compare_means(before, lower, greater=True).p_value > 0.9
    assert compare_means(before, lower, greater=False).p_value <= 0.01
    assert compare_means(before, block_values([], []), greater=True).p_value is None


def test_values_that_never_come_back_give_no_test_but_a_reason():
    walk = np.cumsum(np.random.default_rng(7).normal(size=600))
    blocks = np.arange(600) // 12
    before, now = block_values(walk[:480], blocks[:480]), block_values(walk[480:], blocks[480:] - 40)
    _, distance = compare_values(before, now)
    assert distance.p_value is None
    assert "hang together" in distance.reason
    assert distance.statistic == ks_statistic(walk[:480], walk[480:])


def test_too_few_blocks_give_no_test_but_a_reason():
    rng = np.random.default_rng(8)
    few = blocks_of(rng, blocks=5, size=10)
    index, distance = compare_values(few, few)
    assert (index.p_value, distance.p_value) == (None, None)
    assert "5 blocks of the reference and 5 live ones are too few" in distance.reason


def test_values_that_are_equal_do_not_look_as_if_they_hung_together():
    blocks = np.arange(400) // 10
    rare = np.zeros(400)
    rare[[20, 333]] = 1.0
    test = compare_means(
        block_values(rare, blocks), block_values(np.repeat([0.0, 1.0], 50), np.arange(100) // 10), greater=True
    )
    assert (test.joined, test.p_value is not None and test.p_value <= 0.01) == (1, True)
