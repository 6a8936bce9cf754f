"""What a strategy file looks like."""

from __future__ import annotations

TEMPLATE = '''"""A strategy: each month the half of the assets that rose most in the half-year before.

tidewright backtest --check THIS.py prices.parquet   looks for look-ahead
tidewright backtest THIS.py prices.parquet           what it would have earned, after costs

decide(prices) is called with all closes and gives target weights, in a process without a network:
- prices is a polars table: "time" and a column an asset, a row a bar, null where an asset has no price. With
  TABLE = "pandas" it is a pandas table with the times as its index, with TABLE = "numpy" an array [bars, assets].
- It gives one row a bar, in the same order (an array or a table), or a table with the times of the rows that decide.
  What a row holds may come from its own bar and those before it; it is filled at the next one. A row of nulls decides
  nothing. Weights are shares of equity; what is missing to one stays in cash.
"""

import polars as pl

LOOKBACK = 126


def decide(prices: pl.DataFrame) -> pl.DataFrame:
    assets = pl.exclude("time")
    risen = prices.select("time", assets / assets.shift(LOOKBACK) - 1.0)
    long = risen.unpivot(index="time", variable_name="asset", value_name="rise").drop_nulls()
    best = pl.col("rise") >= pl.col("rise").median().over("time")
    chosen = long.with_columns(weight=best.cast(pl.Float64) / best.sum().over("time"))
    weights = chosen.pivot(on="asset", index="time", values="weight").sort("time")
    first = pl.col("time").dt.month() != pl.col("time").dt.month().shift(1)  # the first bar of each month decides
    return weights.filter(first.fill_null(True)).fill_null(0.0)
'''
