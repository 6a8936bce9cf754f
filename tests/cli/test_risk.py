"""The verb `risk` as a user types it: losses by method, parts, volatility, crises, and whether it was right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tests.cli.typed import tidewright

ASSETS = ("A", "B", "C")
DAYS = np.arange("2018-01-01", "2022-01-01", dtype="datetime64[D]")
DAYS = DAYS[np.is_busday(DAYS)][:801]
RETURNS = np.random.default_rng(4).standard_t(5, (800, 3)) * np.array([0.006, 0.01, 0.02])
CLOSES = 50.0 * np.cumprod(np.vstack([np.ones(3), 1.0 + RETURNS]), axis=0)
WEIGHTS = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("risk")
    wide = pl.DataFrame({"date": DAYS, **dict(zip(ASSETS, CLOSES.T, strict=True))})
    wide.write_parquet(folder / "prices.parquet")
    wide.with_columns(pl.lit(10.0).alias("D")).write_csv(folder / "still.csv")
    wide.select("date", *(pl.col(name).pct_change() for name in ASSETS))[1:].write_csv(folder / "returns.csv")
    pl.DataFrame({"asset": ASSETS, "weight": WEIGHTS}).write_csv(folder / "weights.csv")
    pl.DataFrame({"asset": ["A", "B"], "weight": [0.5, 0.3]}).write_csv(folder / "cash.csv")
    pl.DataFrame({"asset": ["A", "D"], "weight": [0.5, 0.5]}).write_csv(folder / "held.csv")
    pl.DataFrame({"asset": ["A", "B"], "weight": [50.0, 50.0]}).write_csv(folder / "percents.csv")
    return folder


def ask(folder: Path, *words: Any) -> dict[str, Any]:
    done = tidewright("risk", "prices.parquet", *map(str, words), "--json", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_each_method_and_confidence_is_what_value_at_risk_gives_and_its_parts_sum_to_the_whole(folder: Path) -> None:
    told = ask(folder, "--weights", "weights.csv")
    assert [(one["method"], one["confidence"]) for one in told["risks"]] == [
        (method, level) for method in ("historical", "normal", "t") for level in (0.95, 0.99)
    ]
    for one in told["risks"]:
        risk = tw.value_at_risk(
            CLOSES[1:] / CLOSES[:-1] - 1,
            assets=ASSETS,
            method=one["method"],
            confidence=one["confidence"],
            weights=WEIGHTS,
        )
        assert risk.portfolio is not None
        assert one["portfolio"]["var"] == pytest.approx(risk.portfolio.var)
        assert one["assets"]["C"]["es"] == pytest.approx(risk.es[2])
        assert sum(one["portfolio"]["component_es"].values()) == pytest.approx(risk.portfolio.es)


def test_every_option_changes_what_is_told(folder: Path) -> None:
    usual = ask(folder, "--method", "normal", "--confidence", "0.95")["risks"][0]["portfolio"]["var"]
    for words in (
        ("--weights", "weights.csv"), ("--weights", "cash.csv"), ("--horizon", 5), ("--lookback", 200),
        ("--as-of", "2019-12-31"), ("--confidence", "0.9"), ("--method", "t"),
    ):  # fmt: skip
        given = {"--method": "normal", "--confidence": "0.95"} | dict([words])
        told = ask(folder, *(word for pair in given.items() for word in pair))
        assert told["risks"][0]["portfolio"]["var"] != usual, words
    assert ask(folder, "--frequency", "1d")["periods_per_year"] == pytest.approx(261.3, abs=1.0)
    assert ask(folder)["notes"][2] == "no weights were given: the portfolio is of equal ones"
    assert "the weights in cash.csv sum to 80.00%: the rest is cash" in ask(folder, "--weights", "cash.csv")["notes"]


def test_volatility_ahead_is_the_fits_and_an_asset_that_can_t_be_fitted_is_named(folder: Path) -> None:
    told = ask(folder, "--volatility", "ewma", "--horizon", 3, "--method", "normal")
    returns = CLOSES[1:] / CLOSES[:-1] - 1
    ahead = tw.fit_volatility(returns, assets=ASSETS, model="ewma").forecast(horizon=3)
    year = told["periods_per_year"] ** 0.5
    assert told["volatility"]["assets"]["B"]["next"] == pytest.approx(ahead.volatility[0, 1] * year)
    assert told["volatility"]["assets"]["B"]["horizon"] == pytest.approx(ahead.cumulated[-1, 1] * year / 3**0.5)
    drawn = ask(folder, "--volatility", "egarch", "--distribution", "t", "--horizon", 2, "--method", "normal")
    assert drawn["volatility"]["distribution"] == "t"
    short = ask(folder, "--volatility", "garch", "--lookback", 40, "--method", "normal", "--confidence", "0.8")
    assert short["volatility"] is None
    assert "40 returns are too few" in short["failed"]["volatility by garch"]
    jump = pl.when(pl.int_range(pl.len()) < 506).then(10.0).otherwise(10.1)
    pl.read_parquet(folder / "prices.parquet").select("date", "A", jump.alias("J")).write_csv(folder / "jump.csv")
    words = ["--volatility", "garch", "--method", "historical", "--lookback", "300", "--quiet"]
    done = tidewright("risk", "jump.csv", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "failed: garch of J: the optimiser did not converge" in done.stdout


def test_crises_and_worst_windows_are_played_on_the_weights(folder: Path) -> None:
    told = ask(folder, "--stress", "--weights", "weights.csv", "--method", "normal")
    scenarios = {one["scenario"]: one for one in told["stress"]}
    found = tw.stress(WEIGHTS, assets=ASSETS, returns=CLOSES[1:] / CLOSES[:-1] - 1, times=DAYS[1:])
    assert scenarios["covid"]["loss"] == pytest.approx(found["covid"].loss)
    assert sum(scenarios["worst 5 bars"]["by_asset"].values()) == pytest.approx(scenarios["worst 5 bars"]["loss"])
    assert any(note.startswith("the returns do not reach: 1987") for note in told["notes"])


def test_the_rolling_value_at_risk_is_tested_on_what_came(folder: Path) -> None:
    words = ("--test", "--window", 250, "--weights", "weights.csv", "--method", "normal,t", "--confidence", "0.95")
    told = ask(folder, *words)
    earned = (CLOSES[1:] / CLOSES[:-1] - 1) @ WEIGHTS
    said = tw.rolling_var(earned[:, None], assets=("p",), window=250, method="normal")
    true = tw.test_var(earned, said.var[:, 0], es=said.es[:, 0], confidence=0.95)
    first = told["tests"][0]
    assert (first["method"], first["bars"], first["exceptions"]) == ("normal", 550, true.exceptions)
    assert first["kupiec"]["p_value"] == pytest.approx(true.kupiec.p_value)
    assert first["z2"]["p_value"] == pytest.approx(true.z2.p_value if true.z2 else None)
    assert "t, rolling: estimated anew every 21 bars" in told["notes"]


def test_what_is_shown_has_all_parts_and_the_page_too(folder: Path) -> None:
    words = ["--weights", "weights.csv", "--stress", "--test", "--volatility", "ewma", "--page", "risk.html"]
    done = tidewright("risk", "prices.parquet", "--method", "historical,cornish_fisher", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    for part in (
        "portfolio by",
        "part of ES",
        "volatility a year, by ewma",
        "worst 21 bars",
        "Kupiec",
        "zone",
        "note: ",
    ):
        assert part in done.stdout, part
    assert "testing historical" in done.stderr
    page = (folder / "risk.html").read_text()
    assert "Was it right?" in page
    assert "Value at risk, bar by bar" in page


def test_of_several_methods_one_that_refuses_is_named_and_of_one_its_error_is_raised(folder: Path) -> None:
    told = ask(folder, "--lookback", 60, "--method", "historical,normal")
    assert set(told["failed"]) == {"historical at 0.99", "normal at 0.99"}
    done = tidewright(
        "risk", "prices.parquet", "--lookback", "60", "--method", "historical", "--confidence", "0.99", cwd=folder
    )
    assert done.returncode == 1
    assert "at least one is needed" in done.stderr


def test_an_asset_that_does_not_move_is_left_out_unless_it_is_held(folder: Path) -> None:
    done = tidewright("risk", "still.csv", "--method", "normal", cwd=folder)
    assert done.returncode == 0
    assert "note: without a move in the lookback, and so without weight: D" in done.stdout
    held = tidewright("risk", "still.csv", "--weights", "held.csv", cwd=folder)
    assert held.returncode == 1
    assert "the weights hold 'D' (1 such), which lacks prices in the lookback, or does not move" in held.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("none.parquet", "does not exist"),
        ("returns.csv", "these look like returns. Bring prices"),
        ("prices.parquet --weights percents.csv", "these look like percents"),
        ("prices.parquet --method hist", "no method is called 'hist'"),
        ("prices.parquet --confidence 95", "For 95 % pass 0.95"),
        ("prices.parquet --confidence high", "probabilities with commas"),
        ("prices.parquet --volatility garchx", "Did you mean 'garch'?"),
        ("prices.parquet --window 100", "--window belongs to --test"),
        ("prices.parquet --test --window 5000", "leaves none of the 800 bars to judge"),
        ("prices.parquet --lookback 5000", "Ask for 2 to 800"),
        ("prices.parquet --page risk.pdf", "ends in .html"),
    ],
)
def test_what_can_t_be_done_is_told(folder: Path, words: str, message: str) -> None:
    done = tidewright("risk", *words.split(), "--quiet", cwd=folder)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr
