"""Combinatorial splits: counts, paths, purge and embargo."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.combinatorial import combinatorial_splits
from tidewright.errors import ConfigError, ShortSeriesError


def test_six_groups_two_held_make_fifteen_ways_and_five_paths() -> None:
    """The figure of Lopez de Prado (2018), section 12.4.1."""
    splits = combinatorial_splits(60, groups=6, held=2)
    assert (len(splits), splits.paths.shape) == (15, (5, 6))
    assert splits.ways[:5].tolist() == [[0, 1], [0, 2], [0, 3], [0, 4], [0, 5]]
    assert splits.paths[0].tolist() == [0, 0, 1, 2, 3, 4]  # path 1 of the figure
    assert not splits.ways.flags.writeable


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(80, 140),
    groups=st.integers(3, 7),
    held=st.integers(1, 2),
    horizon=st.integers(1, 4),
    embargo=st.integers(0, 4),
)
def test_no_label_of_training_shares_a_bar_with_one_of_the_test(
    rows: int, groups: int, held: int, horizon: int, embargo: int
) -> None:
    splits = combinatorial_splits(rows, groups=groups, held=held, horizon=horizon, embargo=embargo)
    assert len(splits) == comb(groups, held)
    assert len(splits.paths) == comb(groups - 1, held - 1)
    for train, test in splits:
        apart = train[:, None] - test[None]
        assert (np.abs(apart) >= horizon).all()
        gone = np.setdiff1d(np.arange(rows), np.concatenate([train, test]))
        near = (np.abs(gone[:, None] - test[None]) < horizon).any(axis=1)
        after = ((gone[:, None] > test[None]) & (gone[:, None] - test[None] < horizon + embargo)).any(axis=1)
        assert (near | after).all()  # nothing is left out but what must be
    for path in splits.paths:
        assert all(group in splits.ways[way] for group, way in enumerate(path))


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"held": 6}, ConfigError, "hold out fewer than there are"),
        ({"groups": 1}, ConfigError, "groups is 1"),
        ({"horizon": 0}, ConfigError, "horizon is 0"),
        ({"embargo": -1}, ConfigError, "embargo is -1"),
        ({"held": True}, ConfigError, "held is True"),
        ({"groups": 40, "held": 20}, ConfigError, "at most 50,000 ways"),
        ({"groups": 80}, ShortSeriesError, "60 rows make no 80 groups"),
        ({"horizon": 30}, ShortSeriesError, "leave none of 60 rows"),
    ],
)
def test_splits_that_can_not_be_are_refused(asked: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        combinatorial_splits(60, **asked)
