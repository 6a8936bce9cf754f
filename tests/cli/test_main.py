"""The command as a user types it: its exit codes, what goes to stdout, and what it says of bad input."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.cli.typed import start_tidewright, tidewright
from tests.worlds import small_table

FAST = ["model=feedforward", "train.epochs=2", "train.steps=10", "tune.enabled=false", "track=false"]
NAMES = ["--series", "shop", "--time", "hour", "--target", "sold"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and one finished run on it."""
    folder = tmp_path_factory.mktemp("shop")
    small_table(covariates=False).write_csv(folder / "sales.csv")
    small_table(covariates=False).with_columns(pl.lit(5.0).alias("sold")).write_csv(folder / "flat.csv")
    done = start_tidewright("run", "sales.csv", *NAMES, "--horizon", "4", "--json", *FAST, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


def test_a_run_prints_json_that_names_its_winner_its_bundle_and_its_report(shop: Path) -> None:
    found = json.loads((shop / "result.json").read_text())
    assert found["winner"] in [row["model"] for row in found["leaderboard"]]
    assert len(found["leaderboard"]) == 8  # six floors, the model, and what they say together
    assert (shop / found["report"]).stat().st_size > 100_000
    assert (shop / found["bundle"]["path"] / "manifest.json").exists()
    assert found["bundle"]["parity"] <= found["bundle"]["tolerance"]


def test_a_bundle_predicts_the_steps_after_the_tables_end(shop: Path) -> None:
    bundle = json.loads((shop / "result.json").read_text())["bundle"]["path"]
    done = start_tidewright("predict", bundle, "sales.csv", "--output", "out.csv", cwd=shop)
    assert done.returncode == 0, done.stderr
    forecast = pl.read_csv(shop / "out.csv", try_parse_dates=True)
    assert forecast.shape == (16, 7)
    assert forecast["hour"].min() > pl.read_csv(shop / "sales.csv", try_parse_dates=True)["hour"].max()


@pytest.mark.parametrize(("name", "read"), [("out.json", pl.read_json), ("out.parquet", pl.read_parquet)])
def test_a_forecast_is_written_in_the_form_that_its_files_name_says(
    shop: Path, name: str, read: Callable[[Path], pl.DataFrame]
) -> None:
    bundle = json.loads((shop / "result.json").read_text())["bundle"]["path"]
    done = tidewright("predict", bundle, "sales.csv", "--output", name, cwd=shop)
    assert done.returncode == 0, done.stderr
    assert read(shop / name).shape == (16, 7)


@pytest.mark.parametrize(
    ("place", "message"),
    [("none/out.csv", "'none/out.csv' can't be written: No such file"), ("out.xlsx", "Use .csv, .json, .parquet.")],
)
def test_a_forecast_that_cannot_be_written_is_an_error_that_says_why(shop: Path, place: str, message: str) -> None:
    bundle = json.loads((shop / "result.json").read_text())["bundle"]["path"]
    done = tidewright("predict", bundle, "sales.csv", "--output", place, cwd=shop)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_the_next_command_of_a_run_on_a_wide_table_works_as_it_is_printed(tmp_path: Path) -> None:
    wide = small_table(covariates=False).pivot("shop", index="hour", values="sold")
    wide.write_csv(tmp_path / "a wide table.csv")
    words = ["run", "a wide table.csv", "--layout", "columns", "--time", "hour", "--horizon", "4", "--json", *FAST]
    done = tidewright(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    program, *following = shlex.split(json.loads(done.stdout)["next"])
    assert program == "tidewright"
    answer = tidewright(*following, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert pl.read_csv(answer.stdout.encode())["series"].n_unique() == wide.width - 1
    forgotten = tidewright(*following[:3], cwd=tmp_path)
    assert forgotten.returncode == 1
    assert "learned from a table in layout columns; got long. Say --layout columns." in forgotten.stderr


def test_an_interrupted_command_says_so_and_exits_with_130(tmp_path: Path) -> None:
    code = (
        "import sys; from tidewright.cli import main, verbs\n"
        "def stop(*_, **__): raise KeyboardInterrupt\n"
        "verbs.run_table = stop; sys.exit(main._run(['run']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr.strip().startswith("interrupted.")


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
    done = start_tidewright("predict", "broken", "sales.csv", cwd=shop)
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
        (["run", "sales.csv", *NAMES, "split.test=9000"], 1, "Ask for a smaller part, or bring longer series."),
        (["run", "sales.csv", *NAMES, "--budget", "soon"], 1, "'soon' is no length of time"),
        (["run", "sales.csv", *NAMES, "recipe=market"], 1, "got a table too (sales.csv). Leave one out."),
        (["run", "sales.csv", *NAMES, "--out", "sales.csv"], 1, "the folder of runs 'sales.csv' can't be made"),
        (["run", "sales.csv", *NAMES, "lookback=9000"], 1, "lookback 9000 is longer than the training part"),
        (["run", "flat.csv", *NAMES, "--horizon", "4"], 1, "series are constant"),
        (["runs", "sales.csv"], 1, "'sales.csv' is a file. Give a folder of runs"),
        (["run", "--horizont", "3"], 2, "No such option: --horizont"),
        (["fly"], 2, "fly"),
        (["predict", "nothing", "sales.csv"], 1, "nothing"),
        (["predict", "b", "sales.csv", "--layout", "columns", "--target", ""], 1, "has an empty name"),
        (["predict", "b", "sales.csv", "--target", "sold"], 1, "the layout is long. Leave it out."),
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


def test_a_preset_shows_what_it_tried_and_an_end_that_was_interrupted_goes_on(shop: Path) -> None:
    small = ["train.epochs=1", "train.steps=2", "track=false", "model=dlinear"]
    words = ["run", "sales.csv", *NAMES, "--horizon", "4", "--preset", "quick", "--out", "presets", "--budget", "2m"]
    done = tidewright(*words, *small, cwd=shop)
    assert done.returncode == 0, done.stderr
    assert "preset quick" in done.stdout
    assert "7 tries on 1 fold; it stopped because the preset quick tries each model once." in done.stdout
    assert "dlinear, as usual; best so far mase" in done.stderr
    again = tidewright("run", "--resume", "last", "--out", "presets", cwd=shop)
    assert again.returncode == 1
    assert "no run of a preset in presets was interrupted" in again.stderr
    other = tidewright("train", "sales.csv", *NAMES, "--preset", "quick", cwd=shop)
    assert other.returncode == 1
    assert "a preset picks them" in other.stderr
