"""A run on series that add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tidewright.data.simulate import signal_panel
from tidewright.errors import ConfigError, DataError
from tidewright.workflows.result import RunResult

STATES = {"s0": "CA", "s1": "CA", "s2": "NV"}
ASKED = {"series": "series", "time": "time", "target": "value", "static": ["state"], "horizon": 4, "track": False}


def make_table() -> pl.DataFrame:
    table = signal_panel(n_series=3, length=200, seed=1).table
    return table.with_columns(pl.col("series").replace_strict(STATES).alias("state"))


def run(tmp_path: Path, table: pl.DataFrame, *more: str) -> RunResult:
    overrides = ["model=rlinear", "train.epochs=1", "tune.enabled=false", "hierarchy.levels=[state]", *more]
    return tw.run(table, overrides=overrides, folder=str(tmp_path), **ASKED)


def test_a_run_gives_forecasts_of_the_totals_that_add_up(tmp_path: Path) -> None:
    result = run(tmp_path, make_table())
    assert result.forecast is not None
    table = pl.read_csv(result.folder / "forecast.csv")
    mean = {str(name): part["mean"].to_numpy() for (name,), part in table.group_by("series")}
    assert sorted(mean) == ["s0", "s1", "s2", "state=CA", "state=NV", "total"]
    np.testing.assert_allclose(mean["total"], mean["s0"] + mean["s1"] + mean["s2"], rtol=1e-9)
    np.testing.assert_allclose(mean["state=CA"], mean["s0"] + mean["s1"], rtol=1e-9)
    note = next(note for note in result.notes if note.kind == "hierarchy")
    assert note.used == "mint"
    assert "on the test" in note.reason
    alone = tw.open(result.serving.path).forecast(make_table())  # the bundle needs no totals
    assert sorted(alone.table["series"].unique()) == ["s0", "s1", "s2"]


def test_the_method_is_heeded(tmp_path: Path) -> None:
    one, other = (run(tmp_path, make_table(), f"hierarchy.method={name}") for name in ("bottom_up", "mint"))
    assert one.forecast is not None
    assert other.forecast is not None
    assert not one.forecast.table["mean"].equals(other.forecast.table["mean"])


def test_series_may_be_lifted_to_zero(tmp_path: Path) -> None:
    low = make_table().with_columns(pl.col("value") - 25.0)
    result = run(tmp_path, low, "hierarchy.nonnegative=true")
    assert result.forecast is not None
    assert result.forecast.table["0.1"].min() == 0.0


def test_what_can_not_add_up_is_refused_before_anything_is_learned(tmp_path: Path) -> None:
    table = make_table()
    short = table.filter((pl.col("series") != "s1") | (pl.col("time") < table["time"].max()))
    with pytest.raises(DataError, match=r"series 's1' ends at .* leave out series that ended, or fill them"):
        run(tmp_path, short)
    with pytest.raises(ConfigError, match=r"a hierarchy needs hierarchy\.levels"):
        run(tmp_path, table, "hierarchy.levels=[]", "hierarchy.method=ols")
    with pytest.raises(ConfigError, match="the market's returns don't add up"):
        tw.run(overrides=["hierarchy.levels=[state]"], folder=str(tmp_path))
