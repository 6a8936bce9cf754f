"""Paths of combinatorial purged cross-validation: complete, unseen, and what strategies earn on them."""

from __future__ import annotations

import numpy as np
import pytest

from tidewright.data.combinatorial import combinatorial_splits
from tidewright.errors import AllocationError
from tidewright.portfolio import Costs, cross_validate_paths, pbo, sample_sharpe

SPLITS = combinatorial_splits(120, groups=6, held=2, horizon=3)
RETURNS = np.random.default_rng(0).normal(0.0005, 0.01, 120)


def test_each_row_of_a_path_is_told_by_a_model_that_has_not_seen_it() -> None:
    seen: list[set[int]] = []

    def learn(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        seen.append(set(train.tolist()))
        return np.full(len(test), len(seen) / 100)  # which model it was

    models = np.rint(100 * cross_validate_paths(learn, SPLITS).returns)
    assert models.shape == (5, 120)
    for path in models:
        assert all(row not in seen[int(model) - 1] for row, model in enumerate(path))
    for row in range(120):
        assert len(set(models[:, row])) == 5  # another model on each path


def test_positions_earn_their_own_rows_less_the_costs_of_a_paths_changes() -> None:
    generator = np.random.default_rng(1)
    earned = generator.normal(0.0, 0.01, (120, 2))

    def learn(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        return np.where(np.arange(2) == train.sum() % 2, 1.0, -0.5)[None].repeat(len(test), axis=0)

    bare = cross_validate_paths(learn, SPLITS, returns=earned)
    paid = cross_validate_paths(learn, SPLITS, returns=earned, costs=Costs(10.0, 0.0))
    drag = (bare.returns - paid.returns).sum(axis=1)
    assert (drag > 0.0).all()
    changes = (np.abs(drag / 0.001 - 1.5) / 3.0).round(9)  # the entry is 1.5, each change of sides 3
    assert (changes % 1 == 0).all()
    assert changes.max() <= 5
    assert paid.sharpes[0] == sample_sharpe(paid.returns[0]).sharpe


def test_an_edge_has_high_ratios_on_all_paths_and_luck_has_not() -> None:
    generator = np.random.default_rng(2)
    feature = generator.normal(size=120)
    true = 0.005 * feature + generator.normal(0.0, 0.01, 120)

    def follow(returns: np.ndarray) -> object:
        def learn(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            slope = (feature[train] @ returns[train]) / (feature[train] @ feature[train])
            return np.sign(slope * feature[test])

        return cross_validate_paths(learn, SPLITS, returns=returns)

    edge, luck = follow(true), follow(RETURNS)
    assert edge.share_below() == 0.0
    assert edge.median > 0.2 > luck.median
    assert luck.share_below(0.2) == 1.0
    assert edge.spread < 0.1


@pytest.mark.parametrize(
    ("learn", "given", "message"),
    [
        (lambda train, test: np.zeros(3), {}, r"with groups \[0, 1\] held out, the function gave the shape \(3,\)"),
        (lambda train, test: np.full(len(test), np.nan), {}, "finite numbers"),
        (lambda train, test: np.zeros(len(test)), {"costs": Costs(1.0, 0.0)}, "costs are of positions"),
        (lambda train, test: np.zeros(len(test)), {"returns": RETURNS[:-1]}, "the splits are of 120 rows"),
    ],
)
def test_answers_that_can_not_be_are_refused(learn: object, given: dict, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        cross_validate_paths(learn, SPLITS, **given)


def test_pbo_is_a_half_of_noise_and_none_of_an_edge() -> None:
    noise = np.random.default_rng(3).normal(0.0, 0.01, (600, 30))
    found = [pbo(np.random.default_rng(seed).normal(0.0, 0.01, (400, 20)), blocks=8).probability for seed in range(20)]
    assert 0.35 < np.mean(found) < 0.65
    noise[:, 0] += 0.003
    assert pbo(noise).probability < 0.01
    assert pbo(noise, metric="hit_rate").probability != pbo(noise, metric="sortino").probability
    assert pbo(noise[:, :1]).reason.startswith("there is one trial")
