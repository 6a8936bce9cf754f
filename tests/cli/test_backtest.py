"""The verb `backtest` as a user types it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.cli.main import _run
from tidewright.portfolio import Costs, backtest_weights

DAYS = np.arange("2022-01-03", "2023-12-30", dtype="datetime64[D]")
DAYS = DAYS[np.is_busday(DAYS)]
VALUES = 100.0 * np.cumprod(1.0 + np.random.default_rng(0).normal(0.0004, 0.01, (len(DAYS), 3)), axis=0)
SHARES = "import numpy as np\nTABLE = 'numpy'\ndef decide(p):\n    return np.full(p.shape, 0.3)\n"
LEAK = "TABLE = 'pandas'\ndef decide(p):\n    return (p.shift(-1) > p).astype(float) / 3\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backtest")
    wide = pl.DataFrame({"date": DAYS, **{name: VALUES[:, at] for at, name in enumerate("ABC")}})
    wide.write_parquet(folder / "prices.parquet")
    wide.unpivot(index="date", variable_name="asset", value_name="close").write_csv(folder / "long.csv")
    wide.select("date", *(pl.col(name) * 1.001 for name in "ABC")).write_parquet(folder / "opens.parquet")
    monthly = pl.DataFrame({"date": DAYS[::21], "A": 0.5, "B": 0.4})
    monthly.write_csv(folder / "weights.csv")
    for name, text in (("shares", SHARES), ("leak", LEAK)):
        (folder / f"{name}.py").write_text(text)
    return folder


def ask(capsys: Any, *words: Any) -> tuple[int, str, str]:
    code = _run(["backtest", *map(str, words)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_table_of_weights_earns_what_the_ledger_says(folder: Path, capsys: Any) -> None:
    code, out, _ = ask(capsys, folder / "weights.csv", folder / "prices.parquet", "--json")
    told = json.loads(out)
    targets = np.full((len(DAYS[::21]), 3), 0.5)
    targets[:, 1:] = 0.4, 0.0
    ledger = backtest_weights(
        targets, VALUES, times=DAYS, assets=("A", "B", "C"), costs=Costs(1.0, 2.0), decided=DAYS[::21], allow_cash=True
    )
    assert code == 0
    assert told["equity"] == pytest.approx(ledger.equity.tolist(), rel=1e-12)
    assert told["figures"]["sharpe"] == pytest.approx(
        ledger.summary(periods_per_year=told["periods_per_year"])["sharpe"]
    )
    assert told["periods_per_year"] == pytest.approx(260.9, abs=0.1)
    assert told["isolation"] is None
    assert "no weights for C (1 assets): 0" in told["notes"]
    assert told["deflated_sharpe"] is None  # how many were tried is not known


def test_every_option_changes_what_is_earned(folder: Path, capsys: Any) -> None:
    weights, prices, opens = folder / "weights.csv", folder / "prices.parquet", folder / "opens.parquet"

    def figures(*words: Any) -> dict[str, Any]:
        code, out, err = ask(capsys, weights, prices, "--json", *words)
        assert code == 0, err
        return dict(json.loads(out))

    usual = figures("--trials", 2)
    for words in (
        ("--fee-bps", 50),
        ("--half-spread-bps", 50),
        ("--cash", 1000),
        ("--cash-rate", 0.05),
        ("--fill", "open", "--opens", opens),
    ):
        assert figures(*words)["equity"] != usual["equity"], words
    assert figures("--frequency", "1d")["periods_per_year"] == pytest.approx(261.3, abs=1.0)
    assert figures("--trials", 100)["deflated_sharpe"]["hurdle"] > usual["deflated_sharpe"]["hurdle"]
    assert figures("--benchmark", "equal")["figures"]["beta"] > 0.8
    assert figures("--benchmark", "C")["figures"]["beta"] < 0.5
    longer = json.loads(ask(capsys, weights, folder / "long.csv", "--json", "--price", "close")[1])
    assert longer["figures"]["cagr"] == pytest.approx(usual["figures"]["cagr"])
    gaps = folder / "gaps.parquet"
    pl.read_parquet(prices).with_columns(
        A=pl.when(pl.int_range(pl.len()) == 100).then(None).otherwise("A")
    ).write_parquet(gaps)
    assert "'A' has no price at" in ask(capsys, weights, gaps)[2]
    code, out, _ = ask(capsys, weights, gaps, "--carry", 1)
    assert code == 0
    assert "1 prices of 1 assets are carried from a date before" in out
    short = folder / "short.csv"
    pl.DataFrame({"date": DAYS[::21], "A": 1.0, "B": -0.5}).write_csv(short)
    assert ask(capsys, short, prices)[0] == 1
    assert ask(capsys, short, prices, "--short", "--max-gross", 1.5)[0] == 0


def test_weights_are_brought_back_on_a_calendar_and_within_a_band(folder: Path, capsys: Any) -> None:
    once = folder / "once.csv"
    pl.DataFrame({"date": DAYS[:1], "A": 0.4, "B": 0.4, "C": 0.2}).write_csv(once)

    def turn(*words: Any) -> float:
        return float(
            json.loads(ask(capsys, once, folder / "prices.parquet", "--json", *words)[1])["figures"]["turnover"]
        )

    assert turn() == 0.0
    often, seldom = turn("--rebalance", "week"), turn("--rebalance", "quarter")
    assert often > seldom > 0.0
    assert 0.0 < turn("--rebalance", 5, "--band", 0.02) < often
    assert 0.0 < turn("--band", 0.02) < often
    code, _, err = ask(capsys, once, folder / "prices.parquet", "--rebalance", "fortnight")
    assert code == 1
    assert "every is 'fortnight'; it is a number of bars from 1, or one of week" in err


def test_several_stand_beside_each_other_and_equal_weight(folder: Path, capsys: Any) -> None:
    weights, prices, page = folder / "weights.csv", folder / "prices.parquet", folder / "several.html"
    words = ("--beside", folder / "shares.py", "--page", page, "--trials", 2)
    code, out, err = ask(capsys, weights, prices, *words)
    assert code == 0, err
    for name in ("weights.csv", "shares.py", "equal weight"):
        assert name in out.splitlines()[1]
    assert "shares.py" in page.read_text()
    told = json.loads(ask(capsys, weights, prices, "--beside", folder / "shares.py", "--json")[1])
    alone = json.loads(ask(capsys, folder / "shares.py", prices, "--json")[1])
    assert told["beside"]["shares.py"]["sharpe"] == pytest.approx(alone["figures"]["sharpe"])
    assert told["equal_weight"]["volatility"] > 0.0
    assert ask(capsys, weights, prices, "--beside", weights)[0] == 1


def test_a_strategy_runs_apart_and_its_page_is_written(folder: Path, capsys: Any) -> None:
    page = folder / "page.html"
    given = (folder / "shares.py", folder / "prices.parquet", "--page", page, "--benchmark", "equal")
    code, out, err = ask(capsys, *given)
    assert code == 0
    assert re.search(r"volatility +\S+ +\S+ +fraction a year", out)
    assert re.search(r"costs +\S+ +\S+ +money in all", out)
    assert "in a process of its own: network: " in out
    assert "backtest --check" in out
    assert f"page  {page}" in err
    text = page.read_text()
    assert "shares.py" in text
    assert "in a process of its own" in text
    assert text.count("has no bar to be filled at") <= 2  # of the strategy and of its floor, once each
    assert "The benchmark is the mean return of all assets." in text
    assert "equal, the benchmark, pays no costs." in text
    assert "assets that have all prices, at the strategy&#39;s dates and costs" in text
    assert json.loads((folder / "page_data" / "sheet.json").read_text())["floors"] == ["equal weight"]


def test_a_look_ahead_is_an_error_with_its_message(folder: Path, capsys: Any) -> None:
    code, out, err = ask(capsys, "--check", folder / "leak.py", folder / "prices.parquet", "--json")
    assert code == 1
    assert json.loads(out)["kind"] == "look-ahead"
    assert err.startswith("error: look-ahead: 'B' at 2022-09-01 was 0.0 and became ")
    assert "It sees at least 1 bar ahead." in err


def test_a_clean_strategy_exits_0_with_what_it_ran_under(folder: Path, capsys: Any) -> None:
    code, out, _ = ask(capsys, "--check", folder / "shares.py", folder / "prices.parquet")
    assert code == 0
    assert out.startswith("no look-ahead found: at 6 cuts")
    assert "it may come from somewhere else" in out
    assert "ran in a process of its own" in out


def test_the_template_is_printed_whole(capsys: Any) -> None:
    code, out, _ = ask(capsys, "--template")
    assert code == 0
    compile(out, "template", "exec")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give a strategy or a table of weights"),
        (("weights.csv", "prices.parquet", "--check"), "--check is of a strategy"),
        (("weights.csv", "prices.parquet", "--fill", "open"), "--opens"),
        (("weights.csv", "prices.parquet", "--fill", "later"), "got later without --opens"),
        (("weights.csv", "prices.parquet", "--page", "page.txt"), "ends in .html"),
        (("weights.csv", "prices.parquet", "--benchmark", "Z"), "no asset of the prices is called 'Z'"),
        (("none.py", "prices.parquet"), "there is no strategy"),
        (("weights.csv", "none.parquet"), "does not exist"),
    ],
)
def test_what_can_t_be_done_is_told(folder: Path, capsys: Any, words: tuple[str, ...], message: str) -> None:
    code, _, err = ask(capsys, *(folder / word if "." in word else word for word in words))
    assert code == 1
    assert message in err
