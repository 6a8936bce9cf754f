"""The least expected shortfall, against the whole linear program and the law of its tail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

import tidewright as tw
from tests.portfolio.optimise.worlds import draw_returns, name_assets
from tidewright.errors import AllocationError
from tidewright.portfolio import CostBasis, Costs, Limits, optimise
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.tail import mean_tail


def solve_whole(returns: FloatArray, *, confidence: float, highest: float, least: float | None = None) -> float:
    """The program with a row for every scenario, by HiGHS; its mean return is at least `least`."""
    rows, size = returns.shape
    cost = np.concatenate([np.zeros(size), [1.0], np.full(rows, 1 / ((1 - confidence) * rows))])
    beyond = np.hstack([-returns, -np.ones((rows, 1)), -np.eye(rows)])
    sums = np.concatenate([np.ones(size), np.zeros(rows + 1)])[None, :]
    if least is not None:
        beyond = np.vstack([beyond, np.concatenate([-returns.mean(axis=0), np.zeros(rows + 1)])])
    right = np.concatenate([np.zeros(rows), [] if least is None else [-least]])
    bounds = [(0, highest)] * size + [(None, None)] + [(0, None)] * rows
    found = linprog(cost, A_ub=beyond, b_ub=right, A_eq=sums, b_eq=[1.0], bounds=bounds)
    return float(found.fun)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_scenarios_that_are_left_out_change_nothing(seed: int, confidence: float) -> None:
    returns = draw_returns(seed, rows=257, assets=10)
    found = optimise(
        returns, assets=name_assets(10), method="min_cvar", confidence=confidence, limits=Limits(each=(None, 0.4))
    )
    assert found.objective == pytest.approx(solve_whole(returns, confidence=confidence, highest=0.4), rel=1e-7)
    assert found.weights.values.max() <= 0.4


@pytest.mark.parametrize("seed", range(3))
def test_the_least_shortfall_for_a_return_is_that_of_the_whole_program_and_no_limit_is_broken(seed: int) -> None:
    returns, names = draw_returns(seed, rows=257, assets=10), name_assets(10)
    means, limits = returns.mean(axis=0), Limits(each=(None, 0.4))
    target = float(np.sort(means)[-4:].mean())
    found = optimise(returns, assets=names, method="mean_cvar", target=target, confidence=0.9, limits=limits)
    wanted = solve_whole(returns, confidence=0.9, highest=0.4, least=target)
    assert found.objective == pytest.approx(wanted, rel=1e-7)
    assert found.weights.values @ means >= target - 1e-10
    free = optimise(returns, assets=names, method="min_cvar", confidence=0.9, limits=limits)
    assert found.objective > free.objective
    low = tw.allocate(returns, assets=names, method="mean_cvar", target=-1.0, confidence=0.9, limits=limits)
    np.testing.assert_allclose(low.values, free.weights.values, atol=1e-6)  # a target that does not bind


def test_a_return_that_can_not_be_had_is_named_with_the_limit_in_its_way() -> None:
    returns, names = draw_returns(1, rows=200, assets=6), name_assets(6)
    high = float(returns.mean(axis=0).max())
    with pytest.raises(AllocationError, match=r"expected return >= .* \(the target\)"):
        optimise(returns, assets=names, method="mean_cvar", target=high, limits=Limits(each=(None, 0.3)))
    with pytest.raises(AllocationError, match="mean_cvar needs target="):
        optimise(returns, assets=names, method="mean_cvar")


def test_the_shortfall_is_the_mean_of_the_tail_with_its_fraction() -> None:
    returns = draw_returns(4, rows=250)
    found = optimise(returns, assets=name_assets(8), method="min_cvar", confidence=0.95)
    losses = np.sort(-returns @ found.weights.values)[::-1]
    assert found.objective == pytest.approx((losses[:12].sum() + 0.5 * losses[12]) / 12.5, rel=1e-12)
    assert mean_tail(losses, confidence=0.95) == pytest.approx(found.objective)


def test_the_shortfall_is_that_of_value_at_risk() -> None:
    returns = draw_returns(6, rows=301)
    found = optimise(returns, assets=name_assets(8), method="min_cvar", confidence=0.9)
    risk = tw.value_at_risk(returns, assets=name_assets(8), confidence=0.9, method="historical", weights=found.weights)
    assert risk.portfolio is not None
    assert found.objective == pytest.approx(risk.portfolio.es, rel=1e-12)


def test_costs_of_trading_are_part_of_the_loss() -> None:
    returns, held = draw_returns(5), np.full(8, 1 / 8)
    free = optimise(returns, assets=name_assets(8), method="min_cvar")
    dear = optimise(
        returns,
        assets=name_assets(8),
        method="min_cvar",
        previous=held,
        costs=Costs(50, 50),
        basis=CostBasis(holding=2),
    )
    traded = np.abs(dear.weights.values - held).sum()
    assert traded < np.abs(free.weights.values - held).sum()
    tail = mean_tail(-returns @ dear.weights.values, confidence=0.95)
    assert dear.objective == pytest.approx(tail + 0.005 * traded)
