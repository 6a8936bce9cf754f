"""Holidays from the fit to the forecast of a true future, with no rows for it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from holidays import country_holidays

import tidewright as tw
from tidewright.data.panel import Panel


def make_panel(last: date) -> Panel:
    """Five years of sales that fall to a tenth on holidays of the USA."""
    days = pl.date_range(date(2020, 1, 1), last, eager=True)
    holidays = country_holidays("US", years=range(2020, 2026))
    off = np.array([day in holidays for day in days])
    noise = np.random.default_rng(0).normal(size=len(days))
    sold = np.where(off, 10.0, 100.0) + 5.0 * np.sin(np.arange(len(days)) * 2 * np.pi / 7) + noise
    return Panel.from_table(pl.DataFrame({"day": days, "sold": sold}), time="day", target="sold")


def test_a_bundle_knows_the_holidays_of_a_future_that_has_no_rows(tmp_path: Path) -> None:
    panel, task = make_panel(date(2024, 12, 20)), tw.Task(horizon=8, quantiles=(0.5,))
    split = tw.split_holdout(panel, task)
    spec = tw.build_spec("lightgbm", {"rounds": 100, "learning_rate": 0.2, "min_leaf": 5})
    view = tw.View(14, ("weekday", "holiday:US"))
    fitted = tw.fit(spec, panel=panel, split=split, task=task, view=view)
    tw.save_bundle(fitted, folder=tmp_path / "bundle", panel=panel, split=split)
    forecast = tw.open(tmp_path / "bundle").forecast(panel.table).table
    low = forecast.filter(pl.col("0.5") < 70.0)["day"].to_list()
    assert low == [date(2024, 12, 25)]
    assert forecast["day"].max() == date(2024, 12, 20) + timedelta(days=8)
