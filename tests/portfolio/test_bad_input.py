"""What malformed returns, prices, weights, dates and costs get: an error with cause, place and remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray

from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio import (
    RULES,
    Actions,
    Costs,
    Delisting,
    Rebalance,
    backtest_signals,
    backtest_strategies,
    backtest_weights,
    returns_from_prices,
)

Floats = NDArray[np.float64]
NAMES = ("AAPL", "XOM", "JPM")
DAYS = np.datetime64("2020-01-01") + np.arange(6)
FREE = Costs(fee_bps=0, half_spread_bps=0)


def good_returns() -> Floats:
    return np.random.default_rng(0).normal(0, 0.01, (6, 3))


def good_prices() -> Floats:
    return np.asarray(100 * np.cumprod(1 + good_returns(), axis=0), dtype=np.float64)


def good_targets() -> Floats:
    targets = np.full((6, 3), np.nan)
    targets[0], targets[3] = [0.2, 0.3, 0.5], [0.5, 0.3, 0.2]
    return targets


def spoil(values: Floats, *, row: int, asset: int, value: float) -> Floats:
    values[row, asset] = value
    return values


NEEDED: dict[str, dict[str, Any]] = {"risk_budget": {"budgets": dict.fromkeys(NAMES, 1 / 3)}}  # what a rule must have

RETURNS = {
    "prices": (good_prices(), r"returns of 'AAPL' is above 20%, .* look like prices.*returns_from_prices"),
    "prices, few rows": (good_prices()[:3], "above 100%, .* look like prices"),
    "penny prices": (good_prices() / 250, "look like prices"),
    "NaN": (spoil(good_returns(), row=2, asset=1, value=np.nan), "return of 'XOM' at 2020-01-03 is nan"),
    "inf": (spoil(good_returns(), row=4, asset=2, value=np.inf), "return of 'JPM' at 2020-01-05 is inf"),
    "constant": (good_returns() * [1, 0, 1], "return of 'XOM' is 0 in all of the 6 rows: without variance"),
    "huge": (good_returns() * [1e300, 1, 1], "variance of 'AAPL' is (inf|nan)"),
    "one row": (good_returns()[:1], "1 row of returns can't tell how assets vary; at least 2"),
    "no rows": (good_returns()[:0], "0 rows of returns"),
    "one column lost": (good_returns()[:, :2], "2 columns came with 3 asset names"),
    "one dimension": (good_returns()[:, 0], r"shape \(6,\); rows are bars and columns are assets"),
    "text": (np.array([["a", "b", "c"]] * 6), "hold something that is no number"),
}


@pytest.mark.parametrize(
    ("case", "rule"),
    # equal weights square nothing, so that huge returns do them no harm
    [(case, rule) for case in sorted(RETURNS) for rule in sorted(RULES) if (case, rule) != ("huge", "equal")],
)
def test_bad_returns_are_refused_by_every_rule(case: str, rule: str) -> None:
    returns, message = RETURNS[case]
    with pytest.raises(AllocationError, match=message):
        RULES.load(rule)(returns, assets=NAMES, times=DAYS[: len(returns)], **NEEDED.get(rule, {}))


TIMES = {
    "unsorted": (DAYS[[0, 2, 1, 3, 4, 5]], r"2020-01-02 \(row 2\) comes after 2020-01-03. Sort the rows"),
    "duplicate": (DAYS[[0, 1, 1, 3, 4, 5]], r"2020-01-02 \(row 2\) comes twice. Keep one row a date"),
    "NaT": (np.array([*DAYS[:5], "NaT"], dtype="datetime64[D]"), "time of row 5 is NaT"),
    "strings": (DAYS.astype(str), "times are of type <U.*must be numpy datetime64"),
    "numbers": (np.arange(6), "times are of type int64"),
    "too few": (DAYS[:5], r"6 rows came with times of shape \(5,\)"),
}


@pytest.mark.parametrize("case", sorted(TIMES))
def test_bad_dates_are_refused_by_rules_and_backtest(case: str) -> None:
    times, message = TIMES[case]
    with pytest.raises(AllocationError, match=message):
        RULES.load("hrp")(good_returns(), assets=NAMES, times=times)
    with pytest.raises(AllocationError, match=message):
        backtest_weights(good_targets(), good_prices(), times=times, assets=NAMES, costs=FREE)
    with pytest.raises(AllocationError, match=message):
        returns_from_prices(good_prices(), times=times, assets=NAMES)


def test_a_time_of_day_is_shown_where_there_is_one() -> None:
    hours = np.datetime64("2020-01-01T07", "ns") + np.array([0, 2, 1, 3, 4, 5]) * np.timedelta64(1, "h")
    with pytest.raises(AllocationError, match=r"2020-01-01T08:00:00 \(row 2\) comes after 2020-01-01T09:00:00"):
        RULES.load("hrp")(good_returns(), assets=NAMES, times=hours)


LEDGERS: dict[str, tuple[dict[str, Any], str]] = {
    "negative price": (
        {"prices": spoil(good_prices(), row=2, asset=1, value=-5.0)},
        "price of 'XOM' at 2020-01-03 is -5 .*A price is above zero",
    ),
    "zero price": (
        {"prices": spoil(good_prices(), row=0, asset=0, value=0.0)},
        "price of 'AAPL' at 2020-01-01 is 0 ",
    ),
    "infinite price": (
        {"prices": spoil(good_prices(), row=1, asset=0, value=np.inf)},
        "price of 'AAPL' at 2020-01-02 is inf",
    ),
    "missing price of a held asset": (
        {"prices": spoil(good_prices(), row=2, asset=2, value=np.nan)},
        "'JPM' has no price at 2020-01-03, where it is held or targeted. Fill the gap",
    ),
    "missing price at the fill": (
        {"prices": spoil(good_prices(), row=1, asset=2, value=np.nan)},
        "'JPM' has no price at 2020-01-02",
    ),
    "prices beyond numbers": (
        {"prices": good_prices() * np.array([1, 1e-300, 1e300, 1, 1, 1])[:, None]},
        "equity at 2020-01-03 is inf: .* Check them for errors of scale",
    ),
    "NaN signal": (
        {"targets": spoil(good_targets(), row=3, asset=1, value=np.nan)},
        "target weight of 'XOM' at 2020-01-04 is nan .*decides for every asset or, all NaN, for none",
    ),
    "infinite weight": (
        {"targets": spoil(good_targets(), row=3, asset=1, value=np.inf)},
        "target weight of 'XOM' at 2020-01-04 is inf",
    ),
    "short weight": (
        {"targets": spoil(good_targets(), row=3, asset=1, value=-0.3)},
        "target weight of 'XOM' at 2020-01-04 is -0.3 .*long-only",
    ),
    "too much": (
        {"targets": spoil(good_targets(), row=3, asset=0, value=0.9)},
        r"weights of 2020-01-04 sum to 1\.4; they must sum to one. Divide them by their sum\.",
    ),
    "too little": (
        {"targets": spoil(good_targets(), row=3, asset=0, value=0.1)},
        r"sum to 0\.6; they must sum to one. Divide them by their sum, or pass allow_cash=True",
    ),
    "too much with cash": (
        {"targets": spoil(good_targets(), row=3, asset=0, value=0.9), "allow_cash": True},
        r"sum to 1\.4; they must sum to at most one",
    ),
    "short and no limit": (
        {"targets": spoil(good_targets(), row=3, asset=1, value=-0.9), "allow_short": True},
        r"weights of 2020-01-04 are 1\.6 times the equity, long plus short; at most 1 is allowed.*max_gross=1.6",
    ),
    "a limit of nothing": ({"max_gross": 0.0}, "max_gross is 0; long plus short positions are at most from 1 to 20"),
    "returns for prices": ({"prices": good_returns()}, r"price of .* at 2020-01-0\d is -0.*A price is above zero"),
    "impact without volumes": (
        {"costs": Costs(0, 0, impact=1.0)},
        "have an impact or a participation, which need the volume of each bar. Give volumes= in units",
    ),
    "volumes of other bars": ({"volumes": np.ones((5, 3))}, r"table of volume has the shape \(5, 3\), .*\(6, 3\)"),
    "negative volume": (
        {"volumes": spoil(np.ones((6, 3)), row=2, asset=1, value=-1.0)},
        "volume of 'XOM' at 2020-01-03 is -1; it is finite and at least 0",
    ),
    "no volatility yet": (
        {"costs": Costs(0, 0, impact=1.0), "volumes": np.full((6, 3), 1e6)},
        "volatility of 'AAPL' at 2020-01-01 isn't known.*Give volatility=, or decide after 2 returns",
    ),
    "an order beyond the market": (
        {"costs": Costs(0, 0, impact=10.0), "volumes": np.full((6, 3), 1e-6), "volatility": np.full((6, 3), 0.1)},
        "an order costs more than the equity that it splits: it is too large for the volume",
    ),
    "a rate a year": ({"cash_rate": 5.0}, "cash_rate at 2020-01-01 is 5 over one bar; it is a fraction from -0.1"),
    "rates of other bars": (
        {"cash_rate": np.zeros(4)},
        r"cash_rate has the shape \(4,\); it is one number, or one a bar",
    ),
    "what is unfilled": ({"unfilled": "forget"}, "unfilled is 'forget'; it is 'carry' or 'drop'"),
    "actions of other bars": (
        {"actions": Actions(dividends=np.zeros((5, 3)))},
        r"dividends have the shape \(5, 3\), prices \(6, 3\)",
    ),
    "a dividend in percent": (
        {"actions": Actions(dividends=spoil(np.zeros((6, 3)), row=2, asset=1, value=250.0))},
        "dividend of 'XOM' at 2020-01-03 is 250 a unit, and the price before .*not a percentage",
    ),
    "a negative dividend": (
        {"actions": Actions(dividends=spoil(np.zeros((6, 3)), row=2, asset=1, value=-1.0))},
        "dividend of 'XOM' at 2020-01-03 is -1; it is money a unit, at least 0",
    ),
    "a split of nothing": (
        {"actions": Actions(splits=spoil(np.ones((6, 3)), row=2, asset=1, value=0.0))},
        "split of 'XOM' at 2020-01-03 is 0; it is new units for an old one, above 0",
    ),
    "a split that prices are adjusted for": (
        {"actions": Actions(splits=spoil(np.ones((6, 3)), row=2, asset=1, value=4.0))},
        "'XOM' has a split of 4 at 2020-01-03, .* adjusted for it already. Bring unadjusted prices",
    ),
    "the end of an unknown asset": (
        {"actions": Actions(delistings={"GE": Delisting(DAYS[3])})},
        "'GE' is delisted and is none of the assets",
    ),
    "an end off the grid": (
        {"actions": Actions(delistings={"XOM": Delisting(np.datetime64("2021-01-01"))})},
        "delisting of 'XOM' at 2021-01-01 falls on no bar",
    ),
    "prices after the end": (
        {"actions": Actions(delistings={"XOM": Delisting(DAYS[3])})},
        "'XOM' is delisted at 2020-01-04 and has a price at 2020-01-05. Move the delisting",
    ),
    "weights of other bars": ({"targets": good_targets()[:4]}, "4 rows of target weights came with 6 bars"),
    "weights of other assets": ({"targets": good_targets()[:, :2]}, "2 columns came with 3 asset names"),
    "text for prices": ({"prices": np.full((6, 3), "x")}, "prices hold something that is no number"),
    "text for weights": (
        {"targets": np.full((6, 3), "x")},
        "target weights hold something that is no number",
    ),
    "weights in one row": ({"targets": np.array([0.2, 0.3, 0.5])}, r"target weights have the shape \(3,\)"),
    "a decision off the grid": (
        {"targets": good_targets()[:1], "decided": np.array(["2021-01-01"], dtype="datetime64[D]")},
        "decision of 2021-01-01 falls on no bar",
    ),
    "a decision between bars": (
        {"targets": good_targets()[:1], "decided": np.array(["2020-01-02T12"], dtype="datetime64[h]")},
        "decision of 2020-01-02T12:00:00 falls on no bar",
    ),
    "decisions without times": (
        {"targets": good_targets()[[0, 3]], "decided": DAYS[:1]},
        r"2 rows came with times of shape \(1,\)",
    ),
    "no money": ({"initial_cash": 0.0}, "initial_cash is 0.0; it is a finite amount above zero"),
    "unknown fill": ({"fill": "this close"}, "fill is 'this close'; it is 'next close' or 'next open'"),
    "open fill without opens": ({"fill": "next open"}, "fill='next open' came without opens"),
    "close fill with opens": ({"opens": good_prices()}, "fill='next close' came with opens"),
    "zero open": (
        {"fill": "next open", "opens": spoil(good_prices(), row=1, asset=0, value=0.0)},
        "the open of 'AAPL' at 2020-01-02 is 0 ",
    ),
    "missing open at the fill": (
        {"fill": "next open", "opens": spoil(good_prices(), row=1, asset=0, value=np.nan)},
        "'AAPL' has no price at 2020-01-02",
    ),
}


@pytest.mark.parametrize("case", sorted(LEDGERS))
def test_a_bad_backtest_is_refused_with_its_place(case: str) -> None:
    change, message = LEDGERS[case]
    usual: dict[str, Any] = {"targets": good_targets(), "prices": good_prices(), "costs": FREE}
    given = {**usual, **change}
    targets, prices = given.pop("targets"), given.pop("prices")
    with pytest.raises(AllocationError, match=message):
        backtest_weights(targets, prices, times=DAYS, assets=NAMES, **given)


@pytest.mark.parametrize(
    ("fee", "spread", "message"),
    [
        (
            -1_000.0,
            0.0,
            "fee_bps is -1000, that is -10 % of the value traded; it must be from 0 to 1000 basis",
        ),
        (20_000.0, 0.0, "fee_bps is 20000, that is 200 %"),
        (0.0, -1.0, "half_spread_bps is -1"),
        (float("nan"), 0.0, "fee_bps is nan"),
        (0.0, float("inf"), "half_spread_bps is inf"),
    ],
)
def test_impossible_costs_are_refused(fee: float, spread: float, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        Costs(fee_bps=fee, half_spread_bps=spread)


def test_costs_are_paid_on_purchases_and_on_sales() -> None:
    costs = Costs(fee_bps=6, half_spread_bps=4)
    assert costs.rate == pytest.approx(0.001, rel=1e-12)
    assert costs.charge([0.5, -0.5, 0.0], equity=2_000.0) == pytest.approx(2.0, rel=1e-12)
    assert costs.charge(np.zeros((4, 3))).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "has a calendar, a band, or both"),
        ({"every": 0}, "every is 0; it is a number of bars from 1, or one of week, month, quarter, year"),
        ({"every": "fortnight"}, "every is 'fortnight'"),
        ({"band": 5.0}, "band is 5; it is a distance of weights from 0 to 1"),
        ({"every": 5, "to": "edge"}, "say what a band does, and band is not given"),
        ({"band": 0.1, "to": "middle"}, "to is 'middle'; it is 'target' or 'edge'"),
    ],
)
def test_impossible_rules_of_rebalancing_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        Rebalance(**rule)


@pytest.mark.parametrize("outcome", [-1.5, float("nan"), 30.0])
def test_an_impossible_end_of_an_asset_is_refused(outcome: float) -> None:
    with pytest.raises(AllocationError, match=r"outcome of a delisting is .*; it is a return from -1"):
        Delisting(DAYS[0], outcome)


def test_strategies_that_are_no_tables_are_refused() -> None:
    given: dict[str, Any] = {"times": DAYS, "assets": NAMES, "costs": FREE}
    with pytest.raises(AllocationError, match=r"several strategies have the shape \(6, 3\)"):
        backtest_strategies(good_targets(), good_prices(), **given)
    with pytest.raises(AllocationError, match="there is no strategy"):
        backtest_strategies({}, good_prices(), **given)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("which", ["targets", "prices", "volumes", "opens", "splits"])
def test_a_table_whose_columns_are_in_another_order_is_refused(kind: str, which: str) -> None:
    """Weights of AAPL would buy XOM."""
    frame = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[kind]
    given: dict[str, Any] = {
        "targets": good_targets(), "prices": good_prices(), "opens": good_prices(),
        "volumes": np.ones((6, 3)), "splits": np.ones((6, 3)),
    }  # fmt: skip
    tables = {name: frame(dict(zip(NAMES, values.T, strict=True))) for name, values in given.items()}
    more = {"times": DAYS, "assets": NAMES, "costs": FREE, "fill": "next open"}

    def run() -> Any:
        actions = Actions(splits=tables["splits"])
        sides = {name: tables[name] for name in ("volumes", "opens")}
        return backtest_weights(tables["targets"], tables["prices"], actions=actions, **sides, **more)

    assert run().assets == NAMES
    tables[which] = tables[which][list(NAMES[::-1])]
    with pytest.raises(AllocationError, match=r"has 'AAPL' as column 2, and assets name it as column 0"):
        run()


def test_signals_whose_columns_are_in_another_order_are_refused() -> None:
    entries = pd.DataFrame(np.zeros((6, 3)), columns=NAMES[::-1])
    more: dict[str, Any] = {"times": DAYS, "assets": NAMES, "costs": FREE}
    with pytest.raises(AllocationError, match="the table of entry signals has 'AAPL' as column 2"):
        backtest_signals(entries, np.zeros((6, 3)), good_prices(), **more)
    highs, nothing = pd.DataFrame(good_prices() * 2, columns=NAMES[::-1]), np.zeros((6, 3))
    with pytest.raises(AllocationError, match="the table of highs has 'AAPL' as column 2"):
        backtest_signals(nothing, nothing, good_prices(), highs=highs, lows=highs, opens=good_prices(), **more)


def test_a_rate_of_cash_that_is_a_years_is_refused() -> None:
    more: dict[str, Any] = {"times": DAYS, "assets": NAMES, "costs": FREE}
    with pytest.raises(AllocationError, match=r"cash_rate is 0\.04 over one bar, that is 1,460% a year\. Divide"):
        backtest_weights(good_targets(), good_prices(), cash_rate=0.04, **more)
    months = np.arange("2020-01", "2020-07", dtype="datetime64[M]").astype("datetime64[D]")
    paid = backtest_weights(good_targets(), good_prices(), cash_rate=0.04, **{**more, "times": months})
    assert paid.interest.any()


def test_the_time_of_a_delisting_may_be_text() -> None:
    ends = Actions(delistings={"AAPL": Delisting("2020-01-06", outcome=-0.3)})  # type: ignore[arg-type]
    done = backtest_weights(good_targets(), good_prices(), times=DAYS, assets=NAMES, costs=FREE, actions=ends)
    assert done.positions[-1, 0] == 0.0


@pytest.mark.parametrize("which", ["targets", "prices", "opens"])
def test_a_table_indexed_by_other_dates_is_refused(which: str) -> None:
    tables = {"targets": good_targets(), "prices": good_prices(), "opens": good_prices()}
    frames = {name: pd.DataFrame(values, index=DAYS) for name, values in tables.items()}
    more: dict[str, Any] = {"times": DAYS, "assets": NAMES, "costs": FREE, "fill": "next open"}
    backtest_weights(frames["targets"], frames["prices"], opens=frames["opens"], **more)
    frames[which].index += np.timedelta64(1, "D")
    with pytest.raises(AllocationError, match=r"indexed by 2020-01-02T.* and its time is 2020-01-01T.* \(6 such rows"):
        backtest_weights(frames["targets"], frames["prices"], opens=frames["opens"], **more)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"costs": 5.0}, "costs is a Costs; got 5.0"),
        ({"rebalance": "month"}, "Rebalance.every='month'"),
        ({"actions": {"splits": None}}, "actions is an Actions"),
    ],
)
def test_what_is_no_record_of_the_backtest_is_told_with_the_call_that_makes_one(
    given: dict[str, Any], message: str
) -> None:
    days = np.arange("2024-01-01", "2024-01-04", dtype="datetime64[D]")
    asked: dict[str, Any] = {"times": days, "assets": ("A",), "costs": FREE, "decided": days[:1]}
    with pytest.raises(ConfigError, match=message):
        backtest_weights([[1.0]], [[1.0], [1.1], [1.2]], **{**asked, **given})


def test_a_fee_that_is_no_number_is_told() -> None:
    with pytest.raises(AllocationError, match="fee_bps is '5', which is no number"):
        Costs(fee_bps="5", half_spread_bps=0)  # type: ignore[arg-type]
