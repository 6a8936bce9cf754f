"""The engine against vectorbt on random worlds; the only tests that import it, for its kernels compile at first use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio import Costs, backtest_weights
from tidewright.portfolio.backtest.vectorbt_adapter import backtest_by_vectorbt

Floats = NDArray[np.float64]
FREE = Costs(fee_bps=0, half_spread_bps=0)


def draw(seed: int, *, full: bool) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows, assets = 60, 5
    closes = rng.uniform(1, 500, assets) * np.exp(np.cumsum(rng.normal(0, 0.03, (rows, assets)), axis=0))
    targets = rng.dirichlet(np.full(assets, 0.5), rows)
    targets[rng.random((rows, assets)) < 0.2] = 0.0
    targets[targets.sum(axis=1) == 0.0, 0] = 1.0
    targets /= targets.sum(axis=1, keepdims=True)
    if not full:
        targets *= rng.uniform(0.2, 1, (rows, 1))
    targets[rng.random(rows) < 0.5] = np.nan
    days = np.datetime64("2020-01-01") + np.arange(rows)
    names = tuple(f"asset {number}" for number in range(assets))
    return {"targets": targets, "prices": closes, "times": days, "assets": names, "allow_cash": not full}


def both(seed: int, *, costs: Costs, full: bool = True) -> tuple[Any, Any]:
    world = draw(seed, full=full)
    targets, prices = world.pop("targets"), world.pop("prices")
    ours = backtest_weights(targets, prices, **world, costs=costs, initial_cash=1e4)
    return ours, backtest_by_vectorbt(targets, prices, **world, costs=costs, initial_cash=1e4)


@pytest.mark.parametrize("full", [True, False])
def test_weights_without_costs_are_vectorbts_to_the_last_digits(full: bool) -> None:
    for seed in range(10):
        ours, theirs = both(seed, costs=FREE, full=full)
        np.testing.assert_allclose(theirs.weights, ours.weights, atol=1e-12)
        np.testing.assert_allclose(theirs.equity, ours.equity, rtol=1e-12)
        assert theirs.first_fill == ours.first_fill


def test_with_costs_both_are_within_what_they_pay() -> None:
    costs = Costs(fee_bps=10, half_spread_bps=5)
    ours, theirs = both(1, costs=costs)
    np.testing.assert_allclose(theirs.costs, np.abs(theirs.trades * theirs.book.prices).sum(axis=1) * 0.0015, atol=1e-9)
    np.testing.assert_allclose(theirs.cash + (theirs.positions * theirs.book.prices).sum(axis=1), theirs.equity)
    np.testing.assert_allclose(theirs.weights, ours.weights, atol=0.0015 * 2)
    np.testing.assert_allclose(theirs.equity, ours.equity, rtol=1e-3)
    assert np.all(theirs.cash > -1e-8)
    np.testing.assert_allclose(theirs.spread, theirs.costs / 3, rtol=1e-12)


def test_what_vectorbt_does_not_charge_is_refused() -> None:
    with pytest.raises(AllocationError, match="costs with borrow_bps=50"):
        both(0, costs=Costs(1, 1, borrow_bps=50))
