"""Twenty US stocks without a network, and prices turned into returns."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import polars as pl

from tidewright.data.panel import Panel
from tidewright.errors import DataError, ShortSeriesError
from tidewright.optional import require

STOCK, DATE, PRICE, RETURN = "stock", "date", "price", "return"
CALENDAR = "XNYS"


def load_market() -> pl.DataFrame:
    """Daily adjusted closing prices of 20 large US stocks from 1990 to 2022, packaged with skfolio.

    A long table of stock, date and price, 8,313 days a stock. Offline. Its panel is `Panel.from_table(
    load_market(), series="stock", time="date", target="price", calendar="XNYS")`.
    """
    datasets = require("skfolio.datasets", extra="market", purpose="the packaged US stocks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package's own calls of pandas, not the user's
        wide = datasets.load_sp500_dataset()
    dates = pl.Series(DATE, wide.index.to_numpy()).cast(pl.Date)
    columns = [pl.Series(str(name), wide[name].to_numpy()) for name in wide.columns]
    long = pl.DataFrame([dates, *columns]).unpivot(index=DATE, variable_name=STOCK, value_name=PRICE)
    return long.select(STOCK, DATE, PRICE).sort(STOCK, DATE)


def to_returns(prices: Panel, *, name: str = RETURN) -> Panel:
    """The simple returns of a panel of prices: value over the value one position earlier, minus one.

    The first row of each series has none and is dropped; a return next to a missing price is missing. Grid
    and calendar and the other columns stay; the target is called `name`. Raises `DataError` at a price of zero or less,
    `ShortSeriesError` for a series without two neighbouring prices.

    >>> days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 1, 3), eager=True)
    >>> table = pl.DataFrame({"day": days, "price": [1.0, 2.0, 1.0]})
    >>> to_returns(Panel.from_table(table, time="day", target="price")).target
    array([ 1. , -0.5])
    """
    values, price = prices.target, prices.roles.target
    bad = np.flatnonzero(values <= 0)
    if bad.size:
        place = prices.place(int(bad[0]))
        raise DataError(
            f"column '{price}' is {values[bad[0]]:g} in {place} ({bad.size} such rows): prices are positive. Leave a "
            "missing price empty, or use returns as they are."
        )
    returns = np.full(len(values), np.nan)
    returns[1:] = values[1:] / values[:-1] - 1.0
    keep = np.flatnonzero(np.diff(prices.codes, prepend=-1) == 0)
    held = np.bincount(prices.codes[keep], weights=~np.isnan(returns[keep]), minlength=prices.n_series)
    if (held == 0).any():
        short = prices.series_ids[int(np.flatnonzero(held == 0)[0])]
        raise ShortSeriesError(f"series {short!r} has no two prices in a row, so no return. Drop it, or bring prices.")
    if name != price and name in prices.table.columns:
        raise DataError(f"the panel has a column '{name}' already. Give the returns another name.")
    column = pl.Series(price, returns, dtype=pl.Float64).fill_nan(None)
    starts = np.flatnonzero(np.diff(prices.codes[keep], prepend=-1))
    return replace(
        prices,
        table=prices.table.with_columns(column)[keep].rename({price: name}),
        roles=replace(prices.roles, target=name),
        offsets=np.append(starts, len(keep)).astype(np.int64),
        positions=prices.positions[keep],
    )
