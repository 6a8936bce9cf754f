"""The verb `tune`, as a user types it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import polars as pl
import pytest

from tests.cli.typed import start_tidewright, tidewright
from tests.report.pages import read_page
from tests.worlds import small_table
from tidewright.cli.tune import split_models
from tidewright.tracking.local import read_run

NAMES = ["--series", "shop", "--time", "hour", "--target", "sold", "--horizon", "4"]
FAST = ["train.epochs=2", "train.steps=5", "track=false"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and one finished search on it."""
    folder = tmp_path_factory.mktemp("shop")
    small_table(covariates=False).write_csv(folder / "sales.csv")
    words = ["--models", "dlinear", "elastic_net", "--trials", "2", "--json", "--quiet"]
    done = start_tidewright("tune", "sales.csv", *NAMES, *words, *FAST, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "found.json").write_text(done.stdout)
    return folder


def test_models_are_searched_one_study_each_and_the_winner_is_scored_on_the_test(shop: Path) -> None:
    found = json.loads((shop / "found.json").read_text())
    assert sorted(row["model"] for row in found["models"]) == ["dlinear", "elastic_net"]
    assert [row["trials"] for row in found["models"]] == [2, 2]
    scores = [row["mase"] for row in found["models"]]
    assert scores == sorted(scores)
    assert found["winner"] == found["models"][0]["model"]
    assert [row["test"] is None for row in found["models"]] == [False, True]
    assert found["models"][0]["test"] == found["test"]["mase"]
    floors = [floor["validation"] for floor in found["floors"].values()]
    assert floors == sorted(floors)
    assert bool(found["advice"]) == (floors[0] <= scores[0])
    assert (shop / found["folder"] / "dlinear" / "journal.log").exists()
    assert list((shop / "tidewright-runs" / "ledger").glob("*.jsonl"))  # where a run counts its own trials


def test_a_page_shows_what_was_found_and_says_what_to_type_next(shop: Path) -> None:
    found = json.loads((shop / "found.json").read_text())
    assert found["report"] == f"tidewright-runs/{found['run']}/report.html"
    page = read_page((shop / found["report"]).read_text())
    winner = found["winner"]
    drawn = {name.removeprefix(f"study-{winner}-") for name in page.figures if name.startswith(f"study-{winner}-")}
    assert {"history-0", "slices", "parallel"} <= drawn
    account = found["studies"][winner]["account"]
    row = next(row for row in page.rows if row[0] == winner and len(row) == 4)  # the three scores side by side
    scores = [float(cell) if cell != "undefined" else math.nan for cell in row[1:]]
    asked = [
        account["score"],
        math.nan if account["corrected"] is None else account["corrected"],
        found["test"]["mase"],
    ]
    assert scores == pytest.approx(asked, abs=6e-4, nan_ok=True)
    for name in ("data", "split", "found", "winner", "study-dlinear", "study-elastic_net", "reproduce"):
        assert page.sections[name]
    assert all(name in page.sections["found"] for name in found["floors"])
    assert f"model={winner}" in page.sections["winner"]
    assert "--models=dlinear,elastic_net --trials=2 --resume" in page.sections["reproduce"]
    assert "15 complete trials" in found["studies"][winner]["importance"]["reason"]
    assert found["studies"][winner]["asked"]["searcher"] == "auto"


def test_the_same_search_goes_on_only_when_asked_to_and_repeats_no_trial(shop: Path) -> None:
    before = json.loads((shop / "found.json").read_text())["studies"]["elastic_net"]["trials"]
    words = ["tune", "sales.csv", *NAMES, *FAST, "--models", "elastic_net", "--quiet"]
    refused = tidewright(*words, "--trials", "3", cwd=shop)
    assert refused.returncode == 1
    assert "Go on with it: --resume" in refused.stderr
    done = tidewright(*words, "--trials", "3", "--resume", "--json", cwd=shop)
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)["studies"]["elastic_net"]["trials"]
    assert len(after) == 3
    assert after[:2] == before


def test_a_space_of_ones_own_and_bad_words(shop: Path) -> None:
    (shop / "mine.yaml").write_text(
        "model: elastic_net\nparameters:\n  model.l1_share: {type: choice, choices: [0.0, 0.5]}\n"
    )
    words = ["tune", "sales.csv", *NAMES, *FAST, "--models", "elastic_net", "--quiet", "--json", "--search", "grid"]
    done = tidewright(*words, "--space", "mine.yaml", "--trials", "9", "--folds", "2", "--seeds", "2", cwd=shop)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    trials = found["studies"]["elastic_net"]["trials"]
    assert {len(trial["steps"]) for trial in trials} == {4}
    assert {"sd over folds", "sd over seeds"} <= set(found["models"][0])
    assert {trial["parameters"]["model.l1_share"] for trial in trials} >= {0.0, 0.5}
    for more, said in (
        (["--models", "lstmm"], "Did you mean 'lstm'"),
        (["--models", "auto_ets"], "there is nothing to search of auto_ets"),
        (["--models", "tcn", "--search", "gpp"], "Did you mean 'gp'"),
        (["--models", "tcn", "--resume"], "there is no such search to go on with"),
        (["--models", "tcn", "--trials", "0"], "trials is a whole number"),
        (["--models", "tcn", "--together", "0"], "together is how many trials are made at a time"),
        (["--models", "tcn", "ensemble=mean"], "ensemble is an option of a run"),
        (["--models", "lstm", "kind=classify"], "lstm tells no classes apart"),
        (["--models", "drift", "--kind", "classify"], "drift tells no classes apart"),
        (["--models", "tcn", "--metric", "sharp"], "Did you mean 'sharpe'"),
        (["--models", "tcn", "--seeds", "many"], "--seeds is a whole number, 1 or more, or auto; got 'many'"),
    ):
        bad = tidewright("tune", "sales.csv", *NAMES, *FAST, *more, cwd=shop)
        assert bad.returncode == 1, more
        assert said in bad.stderr


def test_the_result_for_people_says_what_was_best_and_beside_what(shop: Path) -> None:
    words = ["tune", "sales.csv", *NAMES, *FAST, "--models", "dlinear,elastic_net", "--trials", "2", "--resume"]
    done = tidewright(*words, cwd=shop)
    assert done.returncode == 0, done.stderr
    for said in ("mase on validation", "best mase", "models without a search", "seasonal", "studies  ", "report   "):
        assert said in done.stdout
    assert "tuning dlinear" in done.stderr


def test_a_search_adapts_its_space_and_begins_with_earlier_points_when_asked_to(shop: Path) -> None:
    words = ["tune", "sales.csv", *NAMES, *FAST, "--models", "elastic_net", "--quiet", "--json", "seed=5"]
    done = tidewright(
        *words, "--search", "random", "--pruner", "none", "--trials", "16", "--adaptive", "--warm-start", cwd=shop
    )
    assert done.returncode == 0, done.stderr
    study = json.loads(done.stdout)["studies"]["elastic_net"]
    assert any(note.startswith("adaptive space: ") for note in study["notes"])
    assert any(note.startswith("warm start: ") and "(the same data)" in note for note in study["notes"])
    assert study["trials"][1]["notes"][0].endswith("on the same data")
    assert any(note.startswith("adaptive") for trial in study["trials"] for note in trial["notes"])


def test_names_after_models_are_models_unless_they_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_models(["lstm,tcn"], ["transformer", "a=1"]) == (("lstm", "tcn", "transformer"), ["a=1"])
    assert split_models(None, ["transformer"]) == ((), ["transformer"])
    pl.DataFrame({"a": [1]}).write_csv("tcn")
    assert split_models(["lstm"], ["tcn"]) == (("lstm",), ["tcn"])


def test_what_positions_earn_is_searched_for_and_told_of_the_test_beside_holding_nothing_and_all(
    tmp_path: Path,
) -> None:
    words = ["tune", "--models", "drift", "--metric", "sharpe", "--trials", "2", "--quiet", "--json"]
    done = tidewright(*words, "track=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    best = max(trial["scores"]["sharpe"] for trial in found["studies"]["drift"]["trials"])
    assert found["models"][0]["sharpe"] == pytest.approx(best)
    assert found["models"][0]["test"] == found["test"]["sharpe"]
    assert (found["floors"]["flat"]["validation"], found["floors"]["flat"]["test"]) == (0.0, {"sharpe": 0.0})
    assert found["floors"]["buy and hold"]["validation"] > 0
    assert {"validation", "badness", "test"} == set(found["floors"]["drift"])  # a floor, and the winner beside it
    floors = [floor["validation"] for floor in found["floors"].values()]
    assert floors == sorted(floors, reverse=True)
    assert found["advice"] == f"Nothing beats {next(iter(found['floors']))} on validation: " + (
        f"take {next(iter(found['floors']))}, or look for more columns."
    )


def test_what_a_model_sees_is_as_it_was_asked_for(shop: Path) -> None:
    words = [
        "tune",
        "sales.csv",
        *NAMES,
        "--models",
        "elastic_net",
        "--trials",
        "2",
        "--quiet",
        "--json",
        "track=false",
    ]
    done = [tidewright(*words, more, cwd=shop) for more in ("lookback=9", "lookback=30", "log=1")]
    assert [one.returncode for one in done] == [0, 0, 0], done[0].stderr
    keys = {json.loads(one.stdout)["studies"]["elastic_net"]["trials"][0]["key"] for one in done}
    assert len(keys) == 3


def test_what_was_asked_for_and_can_not_be_had_is_a_line_of_its_own_and_recorded(
    shop: Path,
) -> None:
    words = ["tune", "sales.csv", *NAMES, *FAST, "--models", "elastic_net", "--trials", "2", "--together", "4"]
    done = tidewright(*words, "--json", "seed=9", cwd=shop)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in " ".join(done.stderr.split()).split(" s ") if "together=4" in line]
    assert line.startswith("note: together=4: trials were made one by one: elastic_net is no network.")
    assert "FallbackWarning" not in done.stderr
    run = read_run(shop / "tidewright-runs" / json.loads(done.stdout)["run"])
    assert [(one.asked, one.used) for one in run.fallbacks] == [("together=4 for elastic_net", "one trial at a time")]
    strict = tidewright(*words, "--strict", "--quiet", "seed=10", cwd=shop)
    assert strict.returncode == 1
    assert "one by one: elastic_net is no network. Ask for what can be had" in strict.stderr
