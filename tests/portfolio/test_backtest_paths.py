"""The account that is kept bar by bar: against one kept by hand, against the one without a loop, and its laws."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidewright.portfolio import Costs, Ledger, backtest_strategies, backtest_weights
from tidewright.portfolio.backtest import Actions, Delisting, Rebalance

Floats = NDArray[np.float64]
FREE = Costs(fee_bps=0, half_spread_bps=0)
SEEDS = st.integers(0, 2**32 - 1)
AAPL = Path(__file__).parents[2].parent / "shared" / "data" / "market" / "AAPL_with_dividends_and_splits.csv.gz"


def count_days(rows: int) -> NDArray[np.datetime64]:
    return np.datetime64("2020-01-01") + np.arange(rows)


def run(targets: Floats, closes: Floats, **options: Any) -> Ledger:
    rows, assets = closes.shape
    usual: dict[str, Any] = {"costs": Costs(fee_bps=10, half_spread_bps=5), "initial_cash": 1000.0}
    names = tuple(f"asset {number}" for number in range(1, assets + 1))
    return backtest_weights(targets, closes, times=count_days(rows), assets=names, **{**usual, **options})


def draw_world(seed: int, *, rows: int = 60, assets: int = 4) -> dict[str, Floats]:
    """Targets of both signs (long plus short at most 1.5), prices, volumes, rates, dividends and splits."""
    rng = np.random.default_rng(seed)
    closes = rng.uniform(5, 500, assets) * np.exp(np.cumsum(rng.normal(0, 0.02, (rows, assets)), axis=0))
    targets = rng.normal(0, 1, (rows, assets))
    targets *= rng.uniform(0.1, 1.5, (rows, 1)) / np.abs(targets).sum(axis=1, keepdims=True)
    targets[rng.random(rows) < 0.6] = targets[:3] = np.nan
    splits = np.where(rng.random((rows, assets)) < 0.03, rng.choice([0.1, 2.0, 7.0], (rows, assets)), 1.0)
    splits[0] = 1.0
    return {
        "targets": targets,
        "closes": closes / np.cumprod(splits, axis=0),
        "splits": splits,
        "dividends": np.where(rng.random((rows, assets)) < 0.05, 0.01, 0.0) * closes / np.cumprod(splits, axis=0),
        "volumes": rng.uniform(0, 50, (rows, assets)) * np.where(rng.random((rows, assets)) < 0.1, 0.0, 1.0),
        "rates": rng.uniform(0, 0.001, rows),
    }


def run_world(world: dict[str, Floats], **changed: Any) -> Ledger:
    options: dict[str, Any] = {
        "costs": Costs(10, 5, impact=0.5, max_participation=0.3, borrow_bps=300),
        "allow_short": True,
        "max_gross": 1.5,
        "cash_rate": world["rates"],
        "actions": Actions(dividends=world["dividends"], splits=world["splits"]),
        "volumes": world["volumes"],
    }
    return run(world["targets"], world["closes"], **{**options, **changed})


RULES = st.sampled_from([None, Rebalance(every=7), Rebalance(band=0.05), Rebalance(band=0.05, to="edge")])


@settings(max_examples=60, deadline=None)
@given(SEEDS, RULES, st.sampled_from(["carry", "drop"]))
def test_the_ledger_balances_and_its_cash_flows_add_up(seed: int, rule: Rebalance | None, unfilled: str) -> None:
    world = draw_world(seed)
    ledger = run_world(world, rebalance=rule, unfilled=unfilled)
    worth = (ledger.positions * ledger.book.prices).sum(axis=1)
    np.testing.assert_allclose(ledger.cash + worth, ledger.equity, rtol=1e-12, atol=1e-9)
    traded = (ledger.trades * ledger.book.prices).sum(axis=1)
    flows = -traded - ledger.costs - ledger.borrow + ledger.interest + ledger.dividends
    np.testing.assert_allclose(np.diff(ledger.cash, prepend=1000.0), flows, atol=1e-8)
    for paid in (ledger.costs, ledger.spread, ledger.impact, ledger.borrow, ledger.unfilled, ledger.turnover):
        assert np.all(paid >= 0.0)
    value = np.abs(ledger.trades * ledger.book.prices).sum(axis=1)
    alive = slice(None) if ledger.ended is None else slice(0, ledger.ended)
    np.testing.assert_allclose((ledger.costs - ledger.impact)[alive], 0.0015 * value[alive], atol=1e-9)
    np.testing.assert_allclose(ledger.spread[alive], 0.0005 * value[alive], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.booleans())
def test_bar_by_bar_it_is_the_account_without_a_loop(seed: int, at_open: bool) -> None:
    world = draw_world(seed)
    closes = world["closes"] * np.cumprod(world["splits"], axis=0)
    opens = closes * np.exp(np.random.default_rng(seed).normal(0, 0.005, closes.shape))
    options: dict[str, Any] = {"allow_short": True, "max_gross": 1.5}
    if at_open:
        options |= {"fill": "next open", "opens": opens}
    plain, looped = (run(world["targets"], closes, actions=actions, **options) for actions in (None, Actions()))
    for name in ("cash", "equity", "costs", "spread"):
        np.testing.assert_allclose(getattr(looped, name), getattr(plain, name), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(looped.turnover, plain.turnover, atol=1e-12)
    np.testing.assert_allclose(looped.positions, plain.positions, rtol=1e-11, atol=1e-12)
    assert (looped.notes, looped.first_fill) == (plain.notes, plain.first_fill)


def keep_books(world: dict[str, Floats], *, share: float, impact: float, carry: bool) -> list[tuple[float, Floats]]:
    """Cash and units after each bar of a long-only account, by hand: the cost of an order by halving an interval."""
    targets, closes, volumes = world["targets"], world["closes"], world["volumes"]
    cash, units, left, books = 1000.0, np.zeros(4), np.zeros(4), []
    for bar in range(len(closes)):
        price, volume = closes[bar], volumes[bar]
        seen = closes[max(0, bar - 22) : bar]
        moves = np.sqrt(np.mean((seen[1:] / seen[:-1] - 1) ** 2, axis=0)) if bar > 2 else np.zeros(4)

        def pay(sold: Floats, *, price: Floats = price, volume: Floats = volume, moves: Floats = moves) -> Floats:
            size = np.abs(sold)
            part = np.minimum(np.where(volume > 0, size / np.where(volume > 0, volume, 1), 0.0), share)
            return np.asarray(size * price * (0.0015 + impact * moves * np.sqrt(part)))

        if bar > 0 and not np.isnan(targets[bar - 1]).any():
            worth, low, high = cash + units @ price, 0.0, 1.0
            for _ in range(60):
                cost = (low + high) / 2
                order = targets[bar - 1] * worth * (1 - cost) / price - units
                low, high = (cost, high) if pay(order).sum() > cost * worth else (low, cost)
            left = order
        filled = np.clip(left, -share * volume, share * volume)
        bought = filled > 0
        there = cash - (filled * price + pay(filled))[~bought].sum()
        asked = (filled * price + pay(filled))[bought].sum()
        if asked > there + 1e-9:
            filled = np.where(bought, filled * max(there, 0.0) / asked, filled)
        left = left - filled if carry else np.zeros(4)
        cash -= filled @ price + pay(filled).sum()
        units = units + filled
        books.append((cash, units))
    return books


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.booleans(), st.sampled_from([0.0, 0.5]))
def test_participation_and_impact_are_the_account_kept_by_hand(seed: int, carry: bool, impact: float) -> None:
    world = draw_world(seed)
    world["targets"] = np.abs(world["targets"]) / np.abs(world["targets"]).sum(axis=1, keepdims=True)
    world["closes"] *= np.cumprod(world["splits"], axis=0)
    ledger = run(
        world["targets"],
        world["closes"],
        costs=Costs(10, 5, impact=impact, max_participation=0.05),
        volumes=world["volumes"],
        unfilled="carry" if carry else "drop",
    )
    books = keep_books(world, share=0.05, impact=impact, carry=carry)
    np.testing.assert_allclose(ledger.cash, [cash for cash, _ in books], atol=1e-6)
    np.testing.assert_allclose(ledger.positions, [units for _, units in books], atol=1e-7)
    assert np.all(ledger.cash >= -1e-9)
    most = 0.05 * world["volumes"]
    assert np.all(np.abs(ledger.trades) <= most * (1 + 1e-12) + 1e-12)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_splits_change_nothing(seed: int) -> None:
    world = draw_world(seed)
    factor = np.cumprod(world["splits"], axis=0)
    whole = run_world(world)
    other = run_world(
        world
        | {
            "closes": world["closes"] * factor,
            "dividends": world["dividends"] * factor,
            "volumes": world["volumes"] / factor,
            "splits": np.ones_like(factor),
        }
    )
    for name in ("equity", "cash", "costs", "dividends", "borrow", "unfilled"):
        np.testing.assert_allclose(getattr(whole, name), getattr(other, name), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(whole.positions, other.positions * factor, rtol=1e-9, atol=1e-8)
    assert all("if that is a split" not in note for note in whole.notes)


@settings(max_examples=30, deadline=None)
@given(SEEDS, RULES, st.integers(5, 55))
def test_the_future_leaves_the_past_bit_identical(seed: int, rule: Rebalance | None, cut: int) -> None:
    world, other = draw_world(seed), draw_world(seed)
    rng = np.random.default_rng(seed + 1)
    for name in ("closes", "volumes", "dividends"):
        other[name][cut:] *= rng.uniform(0.9, 1.1, other[name][cut:].shape)
    other["rates"][cut:] *= 0.5
    other["targets"][cut:] *= 0.9
    ours, theirs = (run_world(each, rebalance=rule) for each in (world, other))
    for name in ("cash", "equity", "costs", "positions", "trades", "dividends", "turnover"):
        assert getattr(ours, name)[:cut].tobytes() == getattr(theirs, name)[:cut].tobytes(), name


@settings(max_examples=30, deadline=None)
@given(SEEDS, RULES, st.floats(0.01, 100.0))
def test_without_impact_scaling_money_and_volumes_scales_everything(
    seed: int, rule: Rebalance | None, scale: float
) -> None:
    world = draw_world(seed)
    costs = Costs(10, 5, max_participation=0.3, borrow_bps=300)
    one = run_world(world, costs=costs, rebalance=rule)
    other = run_world(
        world | {"volumes": world["volumes"] * scale}, costs=costs, rebalance=rule, initial_cash=1000.0 * scale
    )
    np.testing.assert_allclose(other.equity, one.equity * scale, rtol=1e-9)
    np.testing.assert_allclose(other.positions, one.positions * scale, rtol=1e-7, atol=1e-9 * scale)


@settings(max_examples=30, deadline=None)
@given(SEEDS, RULES)
def test_permuting_the_assets_permutes_the_account(seed: int, rule: Rebalance | None) -> None:
    world, order = draw_world(seed), np.random.default_rng(seed).permutation(4)
    other = {name: values if values.ndim == 1 else values[:, order] for name, values in world.items()}
    ours, theirs = run_world(world, rebalance=rule), run_world(other, rebalance=rule)
    np.testing.assert_allclose(theirs.equity, ours.equity, rtol=1e-9)
    np.testing.assert_allclose(theirs.positions, ours.positions[:, order], rtol=1e-7, atol=1e-9)


def hold(weights: list[float], rows: int) -> Floats:
    targets = np.full((rows, len(weights)), np.nan)
    targets[0] = weights
    return targets


def test_cash_earns_the_rate_of_each_bar_and_a_loan_pays_it() -> None:
    closes = np.full((4, 1), 10.0)
    rates = [0.009, 0.001, 0.002, 0.003]  # nothing is held before the first bar
    idle = run(hold([0.0], 4), closes, costs=FREE, allow_cash=True, cash_rate=rates)
    np.testing.assert_allclose(idle.equity, 1000.0 * np.cumprod([1.0, 1.001, 1.002, 1.003]), rtol=1e-14)
    lent = run(hold([1.5], 4), closes, costs=FREE, max_gross=1.5, cash_rate=0.001)
    np.testing.assert_allclose(lent.cash, [1000.0, -500.5, -501.0005, -501.5015005], rtol=1e-12)


def test_a_short_position_pays_for_borrowing_by_calendar_days() -> None:
    closes = np.full((4, 1), 10.0)
    days = np.array(["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"], dtype="datetime64[D]")
    ledger = backtest_weights(
        hold([-1.0], 4),
        closes,
        times=days,
        assets=("A",),
        costs=Costs(0, 0, borrow_bps=365),
        allow_short=True,
        initial_cash=1000.0,
    )
    np.testing.assert_allclose(ledger.borrow, [0.0, 0.0, 0.3, 0.1], rtol=1e-12)  # a bp a day, over a weekend three


def test_a_dividend_is_paid_to_holders_and_owed_by_shorts() -> None:
    closes = np.array([[10.0, 10.0]] * 2 + [[9.0, 10.0]] * 2)
    dividends = np.zeros((4, 2))
    dividends[1:3, 0] = [5.0, 1.0]  # what is bought at the ex-date's close is not paid
    ledger = run(hold([0.5, 0.5], 4), closes, costs=FREE, actions=Actions(dividends=dividends))
    assert ledger.dividends.tolist() == [0.0, 0.0, 50.0, 0.0]
    assert ledger.equity.tolist() == [1000.0] * 4
    short = run(hold([-0.5, 0.5], 4), closes, costs=FREE, actions=Actions(dividends=dividends), allow_short=True)
    assert short.dividends.tolist() == [0.0, 0.0, -50.0, 0.0]
    assert short.equity.tolist() == [1000.0] * 4


def test_a_delisted_position_is_paid_out_and_needs_no_price_after() -> None:
    closes = np.full((6, 2), 10.0)
    closes[2:, 0] = np.nan  # halted at row 2, gone at row 3
    gone = {"asset 1": Delisting(count_days(6)[3], -0.3)}
    ledger = run(np.full((6, 2), 0.5), closes, costs=FREE, actions=Actions(delistings=gone))
    assert ledger.positions[:, 0].tolist() == [0.0, 50.0, 50.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(ledger.equity, [1000.0, 1000.0, 1000.0, 850.0, 850.0, 850.0])
    np.testing.assert_allclose(ledger.cash[-1], 425.0)  # what is meant for it stays in cash
    assert any("'asset 1' is delisted at 2020-01-04: what was held was paid out at 7 a unit" in n for n in ledger.notes)
    with pytest.raises(ValueError, match=r"no price at 2020-01-03, .* or say when it was delisted"):
        run(np.full((6, 2), 0.5), closes, actions=Actions(), costs=FREE)


def test_a_delisting_without_anything_paid_loses_the_position() -> None:
    closes = np.full((5, 2), 10.0)
    closes[3:, 0] = np.nan
    gone = Actions(delistings={"asset 1": Delisting(count_days(5)[3], -1.0)})
    banded = run(hold([0.5, 0.5], 5), closes, costs=FREE, actions=gone, rebalance=Rebalance(band=0.1))
    assert banded.equity.tolist() == [1000.0, 1000.0, 1000.0, 500.0, 500.0]


def test_an_account_without_equity_ends_with_a_note_and_no_nan() -> None:
    closes = np.array([[10.0], [10.0], [25.0], [5.0], [5.0]])
    ledger = run(hold([-1.0], 5), closes, costs=FREE, allow_short=True)
    assert ledger.ended == 2
    assert ledger.equity.tolist() == [1000.0, 1000.0, -500.0, -500.0, -500.0]
    assert ledger.positions[2:].tolist() == [[0.0]] * 3
    assert ledger.net_returns().tolist() == [0.0, -1.0]
    assert "the equity is used up at 2020-01-03, where it is -500.00" in ledger.notes[-1]
    assert np.isfinite(ledger.weights).all()
    assert ledger.summary(periods_per_year=252.0)["total_return"] == -1.0


def test_what_a_bar_does_not_fill_is_carried_or_dropped_and_recorded() -> None:
    closes = np.full((5, 1), 10.0)
    options: dict[str, Any] = {"costs": Costs(0, 0, max_participation=0.5), "volumes": np.full((5, 1), 80.0)}
    carried = run(hold([1.0], 5), closes, **options)
    assert carried.trades[:, 0].tolist() == [0.0, 40.0, 40.0, 20.0, 0.0]
    assert carried.unfilled.tolist() == [0.0, 600.0, 200.0, 0.0, 0.0]
    assert "want of volume or cash: 2, the first at 2020-01-02; what was left was carried" in carried.notes[0]
    dropped = run(hold([1.0], 5), closes, unfilled="drop", **options)
    assert dropped.trades[:, 0].tolist() == [0.0, 40.0, 0.0, 0.0, 0.0]
    assert "dropped" in dropped.notes[0]


def test_purchases_wait_for_the_sales_that_pay_for_them() -> None:
    closes = np.full((5, 2), 10.0)
    targets = hold([1.0, 0.0], 5)
    targets[1] = [0.0, 1.0]
    volumes = np.full((5, 2), 1e6)
    volumes[2, 0] = 40.0
    ledger = run(targets, closes, costs=Costs(0, 0, max_participation=1.0), volumes=volumes)
    assert ledger.trades[2:4].tolist() == [[-40.0, 40.0], [-60.0, 60.0]]
    assert ledger.cash.tolist() == [1000.0, 0.0, 0.0, 0.0, 0.0]


def test_a_fill_of_more_than_the_bars_volume_is_noted() -> None:
    closes = np.cumprod(1.0 + np.random.default_rng(0).normal(0, 0.01, (30, 2)), axis=0)
    targets = np.full((30, 2), np.nan)
    targets[5] = 0.5  # of 1,000: about 500 units each
    costs = Costs(0, 0, impact=1.0)
    told = [run(targets, closes, costs=costs, volumes=np.full((30, 2), volume)).notes for volume in (400.0, 1e4)]
    assert "bars that filled more than the whole volume of an asset: 1, the first at 2020-01-07" in told[0][0]
    assert told[1] == ()


def test_impact_costs_what_the_square_root_law_says() -> None:
    closes, volumes = np.full((4, 1), 10.0), np.full((4, 1), 400.0)
    costs = Costs(0, 0, impact=1.0)
    ledger = run(hold([1.0], 4), closes, costs=costs, volumes=volumes, volatility=np.full((4, 1), 0.02))
    units = ledger.positions[1, 0]
    assert ledger.impact[1] == pytest.approx(0.02 * np.sqrt(units / 400.0) * units * 10.0, rel=1e-12)
    assert ledger.cash[1] == pytest.approx(0.0, abs=1e-9)
    assert ledger.equity[1] == pytest.approx(1000.0 - ledger.impact[1], rel=1e-12)


@pytest.mark.parametrize(
    ("every", "filled"),
    [
        (10, [1, 11, 21, 31, 41, 51]),
        ("week", [5, 12, 19, 26, 33, 40, 47, 54]),  # 2020-01-01 was a Wednesday: Sundays decide, Mondays fill
        ("month", [31]),
        ("quarter", []),
    ],
)
def test_a_calendar_acts_on_its_bars_by_the_newest_target(every: Any, filled: list[int]) -> None:
    world = draw_world(1)
    closes = world["closes"] * np.cumprod(world["splits"], axis=0)
    ledger = run(hold([0.4, 0.3, 0.2, 0.1], 60), closes, rebalance=Rebalance(every=every))
    assert np.flatnonzero(ledger.turnover).tolist() == filled


@pytest.mark.parametrize("to", ["target", "edge"])
def test_the_first_bar_of_a_calendar_acts_however_wide_the_band_is(to: Any) -> None:
    targets = hold([0.01] * 100, 12)  # each within 2 % of nothing
    ledger = run(targets, np.ones((12, 100)), costs=FREE, rebalance=Rebalance(every="week", band=0.02, to=to))
    assert ledger.first_fill == 5  # 2020-01-06, a Monday
    assert ledger.weights[-1].sum() == pytest.approx(1.0)


def test_a_band_trades_only_what_has_drifted_out_of_it() -> None:
    closes = np.array([[10.0, 10.0], [10.0, 10.0], [11.0, 10.0], [15.0, 10.0], [15.0, 10.0], [15.0, 10.0]])
    whole = run(hold([0.5, 0.5], 6), closes, costs=FREE, rebalance=Rebalance(band=0.05))
    assert np.flatnonzero(whole.turnover).tolist() == [1, 4]  # 0.524 stays, 0.6 is out, and is filled a bar later
    np.testing.assert_allclose(whole.weights[4], [0.5, 0.5], rtol=1e-12)
    edge = run(hold([0.5, 0.5], 6), closes, costs=FREE, rebalance=Rebalance(band=0.05, to="edge"))
    assert np.flatnonzero(edge.turnover).tolist() == [1, 4]
    np.testing.assert_allclose(edge.weights[4], [0.55, 0.45], rtol=1e-12)
    part = run(hold([0.5, 0.5], 6), closes, costs=FREE, rebalance=Rebalance(band=0.25, relative=True))
    assert np.flatnonzero(part.turnover).tolist() == [1]
    rare = run(hold([0.5, 0.5], 6), closes, costs=FREE, rebalance=Rebalance(every=4, band=0.05))
    assert np.flatnonzero(rare.turnover).tolist() == [1, 5]


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_after_a_trade_to_the_edge_no_weight_is_outside_and_all_is_invested(seed: int) -> None:
    world = draw_world(seed)
    closes = world["closes"] * np.cumprod(world["splits"], axis=0)
    goal = np.random.default_rng(seed).dirichlet(np.ones(4))
    ledger = run(hold(goal.tolist(), 60), closes, costs=FREE, rebalance=Rebalance(band=0.02, to="edge"))
    invested = ledger.weights[1:].sum(axis=1)  # what the bar between decision and fill moves is left as cash
    assert np.all((invested > 0.97) & (invested < 1 + 1e-9))
    fills = np.flatnonzero(ledger.turnover[:-1])[1:]
    traded = np.abs(ledger.trades[fills]) > 0.0
    assert np.all(np.abs(ledger.weights[fills] - goal)[traded] < 0.02 + 1e-3)


def test_several_strategies_are_the_ledgers_of_each_alone() -> None:
    worlds = [draw_world(seed) for seed in (1, 2, 3)]
    tables = {f"strategy {number}": world["targets"] for number, world in enumerate(worlds)}
    world = worlds[0]
    names = tuple(f"asset {number}" for number in range(1, 5))
    for options in ({}, {"volumes": world["volumes"], "costs": Costs(10, 5, impact=0.5, max_participation=0.3)}):
        usual: dict[str, Any] = {"allow_short": True, "max_gross": 1.5, "costs": Costs(10, 5), **options}
        closes = world["closes"] * np.cumprod(world["splits"], axis=0)
        together = backtest_strategies(tables, closes, times=count_days(60), assets=names, initial_cash=1000.0, **usual)
        stacked = backtest_strategies(
            np.stack([w["targets"] for w in worlds]),
            closes,
            times=count_days(60),
            assets=names,
            initial_cash=1000.0,
            **usual,
        )
        assert list(stacked) == ["0", "1", "2"]
        for (name, ledger), same in zip(together.items(), stacked.values(), strict=True):
            alone = run(tables[name], closes, **usual)
            assert ledger.equity.tobytes() == alone.equity.tobytes() == same.equity.tobytes()
            assert ledger.notes == alone.notes


@pytest.mark.skipif(not AAPL.exists(), reason="the shared market data are not here")
def test_apple_with_its_dividends_and_split_earns_its_total_return() -> None:
    with gzip.open(AAPL, "rt") as lines:
        rows = list(csv.DictReader(lines))
    closes, dividends, splits = (
        np.array([[float(row[name])] for row in rows]) for name in ("close", "dividend", "split")
    )
    assert (np.count_nonzero(dividends), splits.max()) == (10, 7.0)
    fixed: dict[str, Any] = {
        "times": np.array([row["date"] for row in rows], dtype="datetime64[D]"),
        "assets": ("AAPL",),
        "costs": FREE,
    }
    earned = ((closes + dividends)[2:] / closes[1:-1])[:, 0]
    # the file's prices and dividends are adjusted for the split of 2014-06-09; those of the day are seven times as much
    factor = np.cumprod(splits[::-1], axis=0)[::-1] / splits
    for prices, paid, split in ((closes, dividends, None), (closes * factor, dividends * factor, splits)):
        actions = Actions(dividends=paid, splits=split)
        ledger = backtest_weights(np.ones_like(closes), prices, actions=actions, **fixed)
        np.testing.assert_allclose(ledger.equity[-1], 1e6 * np.prod(earned), rtol=1e-12)
    with pytest.raises(ValueError, match=r"split of 7 at 2014-06-09, .* are adjusted for it already"):
        backtest_weights(np.ones_like(closes), closes, actions=Actions(splits=splits), **fixed)
