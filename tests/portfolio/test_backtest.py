"""The ledger: against a slow plain-Python account, and its laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidewright.metrics.returns import max_drawdown, sharpe
from tidewright.portfolio import Costs, Ledger, backtest_weights

Floats = NDArray[np.float64]
FREE = Costs(fee_bps=0, half_spread_bps=0)
SEEDS = st.integers(0, 2**32 - 1)
RATES = st.sampled_from([0.0, 5.0, 100.0, 1000.0])


def name_assets(count: int) -> tuple[str, ...]:
    return tuple(f"asset {number}" for number in range(1, count + 1))


def count_days(rows: int) -> NDArray[np.datetime64]:
    return np.datetime64("2020-01-01") + np.arange(rows)


def draw_market(seed: int, *, rows: int = 40, assets: int = 4, full: bool = True) -> tuple[Floats, Floats, Floats]:
    """Target weights with rows of NaN between, closes and opens [T, A]."""
    rng = np.random.default_rng(seed)
    closes = rng.uniform(1, 500, assets) * np.exp(np.cumsum(rng.normal(0, 0.03, (rows, assets)), axis=0))
    opens = closes * np.exp(rng.normal(0, 0.01, (rows, assets)))
    targets = rng.dirichlet(np.full(assets, 0.5), rows)
    targets[rng.random((rows, assets)) < 0.2] = 0.0
    targets[targets.sum(axis=1) == 0.0, 0] = 1.0
    targets /= targets.sum(axis=1, keepdims=True)
    if not full:
        targets *= rng.uniform(0, 1, (rows, 1))
    targets[rng.random(rows) < 0.6] = np.nan
    return targets, closes, opens


def run(targets: Floats, closes: Floats, **options: Any) -> Ledger:
    rows, assets = closes.shape
    usual: dict[str, Any] = {"costs": Costs(fee_bps=10, half_spread_bps=5), "initial_cash": 1000.0}
    return backtest_weights(targets, closes, times=count_days(rows), assets=name_assets(assets), **{**usual, **options})


def keep_books(targets: Floats, closes: Floats, fills: Floats, rate: float) -> list[tuple[float, float, list[float]]]:
    """Cash, cost and units after each bar, kept by hand; the cost of a fill is found by halving an "
    "interval."""
    cash, units, books = 1000.0, [0.0] * closes.shape[1], []
    for bar in range(closes.shape[0]):
        cost = 0.0
        if bar > 0 and not np.isnan(targets[bar - 1]).any():
            want, price = targets[bar - 1], fills[bar]
            worth = cash + sum(u * p for u, p in zip(units, price, strict=True))
            low, high = 0.0, worth
            for _ in range(200):
                cost = (low + high) / 2
                moved = sum(abs(w * (worth - cost) - u * p) for w, u, p in zip(want, units, price, strict=True))
                low, high = (cost, high) if rate * moved > cost else (low, cost)
            units = [w * (worth - cost) / p for w, p in zip(want, price, strict=True)]
            cash = worth - cost - sum(u * p for u, p in zip(units, price, strict=True))
        books.append((cash, cost, list(units)))
    return books


@settings(max_examples=40, deadline=None)
@given(SEEDS, RATES, st.booleans(), st.booleans())
def test_the_ledger_is_the_account_kept_by_hand(seed: int, bps: float, full: bool, at_open: bool) -> None:
    targets, closes, opens = draw_market(seed, full=full)
    timing: dict[str, Any] = {"fill": "next open", "opens": opens} if at_open else {}
    ledger = run(targets, closes, costs=Costs(fee_bps=bps, half_spread_bps=0), allow_cash=not full, **timing)
    books = keep_books(targets, closes, opens if at_open else closes, bps / 10_000)
    np.testing.assert_allclose(ledger.cash, [cash for cash, _, _ in books], atol=1e-8)
    np.testing.assert_allclose(ledger.costs, [cost for _, cost, _ in books], atol=1e-8)
    np.testing.assert_allclose(ledger.positions, [units for _, _, units in books], atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(SEEDS, RATES, st.booleans())
def test_the_ledger_balances_under_random_targets(seed: int, bps: float, full: bool) -> None:
    targets, closes, _ = draw_market(seed, full=full)
    ledger = run(targets, closes, costs=Costs(fee_bps=bps, half_spread_bps=bps), allow_cash=not full)
    worth = (ledger.positions * closes).sum(axis=1)
    np.testing.assert_allclose(ledger.cash + worth, ledger.equity, rtol=1e-14)
    np.testing.assert_allclose(np.cumsum(ledger.trades, axis=0), ledger.positions, atol=1e-9)
    spent = (ledger.trades * closes).sum(axis=1) + ledger.costs
    np.testing.assert_allclose(1000.0 - np.cumsum(spent), ledger.cash, atol=1e-8)
    traded = np.abs(ledger.trades * closes).sum(axis=1)
    np.testing.assert_allclose(ledger.costs, traded * 2 * bps / 10_000, atol=1e-9)
    np.testing.assert_allclose(ledger.turnover, traded / 2 / (ledger.equity + ledger.costs), atol=1e-12)
    np.testing.assert_allclose(ledger.weights.sum(axis=1), 1 - ledger.cash / ledger.equity, atol=1e-12)
    assert np.all(ledger.costs >= 0)
    assert np.all(ledger.cash >= 0)
    assert np.all(ledger.positions >= 0)


def test_a_decision_is_filled_at_the_next_bar_and_never_at_its_own() -> None:
    closes = np.array([[10.0, 10.0], [10.0, 10.0], [20.0, 10.0], [20.0, 10.0]])
    targets = np.full((4, 2), np.nan)
    targets[1] = [1.0, 0.0]
    ledger = run(targets, closes, costs=FREE)
    assert ledger.first_fill == 2
    assert ledger.trades[:, 0].tolist() == [0.0, 0.0, 50.0, 0.0]
    assert ledger.equity.tolist() == [1000.0] * 4  # the rise into the fill's bar is not earned


def test_a_fill_at_the_open_earns_the_day_that_a_fill_at_the_close_misses() -> None:
    closes = np.array([[10.0], [20.0], [20.0]])
    targets = np.array([[1.0], [np.nan], [np.nan]])
    assert run(targets, closes, costs=FREE).equity.tolist() == [1000.0, 1000.0, 1000.0]
    at_open = run(targets, closes, costs=FREE, fill="next open", opens=np.array([[10.0], [10.0], [20.0]]))
    assert at_open.equity.tolist() == [1000.0, 2000.0, 2000.0]


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.booleans())
def test_one_asset_without_costs_is_buy_and_hold(seed: int, every_bar: bool) -> None:
    _, closes, _ = draw_market(seed, assets=1)
    targets = np.full_like(closes, 1.0 if every_bar else np.nan)
    targets[0] = 1.0
    ledger = run(targets, closes, costs=FREE)
    np.testing.assert_allclose(ledger.equity[1:], 1000.0 * closes[1:, 0] / closes[1, 0], rtol=1e-12)
    assert ledger.equity[0] == 1000.0


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e6))
def test_scaling_the_cash_scales_the_account(seed: int, scale: float) -> None:
    targets, closes, _ = draw_market(seed)
    one, other = run(targets, closes), run(targets, closes, initial_cash=1000.0 * scale)
    np.testing.assert_allclose(other.equity, one.equity * scale, rtol=1e-11)
    np.testing.assert_allclose(other.costs, one.costs * scale, rtol=1e-11)
    np.testing.assert_allclose(other.weights, one.weights, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0, 500), st.floats(0, 500), st.booleans())
def test_more_costs_never_give_more_equity(seed: int, less: float, extra: float, full: bool) -> None:
    targets, closes, _ = draw_market(seed, full=full)
    cheap = run(targets, closes, costs=Costs(fee_bps=less, half_spread_bps=0), allow_cash=not full)
    dear = run(targets, closes, costs=Costs(fee_bps=less, half_spread_bps=extra), allow_cash=not full)
    assert np.all(dear.equity <= cheap.equity * (1 + 1e-12))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_permuting_the_assets_permutes_the_positions(seed: int) -> None:
    targets, closes, _ = draw_market(seed)
    order = np.random.default_rng(seed + 1).permutation(4)
    one, other = run(targets, closes), run(targets[:, order], closes[:, order])
    np.testing.assert_allclose(other.equity, one.equity, rtol=1e-11)
    np.testing.assert_allclose(other.positions, one.positions[:, order], rtol=1e-10)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 10))
def test_a_split_that_prices_are_adjusted_for_changes_nothing(seed: int, factor: int) -> None:
    targets, closes, _ = draw_market(seed)
    adjusted = closes.copy()
    adjusted[:, 1] /= factor
    one, other = run(targets, closes), run(targets, adjusted)
    np.testing.assert_allclose(other.equity, one.equity, rtol=1e-11)


def test_decisions_by_their_times_are_the_same_as_rows_of_nan_between() -> None:
    targets, closes, _ = draw_market(1)
    rows = np.flatnonzero(~np.isnan(targets[:, 0]))
    dense = run(targets, closes)
    sparse = run(targets[rows], closes, decided=count_days(40)[rows])
    assert dense.equity.tobytes() == sparse.equity.tobytes()


def test_a_missing_price_of_an_asset_that_is_not_held_is_no_matter() -> None:
    targets, closes, _ = draw_market(2)
    targets[:, 2] = np.where(np.isnan(targets[:, 0]), np.nan, 0.0)
    targets[:, 3] += 1.0
    targets /= targets.sum(axis=1, keepdims=True)
    gap = closes.copy()
    gap[5:9, 2] = np.nan
    assert run(targets, gap).equity.tobytes() == run(targets, closes).equity.tobytes()


def test_an_asset_may_lose_its_price_after_the_bar_that_sells_it() -> None:
    closes = np.array([[10.0, 10.0]] * 3 + [[np.nan, 10.0]] * 2)
    targets = np.full((5, 2), np.nan)
    targets[0], targets[1] = [1.0, 0.0], [0.0, 1.0]
    assert run(targets, closes, costs=FREE).equity.tolist() == [1000.0] * 5
    closes[2, 0] = np.nan
    with pytest.raises(ValueError, match=r"'asset 1' has no price at 2020-01-03, where it is held or targeted"):
        run(targets, closes)


def test_without_a_decision_all_stays_cash_and_the_ledger_says_so() -> None:
    _, closes, _ = draw_market(3)
    ledger = run(np.full_like(closes, np.nan), closes)
    assert ledger.equity.tolist() == [1000.0] * 40
    assert ledger.first_fill is None
    assert ledger.notes == ("no decision could be filled: all is cash throughout",)
    assert np.isnan(ledger.summary(periods_per_year=252)["sharpe"])


def test_a_decision_of_the_last_bar_is_noted_and_not_traded() -> None:
    _, closes, _ = draw_market(4)
    targets = np.full_like(closes, np.nan)
    targets[0] = targets[-1] = 0.25
    ledger = run(targets, closes)
    assert np.flatnonzero(ledger.turnover).tolist() == [1]
    assert ledger.notes == ("the decision of the last bar, 2020-02-09, has no bar to be filled at",)


def test_a_move_like_a_split_is_noted_with_its_place() -> None:
    closes = np.array([[100.0, 10.0]] * 3 + [[25.0, 10.0]] * 3)
    targets = np.full((6, 2), np.nan)
    targets[0] = 0.5
    (note,) = run(targets, closes).notes
    assert "'asset 1' moves by -75% in one bar at 2020-01-04" in note
    targets[0] = [0.0, 1.0]
    assert run(targets, closes).notes == ()


def test_net_returns_begin_with_the_entry_and_compound_to_the_equity() -> None:
    targets, closes, _ = draw_market(5)
    targets[:7] = np.nan
    targets[7] = 0.25
    ledger = run(targets, closes)
    returns = ledger.net_returns()
    assert ledger.first_fill == 8
    assert returns.size == 32
    assert returns[0] == pytest.approx(-ledger.costs[8] / 1000.0, rel=1e-9)
    assert np.prod(1 + returns) == pytest.approx(ledger.equity[-1] / 1000.0, rel=1e-12)


def test_the_summary_is_the_metrics_of_the_net_returns() -> None:
    targets, closes, _ = draw_market(6)
    ledger = run(targets, closes)
    returns = ledger.net_returns()
    figures = ledger.summary(periods_per_year=np.float64(252.0), risk_free=0.0001)
    assert figures["sharpe"] == sharpe(returns, periods_per_year=252.0, risk_free=0.0001)
    assert figures["max_drawdown"] == max_drawdown(returns).depth
    assert figures["costs"] == pytest.approx(ledger.costs.sum(), rel=1e-12)
    assert figures["periods"] == returns.size
    assert figures["cost_drag"] == pytest.approx(
        ledger.costs.sum() / ledger.equity[ledger.first_fill :].mean() * 252 / returns.size, rel=1e-12
    )
    assert {type(value) for value in figures.values()} == {float}


def test_turnover_is_one_way_a_year_and_leaves_the_entry_out() -> None:
    closes = np.full((11, 2), 10.0)
    targets = np.full((11, 2), np.nan)
    targets[0], targets[5] = [1.0, 0.0], [0.0, 1.0]  # all is sold and all bought again, once in ten bars
    ledger = run(targets, closes, costs=FREE)
    assert ledger.turnover_per_year(periods_per_year=20.0) == pytest.approx(2.0, rel=1e-12)
    assert ledger.summary(periods_per_year=20.0)["turnover"] == pytest.approx(2.0, rel=1e-12)


def test_the_cost_of_a_round_trip_has_its_closed_form() -> None:
    closes = np.full((4, 2), 10.0)
    targets = np.array([[1.0, 0.0], [0.0, 1.0], [np.nan, np.nan], [np.nan, np.nan]])
    rate = 0.01
    ledger = run(targets, closes, costs=Costs(fee_bps=60, half_spread_bps=40))
    entry = 1000.0 / (1 + rate)
    switched = entry * (1 - rate) / (1 + rate)
    np.testing.assert_allclose(ledger.equity, [1000.0, entry, switched, switched], rtol=1e-12)


def test_the_arrays_of_a_ledger_are_read_only() -> None:
    targets, closes, _ = draw_market(7)
    ledger = run(targets, closes)
    with pytest.raises(ValueError, match="read-only"):
        ledger.equity[0] = 0.0


def draw_short_targets(seed: int, *, rows: int = 40, assets: int = 4) -> Floats:
    """Weights of both signs, long plus short at most 1.5, with rows of NaN between."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(0, 1, (rows, assets))
    targets *= rng.uniform(0.1, 1.5, (rows, 1)) / np.abs(targets).sum(axis=1, keepdims=True)
    targets[rng.random(rows) < 0.6] = np.nan
    return np.asarray(targets)


@settings(max_examples=40, deadline=None)
@given(SEEDS, RATES, st.booleans())
def test_short_positions_and_loans_are_the_account_kept_by_hand(seed: int, bps: float, at_open: bool) -> None:
    _, closes, opens = draw_market(seed)
    targets = draw_short_targets(seed)
    timing: dict[str, Any] = {"fill": "next open", "opens": opens} if at_open else {}
    ledger = run(
        targets, closes, costs=Costs(fee_bps=bps, half_spread_bps=0), allow_short=True, max_gross=1.5, **timing
    )
    books = keep_books(targets, closes, opens if at_open else closes, bps / 10_000)
    np.testing.assert_allclose(ledger.cash, [cash for cash, _, _ in books], atol=1e-8)
    np.testing.assert_allclose(ledger.costs, [cost for _, cost, _ in books], atol=1e-8)
    np.testing.assert_allclose(ledger.positions, [units for _, _, units in books], atol=1e-8)
    exposure = ledger.exposure()
    np.testing.assert_allclose(exposure.net, 1.0 - ledger.cash / ledger.equity, atol=1e-12)
    assert np.all(exposure.gross >= np.abs(exposure.net) - 1e-12)


def test_a_short_position_gains_what_the_price_loses() -> None:
    closes = np.array([[10.0], [10.0], [8.0]])
    ledger = run(np.array([[-0.5], [np.nan], [np.nan]]), closes, costs=FREE, allow_short=True)
    assert ledger.positions[:, 0].tolist() == [0.0, -50.0, -50.0]
    assert ledger.cash.tolist() == [1000.0, 1500.0, 1500.0]
    assert ledger.equity.tolist() == [1000.0, 1000.0, 1100.0]
    assert ledger.summary(periods_per_year=252.0)["net_exposure"] == pytest.approx((-0.5 - 400 / 1100) / 2)


def test_positions_are_not_told_from_prices_that_were_changed_after_the_backtest() -> None:
    targets, closes, _ = draw_market(8)
    ledger = run(targets, closes)
    closes[20:] *= 1.01
    with pytest.raises(ValueError, match="changed in place after the backtest"):
        _ = ledger.positions


def test_a_ledger_is_shown_in_a_line() -> None:
    told = repr(run(np.full((40, 4), 0.25), np.full((40, 4), 10.0), costs=Costs(10, 0)))
    assert (
        told == "Ledger(40 bars of 4 assets, 2020-01-01 to 2020-02-09: equity 1,000.00 to 999.00, costs 1.00, 1 notes)"
    )
