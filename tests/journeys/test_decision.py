"""From a table of returns to a sealed model, to weights and their backtest: each command reads what the last wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.cli.typed import tidewright
from tidewright.data.market import to_returns
from tidewright.models.build import build_spec

ASSETS = tuple(f"S{place}" for place in range(6))
DAYS = np.arange("2018-01-01", "2024-01-01", dtype="datetime64[D]")
DAYS = DAYS[np.is_busday(DAYS)][:700]
FAST = ["tune.enabled=false", "track=false", "--quiet", "--json"]


def write_prices(folder: Path, *, persistence: float) -> pl.DataFrame:
    draw = np.random.default_rng(3)
    returns = draw.normal(0.0003, 0.01, (len(DAYS), len(ASSETS)))
    for row in range(1, len(returns)):
        returns[row] += persistence * returns[row - 1]
    closes = 100.0 * np.cumprod(1.0 + returns, axis=0)
    wide = pl.DataFrame({"date": DAYS, **dict(zip(ASSETS, closes.T, strict=True))})
    wide.write_parquet(folder / "prices.parquet")
    return wide.unpivot(index="date", variable_name="stock", value_name="price")


def read(*words: str, cwd: Path) -> dict[str, Any]:
    done = tidewright(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def skilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with prices whose returns persist, and a bundle that learned so from all but the last 200 of them."""
    folder = tmp_path_factory.mktemp("skilled")
    prices = write_prices(folder, persistence=0.7)
    panel = to_returns(tw.Panel.from_table(prices, series="stock", time="date", target="price"))
    task = tw.Task(horizon=1)
    split = tw.split_holdout(panel, task, validation=60, test=200)
    fitted = tw.fit(build_spec("elastic_net"), panel=panel, split=split, task=task)
    tw.save_bundle(fitted, panel=panel, folder=folder / "bundle", split=split)
    worse = {"elastic_net": {"mase": 1.0}, "ridge": {"mase": 0.9}, "naive": {"mase": 1.4}}
    tw.save_bundle(fitted, panel=panel, folder=folder / "worse", split=split, metrics=worse)
    prices.write_csv(folder / "long.csv")
    return folder


def test_a_run_on_returns_without_skill_moves_no_weight_and_its_weights_are_backtested(tmp_path: Path) -> None:
    prices = write_prices(tmp_path, persistence=0.0)
    returns = prices.with_columns(pl.col("price").pct_change().over("stock").alias("return")).drop_nulls().drop("price")
    returns.write_csv(tmp_path / "returns.csv")
    words = ("--series", "stock", "--time", "date", "--target", "return", "--horizon", "2", "model=elastic_net")
    run = read("train", "returns.csv", *words, *FAST, cwd=tmp_path)
    folder = str(Path(run["bundle"]["path"]).parent)
    asked = ("--as-of", "2020-03-31", "--method", "risk_parity", "--output", "weights.parquet", "--quiet")
    told = read("allocate", folder, "prices.parquet", *asked, "--json", cwd=tmp_path)
    assert told["moved"] is False
    assert "no forecast" in told["reason"].casefold()
    assert max(told["risk"]["shares"].values()) == pytest.approx(1 / 6, abs=1e-6)
    earned = read("backtest", "weights.parquet", "prices.parquet", "--benchmark", "equal", "--json", cwd=tmp_path)
    assert earned["figures"]["periods"] > 100
    assert earned["figures"]["beta"] == pytest.approx(1.0, abs=0.3)


def test_a_bundle_with_skill_on_what_it_never_saw_tilts_the_weights(skilled: Path) -> None:
    done = tidewright("allocate", "bundle", "prices.parquet", "--json", cwd=skilled)
    told = json.loads(done.stdout)
    assert told["moved"] is True
    assert 190 <= told["skill"]["count"] <= 201
    assert told["skill"]["used"] > 0.3
    assert "forecasting" in done.stderr
    assert any("its card has no scores of floors" in note for note in told["notes"])
    long = read("allocate", "bundle", "long.csv", "--quiet", "--json", cwd=skilled)
    assert long["weights"] == pytest.approx(told["weights"])


def test_a_bundle_whose_card_has_a_better_floor_moves_nothing(skilled: Path) -> None:
    told = read("allocate", "worse", "prices.parquet", "--quiet", "--json", cwd=skilled)
    assert told["moved"] is False
    assert told["skill"]["shrunk"] > 0.3
    assert told["skill"]["used"] == 0.0
    assert any("MASE 1 on its test part, its best floor, ridge, 0.9" in note for note in told["notes"])


def test_prices_that_end_before_the_model_was_made_measure_no_skill(skilled: Path) -> None:
    told = read("allocate", "bundle", "prices.parquet", "--as-of", "2019-08-30", "--quiet", "--json", cwd=skilled)
    assert told["skill"] is None
    assert told["moved"] is False
    assert "No forecast's horizon is over" in told["reason"]


def test_a_bundle_of_prices_is_refused(skilled: Path, tmp_path: Path) -> None:
    long = pl.read_csv(skilled / "long.csv", try_parse_dates=True)
    prices = tw.Panel.from_table(long, series="stock", time="date", target="price")
    task = tw.Task(horizon=1)
    split = tw.split_holdout(prices, task, validation=60, test=200)
    fitted = tw.fit(build_spec("elastic_net"), panel=prices, split=split, task=task)
    tw.save_bundle(fitted, panel=prices, folder=tmp_path / "of_prices", split=split)
    done = tidewright("allocate", str(tmp_path / "of_prices"), "prices.parquet", cwd=skilled)
    assert done.returncode == 1
    assert "of prices forecast the returns" in done.stderr
