"""A run on a table whose target holds classes: from the table to a bundle, a page and a forecast by names."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from tests.training.test_fit_classes import weather
from tidewright.cli.main import app
from tidewright.cli.models import list_models
from tidewright.errors import ConfigError, DataError
from tidewright.models.spec import CLASS_FLOORS
from tidewright.models.specs.tabular import CLASSIFIERS
from tidewright.report.html import render_report
from tidewright.workflows.result import RunResult
from tidewright.workflows.run import run
from tidewright.workflows.settings import read_settings
from tidewright.workflows.summary import summarise

COLUMNS: dict[str, Any] = {"series": "place", "time": "day", "target": "state"}
QUICK = ["model=lightgbm", "models.lightgbm.rounds=20", "models.lightgbm.leaves=8", "tune.enabled=false"]


@cache
def ran(*, shuffled: bool = False) -> RunResult:
    table = weather(series=6)
    if shuffled:
        table = table.with_columns(pl.col("state").sample(fraction=1.0, shuffle=True, seed=1))
    return run(
        table, **COLUMNS, past=("wind",), static=("kind",), kind="classify", horizon=2, budget_s=120.0, track=False,
        folder=mkdtemp(), overrides=QUICK,
    )  # fmt: skip


def test_a_run_of_classes_ranks_by_log_loss_beside_floors_of_classes_and_seals_the_winner() -> None:
    result = ran()
    board = result.leaderboard
    assert (board.metric, board.winner, board.beat_floor) == ("log_loss", "lightgbm", True)
    assert {row.model for row in board.rows if row.floor} == set(CLASS_FLOORS)
    assert not result.leaderboard.failed
    assert result.task.classes == ("cloudy", "rainy", "sunny")
    assert result.serving.parity is not None
    assert result.forecast is not None
    assert set(result.forecast.table["class"].unique()) <= set(result.task.classes)
    written = pl.read_csv(result.folder / "forecast.csv")
    assert written.columns == ["place", "cutoff", "day", "cloudy", "rainy", "sunny", "class", "model"]
    told = summarise(result)
    assert (told["task"]["kind"], told["task"]["classes"]) == ("classify", ["cloudy", "rainy", "sunny"])
    assert result.account is not None


def test_the_elastic_net_is_tuned_on_classes_by_what_has_a_say_there(tmp_path: Path) -> None:
    result = run(
        weather(series=2), **COLUMNS, kind="classify", horizon=1, budget_s=120.0, track=False, folder=str(tmp_path),
        overrides=["model=elastic_net", "models.elastic_net.penalties=[0.03]", "tune.trials=2"],
    )  # fmt: skip
    assert result.study is not None
    assert set(result.study.best.parameters) == {"model.l1_share"}
    assert len(result.study.trials) == 2
    assert {row.model for row in result.leaderboard.rows} == {"elastic_net", "elastic_net tuned", *CLASS_FLOORS}


def test_support_vectors_and_ridge_run_as_models_of_classes(tmp_path: Path) -> None:
    weather(series=6).write_csv(tmp_path / "table.csv")
    words = ["run", str(tmp_path / "table.csv"), "--kind=classify", "--horizon=2", "--json", f"--out={tmp_path}"]
    words += [f"--{role}={column}" for role, column in COLUMNS.items()]
    more = ["model=svr,ridge", "models.svr.most_rows=500", "tune.enabled=false", "track=false"]
    done = CliRunner().invoke(app, [*words, "--known=flag", *more])
    assert done.exit_code == 0, done.output
    rows = {row["model"]: row for row in json.loads(done.stdout)["leaderboard"]}
    assert set(rows) == {"svr", "ridge", *CLASS_FLOORS}
    assert [row["model"] for row in rows.values() if not row["floor"]] == ["svr", "ridge"]
    floors = min(rows[name]["validation"]["log_loss"] for name in CLASS_FLOORS)
    assert max(rows[name]["validation"]["log_loss"] for name in ("svr", "ridge")) < floors


def test_a_world_without_order_ships_a_floor_and_says_so() -> None:
    result = ran(shuffled=True)
    assert not result.leaderboard.beat_floor
    assert result.leaderboard.winner in CLASS_FLOORS
    assert result.serving.parity is not None
    assert "no model beat its floor" in result.leaderboard.reason


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_page_of_a_run_shows_what_was_said_beside_what_came(shuffled: bool) -> None:
    page = render_report(ran(shuffled=shuffled))
    for words in ("Classes said and classes that came", "rainy said", "Log loss", "Brier score", "Calibration"):
        assert words in page
    assert ("its Log loss over" in page) is not shuffled  # what it needs; a floor has its history alone


def test_predict_and_evaluate_give_classes_back_by_their_names(tmp_path: Path) -> None:
    weather(series=6).write_csv(tmp_path / "table.csv")
    bundle = str(ran().serving.path)
    done = CliRunner().invoke(app, ["predict", bundle, str(tmp_path / "table.csv"), "--json"])
    rows = json.loads(done.stdout)
    assert {"cloudy", "rainy", "sunny", "class"} <= set(rows[0])
    assert all(row["class"] == max(("cloudy", "rainy", "sunny"), key=row.get) for row in rows)
    judged = CliRunner().invoke(app, ["evaluate", bundle, str(tmp_path / "table.csv")])
    assert judged.exit_code == 0
    assert "log_loss" in judged.stdout
    assert "last_class" in judged.stdout


def test_the_usual_models_of_a_run_of_classes_and_what_it_can_not_be_told() -> None:
    given: dict[str, Any] = {"kind": "classify"}
    settings = read_settings([], given)
    assert tuple(settings.models) == ("lightgbm", "extra_trees", "elastic_net")
    assert (settings.metric, settings.ensemble) == ("log_loss", "none")
    assert read_settings(["metric=brier", "models.lightgbm.rounds=7"], given).models["lightgbm"]["rounds"] == 7
    cases = {
        "preset=quick": "preset is of forecasts of numbers",
        "model=lstm": "lstm tells no classes apart. Take lightgbm",
        "ensemble=mean": "ensemble=mean is of forecasts of numbers",
        "quantiles=[0.2,0.5,0.8]": "quantiles is of forecasts of numbers",
        "log=1": "log is of forecasts of numbers",
        "metric=mase": "no metric that ranks models of classes is called 'mase'",
        "recipe=market": "recipe=market is of forecasts of numbers",
    }
    for override, words in cases.items():
        with pytest.raises(ConfigError, match=words):
            read_settings([override], given)
    assert tuple(read_settings(["model=svr,ridge"], given).models) == ("svr", "ridge")
    with pytest.raises(ConfigError, match=r"ridge is a floor of forecasts, which every run fits\. Leave it out"):
        read_settings(["model=ridge"])
    with pytest.raises(ConfigError, match="no metric that ranks models is called 'log_loss'"):
        read_settings(["metric=log_loss"])


def test_a_column_of_words_without_the_word_says_what_to_say(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Where it holds classes, say so: classes=True, --kind classify"):
        run(weather(), **COLUMNS, horizon=2, folder=str(tmp_path), track=False)


def test_the_list_of_models_says_which_classify() -> None:
    assert {row["model"] for row in list_models() if row["classifies"]} == set(CLASSIFIERS)
    assert "class_shares" in CliRunner().invoke(app, ["models"]).stdout
