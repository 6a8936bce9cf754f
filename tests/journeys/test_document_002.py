"""The commands of the models' optimisation guide, as they stand there but for the path of the script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worlds import small_table

SCRIPT = Path(__file__).parents[2] / "examples" / "run_optimization.py"


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    asked = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(asked, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_the_guides_networks_are_searched_from_its_command(tmp_path: Path) -> None:
    small_table(covariates=False).write_csv(tmp_path / "sales.csv")
    table = ["--data", "sales.csv", "--series", "shop", "--time", "hour", "--target", "sold", "--horizon", "4"]
    fast = ["train.epochs=1", "train.steps=2", "track=false", "--quiet"]
    done = run("--models", "lstm", "tcn", "transformer", "--trials", "1", *table, *fast, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for said in ("lstm", "tcn", "transformer", "best mase", "1 trials (1 complete)"):
        assert said in done.stdout


def test_a_model_that_the_guide_does_not_name_and_help(tmp_path: Path) -> None:
    wrong = run("--models", "gru2", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "lightgbm" in wrong.stderr
    told = run("--help", cwd=tmp_path)
    assert told.returncode == 0
    assert "--preset {production,quick,thorough}" in told.stdout
