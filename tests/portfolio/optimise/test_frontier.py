"""The efficient frontier: each point the least risk for its return, from the least variance to the highest return."""

from __future__ import annotations

import numpy as np
import pytest

from tests.portfolio.optimise.worlds import draw_returns, name_assets
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio import Costs, Limits, frontier, optimise

NAMES = name_assets(8)
HELD = np.full(8, 1 / 8)


@pytest.mark.parametrize("sentences", [(), ("each <= 0.3", "turnover <= 0.8"), ("tracking error <= 0.01 a period",)])
def test_every_point_has_the_least_risk_of_its_return(sentences: tuple[str, ...]) -> None:
    returns = draw_returns(0)
    limits = Limits.parse(*sentences, benchmark=dict.fromkeys(NAMES, 1 / 8))
    line = frontier(returns, assets=NAMES, points=7, limits=limits, previous=HELD)
    assert (np.diff(line.risk) > 0).all()
    np.testing.assert_allclose(np.diff(line.returns), np.diff(line.returns).mean(), rtol=1e-4)
    least = optimise(returns, assets=NAMES, limits=limits, previous=HELD)
    assert line.risk[0] ** 2 == pytest.approx(least.objective, rel=1e-9)
    for point in range(1, 6):
        alone = optimise(
            returns, assets=NAMES, method="target_return", target=line.returns[point], limits=limits, previous=HELD
        )
        assert line.risk[point] ** 2 == pytest.approx(alone.objective, rel=1e-6)
        assert line.at(point).values == pytest.approx(alone.weights.values, abs=1e-3)


def test_the_highest_return_is_that_of_one_asset_and_costs_lower_it() -> None:
    returns = draw_returns(1)
    line = frontier(returns, assets=NAMES, points=3)
    assert line.returns[-1] == pytest.approx(returns.mean(axis=0).max(), rel=1e-5)
    dear = frontier(returns, assets=NAMES, points=3, previous=HELD, costs=Costs(1, 1))
    assert dear.returns[-1] < line.returns[-1]
    assert not line.weights.flags.writeable


def test_what_a_frontier_can_t_be_is_told() -> None:
    returns = draw_returns(1)
    with pytest.raises(ConfigError, match="points is a whole number, 2 or more; got 1"):
        frontier(returns, assets=NAMES, points=1)
    with pytest.raises(AllocationError, match="a frontier is of convex limits"):
        frontier(returns, assets=NAMES, limits=Limits(names=3))
    with pytest.raises(AllocationError, match="so that the frontier has no end"):
        frontier(returns, assets=NAMES, limits=Limits(long_only=False))
