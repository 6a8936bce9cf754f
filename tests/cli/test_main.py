"""The command as a user types it: its exit codes, what goes to stdout, and what it says of bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.worlds import small_table

FAST = ["model=feedforward", "train.epochs=2", "train.steps=10", "tune.enabled=false", "track=false"]
NAMES = ["--series", "shop", "--time", "hour", "--target", "sold"]


def tidewright(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidewright", *words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and one finished run on it."""
    folder = tmp_path_factory.mktemp("shop")
    small_table(covariates=False).write_csv(folder / "sales.csv")
    done = tidewright("run", "sales.csv", *NAMES, "--horizon", "4", "--json", *FAST, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


def test_a_run_prints_json_that_names_its_winner_its_bundle_and_its_report(shop: Path) -> None:
    found = json.loads((shop / "result.json").read_text())
    assert found["winner"] in [row["model"] for row in found["leaderboard"]]
    assert len(found["leaderboard"]) == 7
    assert (shop / found["report"]).stat().st_size > 100_000
    assert (shop / found["bundle"]["path"] / "manifest.json").exists()
    assert found["bundle"]["parity"] <= found["bundle"]["tolerance"]


def test_a_bundle_predicts_the_steps_after_the_tables_end(shop: Path) -> None:
    bundle = json.loads((shop / "result.json").read_text())["bundle"]["path"]
    done = tidewright("predict", bundle, "sales.csv", "--output", "out.csv", cwd=shop)
    assert done.returncode == 0, done.stderr
    forecast = pl.read_csv(shop / "out.csv", try_parse_dates=True)
    assert forecast.shape == (16, 7)
    assert forecast["hour"].min() > pl.read_csv(shop / "sales.csv", try_parse_dates=True)["hour"].max()


def test_a_bundle_is_scored_beside_the_naive_floors(shop: Path) -> None:
    bundle = json.loads((shop / "result.json").read_text())["bundle"]["path"]
    done = tidewright("evaluate", bundle, "sales.csv", "--json", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert {"naive", "seasonal"} < set(json.loads(done.stdout)["scores"])


def test_runs_are_listed(shop: Path) -> None:
    done = tidewright("runs", "--json", cwd=shop)
    assert [run["state"] for run in json.loads(done.stdout)] == ["done"]


def test_a_changed_byte_of_a_bundle_is_refused_with_exit_1(shop: Path) -> None:
    import shutil

    bundle = shop / json.loads((shop / "result.json").read_text())["bundle"]["path"]
    copy = shop / "broken"
    shutil.copytree(bundle, copy)
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(bytes(content))
    done = tidewright("predict", "broken", "sales.csv", cwd=shop)
    assert (done.returncode, done.stdout) == (1, "")
    assert "model.onnx" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "none.csv", *NAMES], 1, "the file 'none.csv' does not exist"),
        (["run", "sales.csv"], 1, "which column is the time? Name it with --time"),
        (["run", "sales.csv", "--series", "shop", "--time", "hour", "--target", "solt"], 1, "Did you mean 'sold'?"),
        (["run", "sales.csv", *NAMES, "model=lstn"], 1, "no model is called 'lstn'. Did you mean 'lstm'?"),
        (["run", "sales.csv", *NAMES, "--horizon", "0"], 1, "horizon"),
        (["run", "sales.csv", *NAMES, "--horizon", "200"], 1, "Ask for a shorter horizon, or bring longer series."),
        (["run", "sales.csv", *NAMES, "--budget", "soon"], 1, "'soon' is no length of time"),
        (["run", "--horizont", "3"], 2, "No such option: --horizont"),
        (["fly"], 2, "fly"),
        (["predict", "nothing", "sales.csv"], 1, "nothing"),
        (["data", "inspect", "sales.csv", "--time", "shop", "--target", "sold"], 1, "shop"),
    ],
)
def test_a_wrong_word_is_answered_with_its_remedy_on_stderr(
    shop: Path, words: list[str], code: int, message: str
) -> None:
    done = tidewright(*words, cwd=shop)
    assert done.returncode == code
    assert message in done.stderr + (done.stdout if words[0] == "data" else "")
    assert "Traceback" not in done.stderr


def test_inspection_finds_a_usable_table_usable(shop: Path) -> None:
    done = tidewright("data", "inspect", "sales.csv", *NAMES, "--json", cwd=shop)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tidewright.cli import main; main._run(['--help']); "
        "heavy = {'torch', 'polars', 'numpy', 'lightgbm', 'mlflow', 'optuna', 'plotly', 'pydantic', 'onnxruntime'}; "
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
