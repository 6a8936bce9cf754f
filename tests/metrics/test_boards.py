"""Naive forecasts on real data, whose scores are published: the conventions match the boards."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidewright.metrics.accuracy import Scored, owa, score, seasonal_scale

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not on this machine")


def read_m4(name):
    table = pl.read_csv(DATA / "m4_hourly" / name, infer_schema=False)
    return table.drop(table.columns[0]).cast(pl.Float64).to_numpy()


def test_seasonal_naive_on_m4_hourly_has_the_published_smape_mase_and_owa():
    train, actual = read_m4("Hourly-train.csv.gz"), read_m4("Hourly-test.csv")
    past = [row[~np.isnan(row)] for row in train]
    offsets = np.concatenate(([0], np.cumsum([row.size for row in past])))
    scale = seasonal_scale(np.concatenate(past), offsets=offsets, season=24)
    got = score(Scored(actual, np.array([np.tile(row[-24:], 2) for row in past]), scale=scale), ["smape", "mase"])
    assert (round(100 * got["smape"], 3), round(got["mase"], 3)) == (13.912, 1.193)
    assert round(owa(100 * got["smape"], got["mase"], smape_naive2=18.383, mase_naive2=2.395), 4) == 0.6275


def read_walmart():
    """The weekly sales of each series on its own grid of Fridays, NaN where a week is missing."""
    table = pl.read_parquet(DATA / "walmart" / "train.parquet").filter(pl.len().over("Store", "Dept") >= 79)
    weeks = table.select(pl.col("Date").str.to_date().alias("Week"), "Store", "Dept", "Weekly_Sales")
    full = weeks.sort("Week").upsample("Week", every="1w", group_by=["Store", "Dept"])
    filled = full.with_columns(pl.col("Store", "Dept").forward_fill())
    series = filled.partition_by("Store", "Dept", maintain_order=True)
    return [part["Weekly_Sales"].to_numpy() for part in series]


def carry_forward(values):
    """Each missing value takes the last one before it."""
    return values[np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(values.size)))]


@pytest.mark.parametrize(("period", "mase", "wape"), [(1, 1.524, 0.1967), (52, 1.020, 0.1132)])
def test_naive_forecasts_on_walmart_have_the_published_mase_and_wape(period, mase, wape):
    series = read_walmart()
    past = [values[:-39] for values in series]
    offsets = np.concatenate(([0], np.cumsum([values.size for values in past])))
    scale = seasonal_scale(np.concatenate(past), offsets=offsets, season=1)
    forecast = [np.resize(carry_forward(values)[-period:], 39) for values in past]
    got = score(Scored([values[-39:] for values in series], forecast, scale=scale), ["mase", "wape"])
    assert len(series) == 2936
    assert (round(got["mase"], 3), round(got["wape"], 4)) == (mase, wape)
