"""Positions from forecasts, and the account of positions that are held, by hand and beside the other accounts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidewright.errors import AllocationError
from tidewright.portfolio import Costs, backtest_weights, earn_positions
from tidewright.portfolio.positions import hold_positions
from tidewright.portfolio.rules import choose_positions

NAN = float("nan")
EXPECTED = np.array([[0.02, -0.01, 0.0, NAN], [0.01, 0.01, -0.03, 0.02]])
SPREAD = np.array([[0.04, 0.005, 0.01, NAN], [0.02, 0.02, 0.01, 0.0]])


@pytest.mark.parametrize(
    ("rule", "sides", "positions"),
    [
        ("sign", "both", [[1, -1, 0, NAN], [1, 1, -1, 1]]),
        ("sign", "long", [[1, 0, 0, NAN], [1, 1, 0, 1]]),
        ("rank", "both", [[1, -1, 0, NAN], [0, 0, -1, 1]]),
        ("size", "both", [[0.5, -1, 0, NAN], [0.5, 0.5, -1, 1]]),
        ("size", "long", [[0.5, 0, 0, NAN], [0.5, 0.5, 0, 1]]),
    ],
)
def test_positions_are_those_worked_by_hand(rule: Any, sides: Any, positions: Any) -> None:
    found = choose_positions(EXPECTED, SPREAD, rule=rule, sides=sides)
    np.testing.assert_allclose(found, positions)


def test_one_forecast_has_no_rank_to_hold() -> None:
    found = choose_positions(np.array([[0.02, NAN]]), np.ones((1, 2)), rule="rank")
    np.testing.assert_array_equal(found, [[0.0, NAN]])


def test_unknown_rules_and_sides_are_refused() -> None:
    with pytest.raises(AllocationError, match="a rule is sign, rank, size; got 'best'"):
        choose_positions(EXPECTED, SPREAD, rule="best")  # type: ignore[arg-type]
    with pytest.raises(AllocationError, match="sides is both or long; got 'short'"):
        choose_positions(EXPECTED, SPREAD, sides="short")  # type: ignore[arg-type]


def test_costs_are_those_worked_by_hand() -> None:
    """One asset at 1 % of the value traded: long from row 0 (1 traded), short from row 2 (2 traded, as a whole long
    position stays whole), and between fills nothing."""
    account = hold_positions([[1.0], [-1.0]], [[0.10], [-0.05], [0.02]], fills=[0, 2], costs=Costs(60, 40))
    assert account.returns == pytest.approx([1.10 * 0.99 - 1, -0.05, 0.98 * 0.98 - 1])
    assert account.turnover == pytest.approx([1.0, 0.0, 2.0])


def test_what_drifted_is_traded_back_at_the_fill() -> None:
    """Two assets, half each; the first doubles: its share is 1 / 1.5, so 1/6 of the equity is sold and 1/6 bought."""
    account = hold_positions(
        [[1.0, 1.0]] * 2, [[0.5, 0.0], [1 / 3, 0.0], [0.0, 0.0]], fills=[0, 2], costs=Costs(100, 0)
    )
    assert account.turnover == pytest.approx([1.0, 0.0, 1 / 3])
    assert account.returns[1] == pytest.approx(1.5 / 1.25 - 1)
    assert account.returns[2] == pytest.approx(-0.01 / 3)


def test_with_a_fill_at_each_bar_it_is_the_account_of_every_bar() -> None:
    draw = np.random.default_rng(0)
    positions, earned = draw.uniform(-1, 1, (50, 4)), draw.normal(0, 0.02, (50, 4))
    positions[draw.random((50, 4)) < 0.1] = np.nan
    one = hold_positions(positions, earned, fills=np.arange(50), costs=Costs(10, 5))
    other = earn_positions(positions, earned, costs=Costs(10, 5))
    np.testing.assert_allclose(one.returns, other.returns, rtol=0, atol=1e-14)
    np.testing.assert_allclose(one.turnover, other.turnover, atol=1e-14)


@pytest.mark.parametrize(("rate", "tolerance"), [(0.0, 1e-13), (10.0, 2e-6)])
def test_long_positions_earn_what_the_ledger_says(rate: float, tolerance: float) -> None:
    """The ledger decides at one bar and fills at the next; its costs come out of what is rebalanced, so that the two
    part by a cost of the cost."""
    draw = np.random.default_rng(1)
    positions, earned = draw.uniform(0, 1, (10, 3)), draw.normal(0, 0.02, (30, 3))
    prices = np.concatenate([np.ones((1, 3)), np.ones((1, 3)), np.cumprod(1 + earned, axis=0)])
    days = np.arange(len(prices)).astype("datetime64[D]")
    fills = np.arange(10) * 3
    ledger = backtest_weights(
        positions / 3, prices, times=days, assets=("a", "b", "c"), decided=days[fills], costs=Costs(rate, 0),
        allow_cash=True,
    )  # fmt: skip
    account = hold_positions(positions, earned, fills=fills, costs=Costs(rate, 0))
    # a cost is paid at the fill's close in the ledger, with the next bar's return here
    assert np.prod(1 + account.returns) == pytest.approx(ledger.equity[-1] / ledger.equity[0], rel=tolerance * 10)
    if rate == 0.0:
        np.testing.assert_allclose(account.returns, ledger.net_returns()[1:], atol=tolerance)


def test_impossible_accounts_are_refused() -> None:
    with pytest.raises(AllocationError, match="ascending from 0"):
        hold_positions([[1.0]], [[0.1], [0.1]], fills=[1], costs=Costs(0, 0))
    with pytest.raises(AllocationError, match="Align them"):
        hold_positions([[1.0, 0.0]], [[0.1], [0.1]], fills=[0], costs=Costs(0, 0))
    with pytest.raises(AllocationError, match="positions lie between -1 and 1"):
        hold_positions([[2.0]], [[0.1]], fills=[0], costs=Costs(0, 0))
    with pytest.raises(AllocationError, match="lose all of the equity by row 1"):
        hold_positions([[-1.0]], [[0.5], [1.0]], fills=[0], costs=Costs(0, 0))
