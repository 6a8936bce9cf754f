"""The floors on public boards: the rows that were measured by others, to the digits given."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidewright.data.layout import melt_columns
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout, split_rolling
from tidewright.data.task import Task
from tidewright.errors import RepairWarning
from tidewright.features.windows import cut_windows, make_windows
from tidewright.metrics.accuracy import Scored, past_scale, score
from tidewright.models.fit_floors import fit_floor
from tidewright.models.spec import Damped, Naive, Ridge, SeasonalNaive

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not on this machine")


@pytest.fixture(scope="module")
def etth1():
    wide = pl.read_csv(DATA / "ett" / "ETTh1.csv").head(14_400).with_columns(pl.col("date").str.to_datetime())
    train = wide.head(8640)
    standard = [(pl.col(c) - train[c].mean()) / train[c].std(ddof=0) for c in wide.columns[1:]]
    return Panel.from_table(
        melt_columns(wide.with_columns(standard), time="date"), series="series", time="date", target="value"
    )


@pytest.fixture(scope="module")
def walmart():
    raw = pl.read_parquet(DATA / "walmart" / "train.parquet").filter(pl.len().over("Store", "Dept") >= 79)
    names = pl.format("{} {}", "Store", "Dept").alias("series")
    table = raw.select(names, pl.col("Date").str.to_date(), "Weekly_Sales")
    with pytest.warns(RepairWarning, match="5920 missing times"):
        full = Panel.from_table(table, series="series", time="Date", target="Weekly_Sales", frequency="1w")
    rows = full.offsets[1:] - 40
    before = full.table.filter(pl.Series(np.arange(len(full.table)) <= rows[full.codes]))
    past = Panel.from_table(before, series="series", time="Date", target="Weekly_Sales", frequency="1w")
    return full, past, rows


def score_etth1(spec, panel):
    task = Task(horizon=96)
    split = split_holdout(panel, task, validation=2880, test=2880, stride=1)
    floor = fit_floor(spec, panel=panel, split=split, task=task)
    windows = cut_windows(panel, floor.view, horizon=96, cutoffs=split.test, least=1)
    assert len(windows) == 7 * (2880 - 96 + 1)
    return score(Scored(windows.labels(), floor.predict(windows)[:, :, task.median]), ["mse", "mae"])


def test_the_seasonal_naive_on_etth1_has_the_measured_errors(etth1):
    found = score_etth1(SeasonalNaive(period=24), etth1)
    assert (round(found["mse"], 3), round(found["mae"], 3)) == (0.512, 0.433)


def test_the_ridge_on_etth1_reaches_its_aim_with_every_choice_made_on_validation(etth1):
    found = score_etth1(Ridge(), etth1)
    assert found["mse"] <= 0.371
    assert found["mae"] <= 0.392


@pytest.mark.parametrize(
    ("spec", "mase", "wape"),
    [
        (Naive(), 1.524, 0.1967),
        (SeasonalNaive(period=52), 1.020, 0.1132),
        (Damped(period=52), 0.960, 0.1044),
        (Damped(), 0.960, 0.1044),
    ],
    ids=["naive", "seasonal", "damped", "damped with its period chosen"],
)
def test_the_floors_on_walmart_have_the_measured_errors(walmart, spec, mase, wape):
    full, past, rows = walmart
    task = Task(horizon=39)
    floor = fit_floor(spec, panel=past, split=split_rolling(past, task, folds=1)[0], task=task)
    windows = make_windows(full, floor.view, horizon=39, rows=rows)
    scale = past_scale(full.target, offsets=full.offsets, season=1, series=windows.series, ends=rows + 1)
    found = score(Scored(windows.labels(), floor.predict(windows)[:, :, task.median], scale=scale), ["mase", "wape"])
    assert len(windows) == 2936
    assert (round(found["mase"], 3), round(found["wape"], 4)) == (mase, wape)
