"""The verb `allocate` as a user types it: from prices, and forecasts that proved themselves, to weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.cli.typed import tidewright
from tidewright.portfolio import returns_from_prices
from tidewright.portfolio.allocate import hrp_weights

ASSETS = tuple(f"S{place}" for place in range(6))
DAYS = np.arange("2018-01-01", "2022-01-01", dtype="datetime64[D]")
DAYS = DAYS[np.is_busday(DAYS)][:700]
LIMITS = "limits:\n  - each <= 30 %\n  - Energy <= 0.2\n  - S5 >= 0.02\ngroups:\n  Energy: [S0, S1]\n"


def make_returns(persistence: float) -> np.ndarray[Any, Any]:
    """Returns that follow their own last one as far as they persist."""
    draw = np.random.default_rng(7)
    returns = draw.normal(0.0003, 0.01, (len(DAYS) - 1, len(ASSETS)))
    for row in range(1, len(returns)):
        returns[row] += persistence * returns[row - 1]
    return returns


RETURNS = make_returns(0.7)
CLOSES = 100.0 * np.cumprod(np.vstack([np.ones(len(ASSETS)), 1.0 + RETURNS]), axis=0)


def predict(noise: float, *, model: str, share: float) -> list[tuple[Any, ...]]:
    """Two steps ahead from every second bar: a share of what comes, and noise; the newest from the last bar."""
    draw, rows = np.random.default_rng(1), []
    days = [day.item() for day in (*DAYS, *(DAYS[-1] + np.arange(1, 3)))]
    for bar in range(301, len(DAYS), 2):
        for column, name in enumerate(ASSETS):
            for step in (1, 2):
                comes = RETURNS[bar + step - 1, column] if bar + step - 1 < len(RETURNS) else 0.01 * column
                said = share * comes + draw.normal(0.0, noise)
                rows.append((name, days[bar], days[bar + step], said - 0.02, said, said + 0.02, model))
    return rows


def write_predictions(rows: list[tuple[Any, ...]], path: Path) -> None:
    pl.DataFrame(rows, schema=["series", "cutoff", "date", "0.1", "0.5", "0.9", "model"], orient="row").write_parquet(
        path
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allocate")
    wide = pl.DataFrame({"date": DAYS, **dict(zip(ASSETS, CLOSES.T, strict=True))})
    wide.write_parquet(folder / "prices.parquet")
    wide.unpivot(index="date", variable_name="stock", value_name="close").write_csv(folder / "long.csv")
    (folder / "limits.yaml").write_text(LIMITS)
    good, noise = predict(0.002, model="good", share=0.5), predict(0.002, model="noise", share=0.0)
    write_predictions(good, folder / "good.parquet")
    write_predictions(good + noise, folder / "two.parquet")
    pl.DataFrame({"asset": ASSETS, "weight": 1 / 6}).write_csv(folder / "held.csv")
    return folder


def ask(folder: Path, *words: Any) -> dict[str, Any]:
    done = tidewright("allocate", *map(str, words), "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_prices_alone_give_the_weights_of_the_method_on_the_lookback(folder: Path) -> None:
    told = ask(folder, "prices.parquet")
    weights = hrp_weights(returns_from_prices(CLOSES, times=DAYS, assets=ASSETS)[-252:], assets=ASSETS)
    assert list(told["weights"].values()) == pytest.approx(weights.values, abs=1e-12)
    assert told["bars"] == 252
    assert told["moved"] is False
    assert told["reason"] == "No forecast was given: the weights rest on returns alone."
    assert sum(told["risk"]["shares"].values()) == pytest.approx(1.0)
    assert told["risk"]["value_at_risk"] < told["risk"]["expected_shortfall"]
    assert told["periods_per_year"] == pytest.approx(260.9, abs=0.2)
    assert ask(folder, "long.csv")["weights"] == pytest.approx(told["weights"])


def test_the_largest_weight_stands_first_and_limits_say_which_bind(folder: Path) -> None:
    done = tidewright("allocate", "prices.parquet", "--limits", "limits.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(" S")]
    shares = [float(line[1].rstrip("%")) for line in lines if line[1].endswith("%")]
    assert len(shares) == len(ASSETS)
    assert shares == sorted(shares, reverse=True)
    assert "Energy <= 0.2  0.2" in done.stdout
    assert "binds" in done.stdout
    assert "--output weights.csv" in done.stdout


def test_every_option_changes_what_is_decided(folder: Path) -> None:
    usual = ask(folder, "prices.parquet")["weights"]
    for words in (
        ("--method", "min_variance"), ("--lookback", 100), ("--as-of", "2019-06-28"), ("--limits", "limits.yaml"),
        ("--covariance", "ewma"), ("--benchmark", "S0"), ("linkage=ward",),
    ):  # fmt: skip
        assert ask(folder, "prices.parquet", *words)["weights"] != usual, words
    best = ask(folder, "prices.parquet", "--method", "max_sharpe")["weights"]
    costly = ("--fee-bps", 40, "--half-spread-bps", 5, "--holding", 5, "--previous", "held.csv")
    for words in (("--risk-free", 0.1), costly, costly[:2], costly[2:6]):
        assert ask(folder, "prices.parquet", "--method", "max_sharpe", *words)["weights"] != best, words
    assert ask(folder, "prices.parquet", "--frequency", "1d")["periods_per_year"] == pytest.approx(261.3, abs=1.0)
    assert ask(folder, "prices.parquet", "--as-of", "2018-01-31")["bars"] == 22


def test_a_forecast_that_beats_its_floor_tilts_the_weights_by_its_skill(folder: Path) -> None:
    told = ask(folder, "good.parquet", "prices.parquet")
    assert told["moved"] is True
    assert told["skill"]["beats_floor"] is True
    assert told["skill"]["used"] == pytest.approx(told["skill"]["shrunk"])
    gained = {name: told["weights"][name] / told["without_forecasts"][name] for name in ASSETS}
    assert gained["S5"] > 1.0 > gained["S0"]
    assert sum(told["weights"].values()) == pytest.approx(1.0)
    assert "the floor that it was held against: mean so far" in told["notes"]
    shown = tidewright("allocate", "good.parquet", "prices.parquet", cwd=folder).stdout
    assert f"{told['skill']['used']:.3f} is used." in shown
    assert "without forecasts" in shown


def test_views_move_what_heeds_them_and_none_moves_nothing(folder: Path) -> None:
    words = ("good.parquet", "prices.parquet", "--method", "black_litterman")
    assert ask(folder, *words, "--views", "black_litterman")["moved"] is True
    still = ask(folder, *words, "--views", "none")
    assert still["moved"] is False
    assert still["skill"]["used"] > 0.0


def test_noise_moves_nothing_and_the_floor_may_be_a_model_of_the_table(folder: Path) -> None:
    noise = ask(folder, "two.parquet", "prices.parquet", "--model", "noise")
    assert noise["moved"] is False
    assert noise["weights"] == noise["without_forecasts"]
    assert noise["reason"].endswith("0.000 is used. No forecast moves the weights.")
    beside = ask(folder, "two.parquet", "prices.parquet", "--model", "good", "--floor", "noise")
    assert "the floor that it was held against: noise" in beside["notes"]
    assert beside["moved"] is True


def test_what_comes_after_the_decision_changes_no_bit_of_it(folder: Path, tmp_path: Path) -> None:
    later = pl.read_parquet(folder / "prices.parquet")
    after = pl.col("date") > pl.date(2020, 3, 31)
    later = later.with_columns(*(pl.when(after).then(pl.col(name) * 1.5).otherwise(pl.col(name)) for name in ASSETS))
    later.write_parquet(tmp_path / "later.parquet")
    words = ("--as-of", "2020-03-31", "--limits", "limits.yaml")
    here = ask(folder, "good.parquet", "prices.parquet", *words)
    there = ask(folder, "good.parquet", tmp_path / "later.parquet", *words)
    assert here == there
    assert here["time"].startswith("2020-03-31")
    assert any("cutoffs after the last price are left out" in note for note in here["notes"])


def test_limits_hold_for_weights_that_forecasts_move_and_turnover_counts_from_what_is_held(folder: Path) -> None:
    (folder / "turnover.yaml").write_text(f"{LIMITS}turnover: 0.1\n".replace("Energy <= 0.2", "Energy <= 0.34"))
    words = ("good.parquet", "prices.parquet", "--limits", "turnover.yaml", "--previous", "held.csv")
    told = ask(folder, *words)
    assert told["turnover"] == pytest.approx(0.1, abs=1e-6)
    assert [one["binds"] for one in told["limits"] if one["words"].startswith("turnover")] == [True]
    done = tidewright("allocate", "prices.parquet", "--limits", "turnover.yaml", cwd=folder)
    assert done.returncode == 1
    assert "Name their table with --previous." in done.stderr
    assert max(told["weights"].values()) <= 0.3 + 1e-9


def test_an_asset_with_gaps_gets_no_weight_by_name_unless_they_are_carried_over(folder: Path, tmp_path: Path) -> None:
    gaps = pl.read_parquet(folder / "prices.parquet").with_columns(
        pl.when(pl.int_range(pl.len()) == 650).then(None).otherwise(pl.col("S5")).alias("S5")
    )
    gaps.write_csv(tmp_path / "gaps.csv")
    told = ask(folder, tmp_path / "gaps.csv", "--limits", "limits.yaml")
    assert "S5" not in told["weights"]
    assert "without a price in the lookback, and so without weight: S5" in told["notes"]
    assert "limits of assets that get no weight are left out: S5" in told["notes"]
    assert "S5" in ask(folder, tmp_path / "gaps.csv", "--carry", 1)["weights"]


def test_a_page_and_a_table_are_written_and_the_next_command_reads_it(folder: Path) -> None:
    words = [
        "prices.parquet",
        "--as-of",
        "2020-01-31",
        "--limits",
        "limits.yaml",
        "--output",
        "out.csv",
        "--page",
        "a.html",
    ]
    done = tidewright("allocate", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    written = pl.read_csv(folder / "out.csv")
    assert written.columns == ["date", "asset", "weight"]
    assert written["date"].unique().to_list() == ["2020-01-31"]
    assert written["weight"].sum() == pytest.approx(1.0)
    assert "Energy &lt;= 0.2" in (folder / "a.html").read_text()
    assert done.stdout.endswith("tidewright backtest out.csv prices.parquet\n")
    earned = tidewright("backtest", "out.csv", "prices.parquet", "--json", cwd=folder)
    assert earned.returncode == 0, earned.stderr
    assert json.loads(earned.stdout)["figures"]["turnover"] == 0.0
    assert ask(folder, "prices.parquet", "--previous", "out.csv")["turnover"] > 0.0
    named = ("long.csv", "--series", "stock", "--price", "close", "--output", "out.csv")
    told = tidewright("allocate", *named, cwd=folder).stdout
    assert told.endswith("tidewright risk long.csv --price close --series stock --weights out.csv\n")


def write_bad_tables(folder: Path) -> None:
    wide = pl.read_parquet(folder / "prices.parquet")
    wide.select("date", *(pl.col(name).pct_change() for name in ASSETS))[1:].write_csv(folder / "returns.csv")
    percent = pl.read_parquet(folder / "good.parquet").with_columns(pl.col("0.1", "0.5", "0.9") * 100)
    percent.write_parquet(folder / "percent.parquet")
    pl.DataFrame({"asset": ["S0", "S1"], "weight": [60.0, 40.0]}).write_csv(folder / "percents.csv")
    pl.DataFrame({"asset": ["S0", "S1"], "weight": [0.8, 0.5]}).write_csv(folder / "loan.csv")
    pl.DataFrame({"asset": ["S0", "S9"], "weight": [0.8, 0.2]}).write_csv(folder / "stranger.csv")
    pl.DataFrame({"asset": ["S0", "S1"], "weight": [1.2, -0.2]}).write_csv(folder / "short.csv")
    (folder / "typo.yaml").write_text("limits:\n  - Enrgy <= 0.2\ngroups:\n  Energy: [S0]\n")
    (folder / "tight.yaml").write_text("limits:\n  - each <= 10 %\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "give prices, or a bundle or a table of predictions and then prices; got 0 files"),
        ("none.parquet", "does not exist"),
        ("none prices.parquet", "'none' does not exist. Give a bundle's folder or a table of predictions"),
        ("prices.parquet prices.parquet", "has no column 'cutoff', and so is no table of predictions"),
        ("returns.csv", "these look like returns. Bring prices"),
        ("percent.parquet prices.parquet", "divide percent by 100"),
        ("two.parquet prices.parquet", "Name one with model= (--model)"),
        ("prices.parquet --limits none.yaml", "'none.yaml' can't be read: No such file"),
        ("prices.parquet --limits typo.yaml", "Did you mean 'Energy'?"),
        ("prices.parquet --limits tight.yaml", "'each <= 10 %' (alone, by "),
        ("prices.parquet --previous percents.csv", "these look like percents. Divide them by 100"),
        ("prices.parquet --previous loan.csv", "or say --max-gross 1.3"),
        ("prices.parquet --previous short.csv", "the weight of 'S1' is -0.2. Say --short"),
        ("prices.parquet --previous short.csv --short", "or say --max-gross 1.4"),
        ("prices.parquet --previous stranger.csv", "no asset of the prices is called 'S9'"),
        ("prices.parquet --method hpr", "Did you mean 'hrp'?"),
        ("prices.parquet --fee-bps 5", "the method hrp does not heed costs"),
        ("prices.parquet --lookback 5000", "Ask for 2 to 699"),
        ("prices.parquet --views tlt", "Did you mean 'tilt'?"),
        ("prices.parquet --benchmark SPY", "no asset of the prices is called 'SPY'"),
        ("prices.parquet --as-of yesterday", "a date is written as 2024-12-31"),
        ("prices.parquet --as-of 1990-01-01", "leaves 0 of them"),
        ("prices.parquet --output out.xlsx", "Use .csv, .json, .parquet"),
        ("prices.parquet --page out.pdf", "ends in .html"),
        ("prices.parquet target=1", "no option of hrp is called 'target'"),
    ],
)
def test_what_can_t_be_done_is_told(folder: Path, words: str, message: str) -> None:
    if not (folder / "tight.yaml").exists():
        write_bad_tables(folder)
    done = tidewright("allocate", *words.split(), cwd=folder)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr
