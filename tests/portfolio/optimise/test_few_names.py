"""At most so many names, none of them tiny: kept always, near the best, and said to be a heuristic."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from tests.portfolio.optimise.worlds import draw_returns, name_assets
from tidewright.errors import AllocationError
from tidewright.portfolio import Limits, optimise

NAMES = name_assets(9)


@pytest.mark.parametrize("seed", range(4))
def test_few_names_are_near_the_best_of_all_choices_and_the_bound_is_told(seed: int) -> None:
    returns = draw_returns(seed, assets=9)
    found = optimise(returns, assets=NAMES, limits=Limits.parse("names <= 3"))
    assert np.count_nonzero(found.weights.values) <= 3
    best = min(
        optimise(returns[:, list(chosen)], assets=[NAMES[i] for i in chosen]).objective
        for chosen in combinations(range(9), 3)
    )
    assert best * (1 - 1e-9) <= found.objective <= best * 1.15
    assert "'names <= 3' kept by leaving out the smallest" in found.weights.notes[-1]
    assert "a heuristic" in found.weights.notes[-1]


@pytest.mark.parametrize("method", ["min_variance", "min_cvar", "max_sharpe"])
@pytest.mark.parametrize("seed", range(3))
def test_no_position_is_tiny(seed: int, method: str) -> None:
    limits = Limits.parse("min position >= 0.15", "names <= 5")
    found = optimise(draw_returns(seed, assets=9), assets=NAMES, method=method, limits=limits)
    held = found.weights.values[found.weights.values != 0.0]
    assert held.min() >= 0.15 - 1e-9
    assert held.size <= 5
    assert limits.excess(found.weights.values, assets=NAMES) == pytest.approx({}, abs=1e-9) or found.excess < 1e-9


def test_shorts_are_names_too() -> None:
    limits = Limits.parse("shorts allowed", "leverage <= 1.8", "names <= 4", "min position >= 0.1")
    weights = optimise(draw_returns(7, assets=9), assets=NAMES, limits=limits).weights.values
    assert np.count_nonzero(weights) <= 4
    assert np.abs(weights[weights != 0.0]).min() >= 0.1 - 1e-9


def test_a_limit_that_is_kept_anyway_changes_nothing_and_says_nothing() -> None:
    returns = draw_returns(1, assets=9)
    plain = optimise(returns, assets=NAMES).weights
    same = optimise(returns, assets=NAMES, limits=Limits.parse("names <= 9", "min position >= 1e-6")).weights
    np.testing.assert_array_equal(same.values, plain.values)
    assert not any("heuristic" in note for note in same.notes)


def test_names_that_must_be_held_are_and_too_many_of_them_are_refused() -> None:
    returns = draw_returns(2, assets=9)
    found = optimise(returns, assets=NAMES, limits=Limits.parse("names <= 3", "A0 >= 0.01", "A1 >= 0.01"))
    assert (found.weights.values[:2] >= 0.01 - 1e-9).all()
    with pytest.raises(AllocationError, match="'names <= 3' and the limits that hold 9 assets, such as 'A0'"):
        optimise(returns, assets=NAMES, limits=Limits.parse("names <= 3", "each >= 0.01"))
    with pytest.raises(AllocationError, match="could not be kept by the heuristic"):
        optimise(returns, assets=NAMES, limits=Limits.parse("names <= 3", "each <= 0.2"))
