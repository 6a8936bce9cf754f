"""What records look like where people look at them: short, and as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw

MANY = tuple(f"stock {place}" for place in range(500))
DAYS = np.arange("2020-01-01", "2022-01-01", dtype="datetime64[D]")[:600]
RETURNS = np.random.default_rng(0).normal(0.0005, 0.01, (600, 500))
FEW = MANY[:3]
SOME = RETURNS[:, :3]


def make_records(assets: tuple[str, ...]) -> dict[str, Any]:
    """One of each record, of so many assets."""
    returns = RETURNS[:, : len(assets)]
    even = np.full(len(assets), 1 / len(assets))
    fit = tw.fit_volatility(returns, assets=assets, times=DAYS, model="ewma")
    cov = tw.covariance(returns, assets=assets)
    views = tw.Views.from_forecasts(even / 100, uncertainty=even, assets=assets)
    return {
        "weights": tw.allocate(returns, assets=assets),
        "covariance": cov,
        "fit": fit,
        "forecast": fit.forecast(horizon=30, method="simulation", paths=20, levels=(0.05, 0.95)),
        "risk": tw.value_at_risk(returns, assets=assets, weights=even),
        "rolling": tw.rolling_var(returns, assets=assets, times=DAYS, window=400),
        "stress": tw.stress(even, assets=assets, returns=returns, times=DAYS),
        "targets": tw.walk_weights(returns, times=DAYS, assets=assets, decide_every=50, lookback=100, rule="equal"),
        "frontier": tw.frontier(returns[:, :30], assets=assets[:30], points=3),
        "optimum": tw.optimise(returns[:, :30], assets=assets[:30]),
        "views": views,
        "posterior": tw.black_litterman(views, covariance=cov),
    }


@pytest.mark.parametrize(("name", "record"), sorted(make_records(MANY).items()))
def test_a_record_of_500_assets_prints_in_a_few_lines(name: str, record: Any) -> None:
    said = repr(record)
    assert type(record).__name__ in said
    assert len(said) < 4000, name
    assert "500" in said or name in ("frontier", "optimum")


def test_a_record_says_its_numbers_by_name_and_nan_by_count() -> None:
    weights = tw.Weights(("A", "B"), np.array([0.25, 0.75]), "by hand")
    assert repr(weights) == "Weights(assets=('A', 'B'), values=[A 0.25, B 0.75], method='by hand', notes=(), net=1)"
    rolling = repr(tw.rolling_var(SOME, assets=FEW, times=DAYS, window=100, method="normal"))
    assert "times=[600] from 2020-01-01 to 2021-08-22" in rolling
    assert "var=[600, 3] from" in rolling
    assert ", 300 NaN" in rolling
    line = repr(tw.frontier(SOME, assets=FEW, points=3))
    assert "risk=[0." in line, "points are no assets, even where there are as many"


def test_records_become_tables() -> None:
    found = make_records(FEW)
    weights = found["weights"]
    assert dict(weights.to_table().iter_rows()) == weights.as_dict()
    cov = found["covariance"].to_table()
    assert cov.columns == ["asset", *FEW]
    np.testing.assert_array_equal(cov.select(FEW).to_numpy(), found["covariance"].values)
    risk = found["risk"].to_table()
    assert risk["component_var"].sum() == pytest.approx(found["risk"].portfolio.var)
    assert "incremental_var" not in risk.columns
    alone = tw.value_at_risk(SOME, assets=FEW)
    assert alone.to_table().columns == ["asset", "var", "es"]
    line = found["frontier"]
    np.testing.assert_array_equal(line.to_table().to_numpy()[:, 2:], line.weights)


def test_tables_by_time_keep_each_number_at_its_bar_and_asset() -> None:
    found = make_records(FEW)
    rolling = found["rolling"].to_table()
    row = rolling.filter(pl.col("asset") == FEW[2], pl.col("time").dt.date() == DAYS[500].item())
    assert row["var"].item() == found["rolling"].var[500, 2]
    assert tw.rolling_var(SOME, assets=FEW, window=400).to_table().columns[0] == "row"
    ahead = found["forecast"]
    step = ahead.to_table().filter(pl.col("step") == 30, pl.col("asset") == FEW[1])
    assert step["cumulated"].item() == ahead.cumulated[29, 1]
    assert step["0.95"].item() == ahead.quantiles[0.95][29, 1]
    targets = found["targets"]
    assert targets.to_table().columns == ["time", *FEW]
    np.testing.assert_array_equal(targets.to_table().select(FEW).to_numpy(), targets.values)


def test_a_fit_s_table_says_why_an_asset_has_no_model() -> None:
    with pytest.warns(tw.errors.FallbackWarning):
        fit = tw.fit_volatility(np.column_stack([SOME[:, :2], np.zeros(600)]), assets=FEW, model="ewma", decay="fitted")
    table = fit.to_table()
    assert table["failure"].to_list()[:2] == [None, None]
    assert table["failure"][2] == fit.failures[FEW[2]]
    assert table["decay"][0] == fit.parameters_of(FEW[0])["decay"]
