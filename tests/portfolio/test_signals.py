"""Signals: against a slow plain-Python account, each rule by hand, and the laws of a ledger."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tidewright as tw
from tidewright.errors import AllocationError
from tidewright.portfolio import Costs, SignalBacktest, backtest_signals, crossover, moving_average

Floats = NDArray[np.float64]
FREE = Costs(fee_bps=0, half_spread_bps=0)
SEEDS = st.integers(0, 2**32 - 1)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"stop_loss": 0.04},
    {"take_profit": 0.05},
    {"trailing_stop": 0.05},
    {"max_bars": 3},
    {"stop_loss": 0.04, "take_profit": 0.03, "trailing_stop": 0.05, "max_bars": 6},
]
SIZES: list[dict[str, Any]] = [
    {},
    {"amount": 2},
    {"size": "money", "amount": 300.0},
    {"size": "share", "amount": 0.4},
    {"size": "share", "amount": 0.5, "max_leverage": 1.5},
]


@dataclass
class World:
    entries: NDArray[np.bool_]
    exits: NDArray[np.bool_]
    closes: Floats
    opens: Floats
    highs: Floats
    lows: Floats
    short_entries: NDArray[np.bool_]
    short_exits: NDArray[np.bool_]

    def shorts(self) -> dict[str, Any]:
        return {"short_entries": self.short_entries, "short_exits": self.short_exits}

    def ranges(self) -> dict[str, Any]:
        return {"opens": self.opens, "highs": self.highs, "lows": self.lows}


def draw_world(seed: int, *, rows: int = 40, assets: int = 4) -> World:
    rng = np.random.default_rng(seed)
    closes = rng.uniform(5, 200, assets) * np.exp(np.cumsum(rng.normal(0, 0.02, (rows, assets)), axis=0))
    opens = closes * np.exp(rng.normal(0, 0.02, (rows, assets)))
    spread = np.exp(np.abs(rng.normal(0, 0.015, (2, rows, assets))))
    flags = rng.random((4, rows, assets)) < np.array([0.15, 0.1, 0.08, 0.1])[:, None, None]
    return World(
        flags[0], flags[1], closes, opens, np.maximum(opens, closes) * spread[0],
        np.minimum(opens, closes) / spread[1], flags[2], flags[3],
    )  # fmt: skip


def run(world: World, **options: Any) -> SignalBacktest:
    rows, assets = world.closes.shape
    usual: dict[str, Any] = {"costs": Costs(fee_bps=10, half_spread_bps=5), "initial_cash": 1000.0}
    days = np.datetime64("2020-01-01") + np.arange(rows)
    names = tuple(f"asset {number}" for number in range(1, assets + 1))
    given_ = {**usual, **options}
    return backtest_signals(world.entries, world.exits, world.closes, times=days, assets=names, **given_)


@dataclass
class Hand:
    """The account kept by hand: asset by asset and price by price."""

    world: World
    at_open: bool
    inside: bool
    rate: float
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None
    max_bars: int | None = None
    size: str = "slots"
    amount: float = 4.0
    max_leverage: float = 1.0
    cash: float = 1000.0
    held: dict[int, dict[str, Any]] = field(default_factory=dict)
    due: dict[int, str] = field(default_factory=dict)
    trades: list[tuple[Any, ...]] = field(default_factory=list)

    def keep(self) -> list[tuple[float, list[float]]]:
        books = []
        rows, assets = self.world.closes.shape
        for bar in range(rows):
            if bar and not self.at_open:
                self.watch_inside(bar)
            if bar:
                self.fill(bar, self.world.opens[bar] if self.at_open else self.world.closes[bar])
            if bar and self.at_open:
                self.watch_inside(bar)
            self.end(bar)
            books.append((self.cash, [self.held.get(asset, {"units": 0.0})["units"] for asset in range(assets)]))
        return books

    def sell(self, asset: int, bar: int, price: float, why: str) -> None:
        one = self.held.pop(asset)
        self.cash += one["units"] * price - self.rate * abs(one["units"]) * price
        profit = one["units"] * (price - one["price"]) - self.rate * abs(one["units"]) * (price + one["price"])
        self.trades.append((asset, one["bar"], bar, why, profit))

    def fill(self, bar: int, price: Floats) -> None:
        left = {}
        for asset in list(self.held):
            one = self.held[asset]
            long = bool(one["units"] > 0)
            asked = (self.world.exits if long else self.world.short_exits)[bar - 1, asset]
            late = self.max_bars is not None and bar - one["bar"] >= self.max_bars
            if asset in self.due or asked or late:
                left[asset] = long
                self.sell(asset, bar, price[asset], self.due.get(asset, "exit" if asked else "time"))
        wanted = []
        for asset in range(len(price)):
            if asset in self.held:
                continue
            up = self.world.entries[bar - 1, asset] and not self.world.exits[bar - 1, asset]
            down = self.world.short_entries[bar - 1, asset] and not self.world.short_exits[bar - 1, asset]
            up, down = up and left.get(asset) is not True, down and left.get(asset) is not False
            if up != down:
                wanted.append((asset, 1 if up else -1))
        self.buy(wanted, bar, price)

    def buy(self, wanted: list[tuple[int, int]], bar: int, price: Floats) -> None:
        equity = self.cash + sum(one["units"] * price[asset] for asset, one in self.held.items())
        gross = sum(abs(one["units"]) * price[asset] for asset, one in self.held.items())
        room = (self.max_leverage * equity - gross) / (1 + self.max_leverage * self.rate)
        free = int(self.amount) - len(self.held)
        part = room / free if self.size == "slots" and free > 0 else 0.0
        for asset, side in wanted:
            stake = part if self.size == "slots" else self.amount * (equity if self.size == "share" else 1)
            if self.size != "slots":
                stake /= 1 + self.max_leverage * self.rate
            if room <= 1e-9 * equity or (self.size == "slots" and free == 0) or stake > room * (1 + 1e-9):
                continue
            room, free = room - stake, free - 1
            self.cash -= side * stake + self.rate * stake
            self.held[asset] = {
                "units": side * stake / price[asset], "price": price[asset], "best": price[asset], "bar": bar,
            }  # fmt: skip

    def levels(self, one: dict[str, Any]) -> tuple[float, str, float]:
        side = 1 if one["units"] > 0 else -1
        stop = -np.inf if self.stop_loss is None else side * one["price"] * (1 - side * self.stop_loss)
        trail = -np.inf if self.trailing_stop is None else side * one["best"] * (1 - side * self.trailing_stop)
        goal = np.inf if self.take_profit is None else side * one["price"] * (1 + side * self.take_profit)
        return (trail, "trailing", goal) if trail > stop else (stop, "stop", goal)

    def watch_inside(self, bar: int) -> None:
        for asset in [a for a, one in self.held.items() if one["bar"] < bar] if self.inside else []:
            one, world = self.held[asset], self.world
            side = 1 if one["units"] > 0 else -1
            low, why, goal = self.levels(one)
            start = side * world.opens[bar, asset]
            ends = sorted(side * ends[bar, asset] for ends in (world.highs, world.lows))
            if start >= goal:
                self.sell(asset, bar, side * start, "target")
            elif ends[0] <= low:
                self.sell(asset, bar, side * min(start, low), why)
            elif ends[1] >= goal:
                self.sell(asset, bar, side * goal, "target")

    def end(self, bar: int) -> None:
        self.due = {}
        for asset, one in self.held.items():
            side = 1 if one["units"] > 0 else -1
            if self.inside:
                seen = (self.world.highs if side > 0 else self.world.lows)[bar, asset]
                counted = one["bar"] < bar or self.at_open
            else:
                seen, counted = self.world.closes[bar, asset], True
                low, why, goal = self.levels(one)
                if one["bar"] < bar and side * seen <= low:
                    self.due[asset] = why
                elif one["bar"] < bar and side * seen >= goal:
                    self.due[asset] = "target"
            if counted:
                one["best"] = side * max(side * one["best"], side * seen)


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.sampled_from(OPTIONS), st.sampled_from(SIZES), st.booleans(), st.booleans(), st.booleans())
def test_the_ledger_and_its_trades_are_the_account_kept_by_hand(
    seed: int, ends: dict[str, Any], sizing: dict[str, Any], at_open: bool, inside: bool, shorts: bool
) -> None:
    world = draw_world(seed)
    if not shorts:
        world.short_entries[:] = False
    options: dict[str, Any] = {**ends, **sizing, **(world.shorts() if shorts else {})}
    timing: dict[str, Any] = world.ranges() if inside else {"opens": world.opens} if at_open else {}
    done = run(world, **options, **timing, fill="next open" if at_open else "next close")
    hand = Hand(world, at_open, inside, rate=0.0015, **ends, **sizing)
    books = hand.keep()
    np.testing.assert_allclose(done.ledger.cash, [cash for cash, _ in books], atol=1e-8)
    np.testing.assert_allclose(done.ledger.positions, [units for _, units in books], atol=1e-9)
    closed = [done.trades.ended != "end"]
    first = done.ledger.times[0]
    told = zip(
        (int(name.split()[1]) - 1 for name in done.trades.asset[closed[0]]),
        (done.trades.entered - first).astype(int)[closed[0]],
        (done.trades.left - first).astype(int)[closed[0]],
        done.trades.ended[closed[0]],
        np.round(done.trades.profit[closed[0]], 6),
        strict=True,
    )
    kept = [(*trade[:4], round(float(trade[4]), 6)) for trade in hand.trades]
    assert sorted(tuple(map(str, one)) for one in told) == sorted(tuple(map(str, one)) for one in kept)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from(SIZES[:4]), st.sampled_from(OPTIONS))
def test_the_ledger_balances_and_long_positions_never_borrow(
    seed: int, sizing: dict[str, Any], ends: dict[str, Any]
) -> None:
    world = draw_world(seed)
    done = run(world, **sizing, **ends, **world.ranges())
    ledger, trades = done.ledger, done.trades
    worth = (ledger.positions * world.closes).sum(axis=1)
    np.testing.assert_allclose(ledger.cash + worth, ledger.equity, rtol=1e-14)
    np.testing.assert_allclose(np.cumsum(ledger.trades, axis=0), ledger.positions, atol=1e-9)
    np.testing.assert_allclose(ledger.weights.sum(axis=1), 1 - ledger.cash / ledger.equity, atol=1e-12)
    assert np.all(ledger.cash >= 0)
    assert np.all(ledger.costs >= 0)
    np.testing.assert_allclose(ledger.spread, ledger.costs / 3, rtol=1e-12)  # 5 of 15 basis points
    assert ledger.equity[-1] - 1000.0 == pytest.approx(trades.profit.sum(), abs=1e-7)
    assert trades.summary()["trades"] + trades.summary()["open"] == len(trades)


@settings(max_examples=24, deadline=None)
@given(SEEDS, st.integers(5, 38), st.booleans())
def test_nothing_after_a_bar_moves_a_bit_up_to_it(seed: int, cut: int, inside: bool) -> None:
    world, other = draw_world(seed), draw_world(seed)
    later = draw_world(seed + 1)
    level = world.closes[cut] / later.closes[cut]
    for name in ("closes", "opens", "highs", "lows"):
        setattr(later, name, getattr(later, name) * level)
    for name in ("entries", "exits", "closes", "opens", "highs", "lows", "short_entries", "short_exits"):
        getattr(other, name)[cut + 1 :] = getattr(later, name)[cut + 1 :]
    options: dict[str, Any] = {"stop_loss": 0.05, "trailing_stop": 0.06, "take_profit": 0.2}
    first, second = (
        run(one, **options, **one.shorts(), size="share", amount=0.2, **(one.ranges() if inside else {}))
        for one in (world, other)
    )
    for name in ("positions", "cash", "equity", "costs", "turnover"):
        assert getattr(first.ledger, name)[: cut + 1].tobytes() == getattr(second.ledger, name)[: cut + 1].tobytes(), (
            name
        )


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e5))
def test_scaling_the_cash_scales_the_account_and_permuting_assets_permutes_it(seed: int, scale: float) -> None:
    world = draw_world(seed)
    one, other = run(world), run(world, initial_cash=1000.0 * scale)
    np.testing.assert_allclose(other.ledger.equity, one.ledger.equity * scale, rtol=1e-10)
    order = np.random.default_rng(seed).permutation(4)
    turned = World(*(getattr(world, name)[:, order] for name in World.__dataclass_fields__))
    np.testing.assert_allclose(run(turned).ledger.positions, one.ledger.positions[:, order], rtol=1e-10)


def one_asset(closes: list[float], **options: Any) -> SignalBacktest:
    """Bought at the second close by a signal of the first, without costs."""
    entries = options.pop("entries", [1] + [0] * (len(closes) - 1))
    exits = options.pop("exits", [0] * len(closes))
    days = np.datetime64("2020-01-01") + np.arange(len(closes))
    usual: dict[str, Any] = {"costs": FREE, "initial_cash": 100.0, **options}
    return backtest_signals(entries, exits, closes, times=days, assets=("A",), **usual)


def tell(done: SignalBacktest) -> list[tuple[str, float, str]]:
    trades = done.trades
    return list(
        zip(trades.left.astype(str).tolist(), trades.exit_price.round(9).tolist(), trades.ended.tolist(), strict=True)
    )


def test_a_signal_is_filled_at_the_bar_after_it() -> None:
    done = one_asset([10.0, 20.0, 30.0, 60.0, 60.0], exits=[0, 0, 1, 0, 0])
    assert done.ledger.positions[:, 0].tolist() == [0.0, 5.0, 5.0, 0.0, 0.0]
    assert tell(done) == [("2020-01-04", 60.0, "exit")]
    at_open = one_asset([10.0, 20.0, 30.0], fill="next open", opens=[9.0, 10.0, 25.0])
    assert at_open.ledger.equity.tolist() == [100.0, 200.0, 300.0]


RANGES: dict[str, Any] = {
    "opens": [10.0, 10.0, 10.0, 10.0],
    "highs": [10.0, 99.0, 12.0, 12.0],
    "lows": [1.0, 1.0, 9.5, 8.0],
}


@pytest.mark.parametrize(
    ("change", "closes", "ended"),
    [
        ({"stop_loss": 0.1}, [10.0, 10.0, 10.0, 10.0], ("2020-01-04", 9.0, "stop")),
        ({"take_profit": 0.15}, [10.0, 10.0, 10.0, 10.0], ("2020-01-03", 11.5, "target")),
        ({"trailing_stop": 0.2}, [10.0, 10.0, 10.0, 10.0], ("2020-01-04", 9.6, "trailing")),
        ({"stop_loss": 0.05, "take_profit": 0.1}, [10.0] * 4, ("2020-01-03", 9.5, "stop")),
        ({"stop_loss": 0.1, "opens": [10.0, 10.0, 10.0, 8.5]}, [10.0] * 4, ("2020-01-04", 8.5, "stop")),
        ({"take_profit": 0.1, "opens": [10.0, 10.0, 11.5, 10.0]}, [10.0] * 4, ("2020-01-03", 11.5, "target")),
        (
            {"take_profit": 0.1, "stop_loss": 0.05, "opens": [10.0, 10.0, 11.5, 10.0]},
            [10.0] * 4,
            ("2020-01-03", 11.5, "target"),
        ),
        ({"max_bars": 2}, [10.0, 10.0, 11.0, 12.0], ("2020-01-04", 12.0, "time")),
        ({}, [10.0, 10.0, 11.0, 12.0], ("2020-01-04", 12.0, "end")),
    ],
)
def test_a_position_ends_where_the_rules_say(
    change: dict[str, Any], closes: list[float], ended: tuple[str, float, str]
) -> None:
    assert tell(one_asset(closes, **{**RANGES, **change})) == [ended]


def test_a_stop_that_a_close_has_hit_is_filled_as_a_signal_is() -> None:
    assert tell(one_asset([10.0, 10.0, 8.9, 7.0, 7.0], stop_loss=0.1)) == [("2020-01-04", 7.0, "stop")]


def test_an_exit_and_an_entry_of_one_bar_enter_nothing_and_a_short_entry_turns() -> None:
    both = one_asset([10.0, 10.0, 10.0], exits=[1, 0, 0])
    assert not len(both.trades)
    assert both.ledger.notes == ("no entry was filled: all is cash throughout",)
    turned = one_asset([10.0, 10.0, 10.0, 5.0], exits=[0, 1, 0, 0], short_entries=[0, 1, 0, 0])
    assert turned.ledger.positions[:, 0].tolist() == [0.0, 10.0, -10.0, -10.0]
    assert turned.ledger.equity.tolist() == [100.0, 100.0, 100.0, 150.0]
    neither = one_asset([10.0, 10.0, 10.0], short_entries=[1, 0, 0])
    assert "entries passed over, both sides at once: 1" in neither.ledger.notes


def test_entries_that_can_not_be_paid_are_counted() -> None:
    world = draw_world(3)
    world.entries[:] = True
    world.exits[:] = False
    done = run(world, size="money", amount=400.0)
    assert np.count_nonzero(done.ledger.positions[-1]) == 2
    assert done.ledger.notes[0] == f"entries passed over, no slot or money left: {2 * 39}"
    assert done.ledger.positions[1, :2].all()  # the first columns


def test_a_price_that_is_missing_passes_an_entry_over_or_is_an_error_where_it_is_held() -> None:
    nan = float("nan")
    done = one_asset([10.0, nan, 10.0, 10.0], entries=[1, 1, 0, 0])
    assert "entries passed over, no price at their fill: 1" in done.ledger.notes
    assert done.trades.entered.astype(str).tolist() == ["2020-01-03"]
    with pytest.raises(AllocationError, match="'A' has no price at 2020-01-03, where it is held"):
        one_asset([10.0, 10.0, nan, 10.0])


def test_a_short_position_that_costs_more_than_there_is_says_so() -> None:
    free = {"short_entries": [1, 0, 0, 0, 0], "short_exits": [0, 0, 1, 0, 0], "entries": [0] * 5}
    prices = np.array([[10.0, 10.0], [10.0, 10.0], [25.0, 40.0], [25.0, 40.0], [25.0, 40.0]])
    days = np.datetime64("2020-01-01") + np.arange(5)
    flags = {name: np.array([values, [0] * 5]).T for name, values in free.items()}
    flags["entries"][0, 1] = 1
    done = backtest_signals(
        flags.pop("entries"), np.zeros((5, 2)), prices, times=days, assets=("A", "B"), costs=FREE, initial_cash=100.0,
        **flags,
    )  # fmt: skip
    assert done.ledger.cash.tolist() == [100.0, 100.0, 100.0, -25.0, -25.0]
    assert done.ledger.notes[-1] == "cash goes down to -25.00 at 2020-01-04: that is borrowed, without interest"
    with pytest.raises(AllocationError, match="equity at 2020-01-03 is -50"):
        one_asset([10.0, 10.0, 25.0], entries=[0, 0, 0], short_entries=[1, 0, 0])


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "NaN signal": ({"entries": [1.0, float("nan"), 0.0]}, r"entry signal of 'A' at 2020-01-02 is nan \(1 such of 3\)"),
    "number for a signal": ({"exits": [0.0, 0.0, 2.0]}, "exit signal of 'A' at 2020-01-03 is 2 "),
    "text": ({"entries": ["a", "b", "c"]}, "entry signals hold something that is no number"),
    "other bars": ({"entries": [1, 0]}, r"entry signals have the shape \(2, 1\), the prices \(3, 1\)"),
    "fill": ({"fill": "now"}, "fill is 'now'; it is 'next close' or 'next open'"),
    "no opens": ({"fill": "next open"}, "fill='next open' came without opens"),
    "opens alone": ({"opens": [10.0] * 3}, "fill='next close' came with opens"),
    "highs alone": ({"highs": [10.0] * 3}, "highs, lows and opens belong together"),
    "ranges without opens": ({"highs": [10.0] * 3, "lows": [10.0] * 3}, "highs, lows and opens belong together"),
    "a low above": (
        {"opens": [10.0] * 3, "highs": [10.0] * 3, "lows": [9.0, 11.0, 9.0]},
        "the low of 'A' at 2020-01-02 is 11 and its open 10",
    ),
    "a zero high": (
        {"opens": [10.0] * 3, "highs": [10.0, 0.0, 10.0], "lows": [9.0] * 3},
        "the high of 'A' at 2020-01-02 is 0 ",
    ),
    "stop": ({"stop_loss": 1.0}, "stop_loss is 1; it is a fraction of the price, above zero and below one"),
    "target": ({"take_profit": 0.0}, "take_profit is 0; it is a fraction"),
    "bars": ({"max_bars": 0}, "max_bars is 0"),
    "size": ({"size": "all"}, "size is 'all'; it is 'slots', 'money' or 'share'"),
    "no amount": ({"size": "money"}, "size='money' came without an amount"),
    "half a slot": ({"amount": 1.5}, "with size='slots' it is a whole number"),
    "negative": ({"size": "money", "amount": -1.0}, "amount is -1"),
    "more than allowed": ({"size": "share", "amount": 1.5}, "more than max_leverage=1 allows"),
    "leverage": ({"max_leverage": 0.0}, "max_leverage is 0"),
    "impact": ({"costs": Costs(1, 1, impact=1.0)}, "costs with impact=1; signals are charged the fee and the spread"),
    "participation": ({"costs": Costs(1, 1, max_participation=0.1)}, "costs with max_participation=0.1; signals"),
    "borrowing": ({"costs": Costs(1, 1, borrow_bps=50)}, "costs with borrow_bps=50; signals"),
    "cash": ({"initial_cash": -1.0}, "initial_cash is -1"),
    "negative price": ({"closes": [10.0, -1.0, 10.0]}, "the price of 'A' at 2020-01-02 is -1"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_refused_with_its_place(case: str) -> None:
    change, message = BAD[case]
    change = dict(change)
    with pytest.raises(AllocationError, match=message):
        one_asset(change.pop("closes", [10.0, 10.0, 10.0]), **change)


def test_lines_cross_where_they_turn_and_never_at_a_gap() -> None:
    fast = [1.0, 3.0, 2.0, 3.0, 2.0, 1.0, float("nan"), 3.0, 2.0, 1.0]
    lines = tw.crossover(fast, [2.0] * 10)
    assert np.flatnonzero(lines.above).tolist() == [1]
    assert np.flatnonzero(lines.below).tolist() == [5, 9]
    plain = [x < 2.0 < y for x, y in itertools.pairwise(np.sin(np.arange(50.0)) + 2.0)]
    assert crossover(np.sin(np.arange(50.0)) + 2.0, np.full(50, 2.0)).above[1:].tolist() == plain


def test_lines_that_are_none_are_refused() -> None:
    with pytest.raises(AllocationError, match=r"shapes \(2,\) and \(3,\)"):
        crossover([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(AllocationError, match="window is 0"):
        moving_average([1.0], 0)
    with pytest.raises(AllocationError, match=r"have the shape \(1, 1, 1\)"):
        moving_average([[[1.0]]], 1)
    assert np.isnan(moving_average([1.0, 2.0], 3)).all()


def test_the_table_of_trades_has_a_row_a_trade() -> None:
    table = one_asset([10.0, 10.0, 11.0, 12.0], exits=[0, 0, 1, 0]).trades.to_table()
    assert table.columns == ["asset", "entered", "left", "entry_price", "exit_price", "units", "profit", "ended"]
    assert table.row(0)[3:] == (10.0, 12.0, 10.0, 20.0, "exit")
