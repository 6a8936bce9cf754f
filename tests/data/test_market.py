"""The packaged stocks are a clean panel of an exchange, and prices become returns."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from tidewright.data.inspect import inspect
from tidewright.data.market import load_market, to_returns
from tidewright.data.panel import Panel
from tidewright.errors import DataError, ShortSeriesError


@pytest.fixture(scope="module")
def market() -> Panel:
    return Panel.from_table(load_market(), series="stock", time="date", target="price", calendar="XNYS")


def test_the_market_is_twenty_stocks_on_every_session_of_their_exchange(market: Panel) -> None:
    assert (market.n_series, len(market.table), market.repairs) == (20, 20 * 8313, ())
    assert (market.series_ids[0], market.series_ids[-1]) == ("AAPL", "XOM")
    first, last = market.span
    assert (market.time_at(first), market.time_at(last)) == ("1990-01-02", "2022-12-28")
    np.testing.assert_array_equal(market.target[:3], [0.264, 0.266, 0.267])
    assert market.frequency.periods_per_year == pytest.approx(252, abs=1)


def test_the_market_has_no_findings_that_are_errors(market: Panel) -> None:
    assert inspect(market, lookback=252, horizon=21, prices=True).ok


def test_returns_compound_back_to_the_prices(market: Panel) -> None:
    returns = to_returns(market)
    assert (returns.n_series, len(returns.table)) == (20, 20 * 8312)
    assert returns.frequency == market.frequency
    for name in market.series_ids:
        prices, gains = market.target[market.rows_of(name)], returns.target[returns.rows_of(name)]
        np.testing.assert_allclose(prices[0] * np.cumprod(1 + gains), prices[1:], rtol=1e-10)
    assert returns.table["date"][0] == dt.date(1990, 1, 3)


def prices(**columns: list[float | None]) -> Panel:
    length = len(next(iter(columns.values())))
    days = [dt.date(2024, 1, 1 + i) for i in range(length)]
    wide = pl.DataFrame({"day": days, **columns})
    return Panel.from_table(
        wide.unpivot(index="day", variable_name="who", value_name="price"),
        series="who",
        time="day",
        target="price",
    )


def test_a_return_next_to_a_missing_price_is_missing_and_never_crosses_series() -> None:
    returns = to_returns(prices(a=[1.0, 2.0, None, 4.0, 5.0], b=[10.0, 11.0, 12.0, 13.0, 14.0]))
    np.testing.assert_array_equal(returns.target[:4], [1.0, np.nan, np.nan, 0.25])
    assert returns.target[4] == pytest.approx(0.1)
    assert returns.table["return"].null_count() == 2


def test_a_price_of_zero_is_refused_with_its_place() -> None:
    with pytest.raises(DataError, match=r"'price' is 0 in series 'b' at 2024-01-02 \(1 such rows\)"):
        to_returns(prices(a=[1.0, 2.0], b=[1.0, 0.0]))


def test_a_series_of_one_price_is_refused() -> None:
    with pytest.raises(ShortSeriesError, match="series 'b' has no two prices in a row"):
        to_returns(prices(a=[1.0, 2.0, 3.0], b=[1.0, None, 3.0]))
