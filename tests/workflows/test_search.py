"""A preset's run: what it picks, when it ends, and that a kill costs nothing that was finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_table
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError, FitError
from tidewright.models.spec import FLOORS
from tidewright.registry.bundle import load_bundle
from tidewright.training.events import EpochEnded, Event, FitStarted
from tidewright.training.fit import fit
from tidewright.workflows import search
from tidewright.workflows.journal import Journal, hold_folder
from tidewright.workflows.presets import PRESETS
from tidewright.workflows.result import RunResult
from tidewright.workflows.run import run
from tidewright.workflows.settings import read_settings

TABLE = small_table(series=2, rows=160, covariates=False)
SMALL = ("train.epochs=2", "train.steps=3", "horizon=3", "track=false")


class KilledError(BaseException):
    """Stands for a kill: nothing catches it."""


def do(folder: Path, *overrides: str, **options: Any) -> RunResult:
    given = {"series": "shop", "time": "hour", "target": "sold", **options}
    return run(TABLE, overrides=[*SMALL, f"folder={folder}", *overrides], **given)


def outcome(result: RunResult) -> list[Any]:
    """All that does not depend on time."""
    assert result.search is not None
    board = result.leaderboard
    rows = [(row.model, row.note, sorted(row.validation.items()), sorted(row.test.items())) for row in board.rows]
    tries = sorted((one.model, one.what, one.key, one.score) for one in result.search.attempts)
    return [*map(repr, rows), *map(repr, tries), board.reason, result.search.reason]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A quick run of three models that nothing interrupted."""
    return do(tmp_path_factory.mktemp("whole"), "preset=quick", *THREE)


THREE = ("model=dlinear,nlinear,lightgbm", "models.lightgbm.rounds=4")


def test_quick_tries_each_model_once_beside_every_floor(whole: RunResult) -> None:
    account = whole.search
    assert account is not None
    assert [one.model for one in account.attempts if one.floor] == list(FLOORS)
    assert {one.model for one in account.attempts if not one.floor} == {"dlinear", "nlinear", "lightgbm"}
    assert account.reason == "the preset quick tries each model once"
    assert account.budget_s == PRESETS["quick"].budget_s == whole.settings.budget_s
    assert all(one.score is not None and one.seconds > 0 for one in account.attempts)
    assert [one.at for one in account.attempts] == sorted(one.at for one in account.attempts)
    board = whole.leaderboard
    best_floor = min(row.validation[board.metric] for row in board.rows if row.floor)
    assert board.row(board.winner).validation[board.metric] <= best_floor
    assert whole.serving.path.exists()
    assert not (whole.folder / "search" / "parts").exists()


def test_scores_of_the_search_are_those_of_the_leaderboard(whole: RunResult) -> None:
    assert whole.search is not None
    for one in whole.search.attempts:
        assert whole.leaderboard.row(one.model).validation[whole.search.metric] == one.score


@pytest.mark.parametrize("moment", [0, 3, 6, 8])
def test_a_run_that_is_killed_goes_on_and_ends_as_one_that_was_not(
    whole: RunResult, moment: int, tmp_path: Path
) -> None:
    heard: list[Event] = []

    def kill(event: Event) -> None:
        heard.append(event)
        if sum(isinstance(one, FitStarted) for one in heard) > moment and not isinstance(event, FitStarted):
            raise KilledError
        if moment == 0:
            raise KilledError

    with pytest.raises(KilledError):
        do(tmp_path, "preset=quick", *THREE, callbacks=(kill,))
    (place,) = (one for one in tmp_path.iterdir() if one.is_dir() and one.name != "ledger")
    finished = {entry["model"] for entry in Journal(place / "search")._entries if entry["kind"] == "part"}
    again: list[Event] = []
    result = run(TABLE, resume=place.name, folder=str(tmp_path), callbacks=(again.append,))
    assert result.run_id == place.name
    assert outcome(result) == outcome(whole)
    begun = [one.model for one in again if isinstance(one, FitStarted)]
    assert not set(begun) & finished
    assert len(begun) == 9 - moment
    assert result.search is not None
    assert result.search.resumed >= len(finished)
    assert len(finished) == moment
    assert result.account is not None
    assert result.account.trials == len(result.leaderboard.rows)  # each counted once, however often it was read


def test_a_network_that_is_killed_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    def kill(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.epoch == 2:
            raise KilledError

    asked = ("preset=quick", "model=dlinear", "train.epochs=4", "train.patience=9")
    with pytest.raises(KilledError):
        do(tmp_path / "a", *asked, callbacks=(kill,))
    again: list[Event] = []
    ours = run(TABLE, resume="last", folder=str(tmp_path / "a"), callbacks=(again.append,))
    assert [one.epoch for one in again if isinstance(one, EpochEnded)] == [3, 4]
    assert outcome(ours) == outcome(do(tmp_path / "b", *asked))


def test_a_process_that_is_killed_leaves_a_run_that_goes_on(whole: RunResult, tmp_path: Path) -> None:
    table = tmp_path / "table.parquet"
    TABLE.write_parquet(table)
    code = (
        "import os, signal, sys; from tidewright.workflows.run import run; seen = []\n"
        "def die(event):\n"
        "    seen.append(type(event).__name__)\n"
        "    if seen.count('FitStarted') == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(sys.argv[1], overrides=sys.argv[2:], series='shop', time='hour', target='sold', callbacks=(die,))"
    )
    words = [sys.executable, "-c", code, str(table), *SMALL, f"folder={tmp_path / 'runs'}", "preset=quick", *THREE]
    done = subprocess.run(words, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    result = run(resume="last", folder=str(tmp_path / "runs"))
    assert outcome(result) == outcome(whole)
    assert load_bundle(result.serving.path).digest == result.serving.digest


def test_further_tries_change_windows_and_options_until_their_number_is_reached(tmp_path: Path) -> None:
    asked = ("preset=standard", "model=dlinear", "tune.trials=5")
    result = do(tmp_path / "a", *asked)
    assert result.search is not None
    tries = [one for one in result.search.attempts if not one.floor]
    assert [one.what for one in tries] == ["as usual", "lookback 18", "tuned", "tuned", "tuned"]
    assert all(one.options for one in tries[1:])
    assert result.search.reason == "there was nothing more to try"
    row = result.leaderboard.row("dlinear")
    assert "the best of 5 tries" in row.note
    assert row.comparison.adjusted >= min(1.0, 5 * row.comparison.p_value) or np.isnan(row.comparison.p_value)
    assert outcome(do(tmp_path / "b", *asked)) == outcome(result)


def test_what_the_user_settled_is_not_moved(tmp_path: Path) -> None:
    result = do(tmp_path, "preset=standard", "model=dlinear", "tune.trials=3", "lookback=30", "tune.enabled=false")
    assert result.search is not None
    assert [one.what for one in result.search.attempts if not one.floor] == ["as usual"]
    assert result.fitted["dlinear"].view.lookback == 30


def test_best_judges_on_walk_forward_folds_that_end_with_the_splits_own(tmp_path: Path) -> None:
    result = do(tmp_path, "preset=best", "model=nlinear", "tune.trials=1", "split.validation=20", "split.test=20")
    assert result.search is not None
    assert result.search.folds == 3
    folds = search._cut_folds(result.panel, result.split, result.task, PRESETS["best"], {})
    assert folds[-1] == result.split
    assert all(a.validation.last + 3 <= b.validation.first for a, b in pairwise(folds))
    assert all(fold.train.last + fold.purge <= fold.validation.first for fold in folds)
    board = result.leaderboard
    assert board.row("nlinear").comparison.n > len(result.split.validation)  # the cutoffs of all folds


def test_a_panel_that_is_too_short_for_folds_has_fewer_and_says_so() -> None:
    panel = Panel.from_table(TABLE, series="shop", time="hour", target="sold")
    task, told = Task(horizon=3), {}
    split = split_holdout(panel, task, validation=60, test=30)
    assert search._cut_folds(panel, split, task, PRESETS["best"], told) == (split,)
    assert set(told) == {"3 folds", "2 folds"}


def test_the_models_are_those_of_the_advice_and_the_catalog_one_of_each_family_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.Desk, "_measure", lambda *_, **__: (1.0, 1.0, 0.0))
    tried: list[str] = []

    def attempt(hunt: Any, one: Any, **_: Any) -> None:
        tried.append(one.model)

    panel = Panel.from_table(small_table(rows=400), series="shop", time="hour", target="sold", known=["price"])
    task = Task(horizon=3)
    ring = search.Field(panel, split_holdout(panel, task), task, 24, read_settings(["preset=quick"]), (), None)  # type: ignore[arg-type]
    desk = search.Desk(ring, (ring.split,), Journal(tmp_path), "mase", 0.0, 0.0)
    hunt = search._Hunt(desk, PRESETS["quick"], lambda _: None, tries=1)
    monkeypatch.setattr(search._Hunt, "attempt", attempt)
    monkeypatch.setattr(search._Hunt, "left_s", 100.0)
    search._try_each(hunt, search._choose_models(hunt))
    kinds = [search.MODELS[name].kind for name in tried]
    assert len(tried) == 3
    assert {"trees", "torch"} <= set(kinds)
    assert set(tried) | set(hunt.passed_over) == set(search.MODELS) - set(FLOORS)
    unasked = {name for name, why in hunt.passed_over.items() if "its answers are slow, and nothing here" in why}
    assert {"chronos", "timesfm", "croston"} <= unasked
    kept = [why for name, why in hunt.passed_over.items() if name not in unasked]
    assert all("the preset quick tries 3 models" in why for why in kept)


def test_what_no_time_is_left_for_is_passed_over_and_the_best_floor_ships(tmp_path: Path) -> None:
    result = do(tmp_path, "preset=standard", "model=dlinear,nlinear", "budget_s=0.001")
    assert result.search is not None
    assert result.search.passed_over == dict.fromkeys(
        ("dlinear", "nlinear"), "the budget was spent before it was tried"
    )
    assert result.search.reason == "the budget of 0.001 s is spent"
    assert result.leaderboard.winner in FLOORS


def test_a_model_that_is_slow_to_answer_is_passed_over_before_it_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = search.Desk._measure_judging

    def slow(desk: Any, fitted: Any, panel: Panel) -> float:
        return 1e6 if fitted.spec.name == "nlinear" else honest(desk, fitted, panel)

    monkeypatch.setattr(search.Desk, "_measure_judging", slow)
    result = do(tmp_path, "preset=quick", "model=dlinear,nlinear")
    assert result.search is not None
    assert result.search.passed_over["nlinear"].startswith("a try takes 1000000 s or more, and ")
    assert "dlinear" in result.fitted


def test_a_probe_of_many_series_learns_from_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def learn(spec: Any, *, panel: Panel, **options: Any) -> Any:
        seen.append(panel.n_series)
        return fit(spec, panel=panel, **options)

    monkeypatch.setattr("tidewright.workflows.attempts.fit", learn)
    table = small_table(series=20, rows=120, covariates=False)
    asked = [*SMALL, f"folder={tmp_path}", "preset=quick", "model=lightgbm", "models.lightgbm.rounds=3"]
    result = run(table, overrides=asked, series="shop", time="hour", target="sold")
    assert seen == [7, 7]  # every third, once more when all is loaded
    assert "lightgbm" in result.fitted


def test_a_network_without_epochs_is_measured_too(tmp_path: Path) -> None:
    result = do(tmp_path, "preset=quick", "model=lear")
    assert result.search is not None
    assert result.search.attempts[-1].model == "lear"
    assert result.search.attempts[-1].score is not None


@pytest.mark.usefixtures("whole")  # else the first import of torch takes the time
def test_an_endless_training_is_ended_in_time_for_the_rest(tmp_path: Path) -> None:
    endless = ("train.epochs=1000000", "train.patience=1000000", "train.steps=3", "budget_s=8")
    started = time.process_time()  # a busy machine's clock runs on meanwhile
    result = do(tmp_path, "preset=standard", "model=dlinear", *endless)
    assert result.search is not None
    assert time.process_time() - started < 24.0
    first = next(one for one in result.search.attempts if one.model == "dlinear")
    assert first.note == "not done learning: the budget ended it"
    assert result.search.attempts[-1].what.startswith("as usual")  # it goes on with what time is left


def test_a_model_that_was_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    ring = search.Field(
        Panel.from_table(TABLE, series="shop", time="hour", target="sold"),
        None,
        None,
        24,
        None,
        (),
        None,  # type: ignore[arg-type]
    )
    moves = object.__new__(search.Moves)
    moves._ring, moves._name, moves._queue, moves._best = ring, "dlinear", [], None
    moves._trials, moves._again, moves.over = [], None, False
    one = search.Try("dlinear", "as usual", search.build_spec("dlinear"), read_settings().train, None)
    told = search.Attempt("dlinear", "as usual", one.key, 1.0, 1.0, 1.0, 1.0, note="cut")
    moves.tell(one, told)
    assert moves.cut
    again = moves.next()
    assert again is not None
    assert (again.what, again.key) == ("as usual, with more time", f"{one.key}-turn2")


def test_a_model_whose_package_is_missing_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    result = do(tmp_path, "preset=quick", *THREE)
    assert "lightgbm" in result.leaderboard.failed
    assert {"dlinear", "nlinear"} <= set(result.fitted)
    assert any(note.kind == "left out" and note.asked == "lightgbm" for note in result.notes)


def test_a_defect_in_one_try_is_its_result_and_an_error_when_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(spec: Any, **options: Any) -> Any:
        if spec.name == "nlinear":
            raise ZeroDivisionError("division by zero")
        return fit(spec, **options)

    monkeypatch.setattr("tidewright.workflows.field.fit", learn)
    result = do(tmp_path, "preset=quick", "model=dlinear,nlinear")
    assert result.leaderboard.failed == {"nlinear": "division by zero"}
    with pytest.raises(ZeroDivisionError):
        do(tmp_path, "preset=quick", "model=dlinear,nlinear", "strict=true")


def test_without_a_floor_nothing_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(spec: Any, **options: Any) -> Any:
        raise FitError("it can't")

    monkeypatch.setattr("tidewright.workflows.field.fit", learn)
    with pytest.raises(FitError, match="no floor could be fitted: it can't"):
        do(tmp_path, "preset=quick", "model=dlinear")


def test_a_preset_has_its_own_budget_and_rule_unless_told_otherwise() -> None:
    settings = read_settings(["preset=best"])
    assert (settings.budget_s, settings.ensemble, settings.models) == (3600.0, "stacking", {})
    own = read_settings(["preset=best", "budget_s=90s", "ensemble=greedy", "model=lstm"])
    assert (own.budget_s, own.ensemble, list(own.models)) == (90.0, "greedy", ["lstm"])
    assert read_settings([], {"preset": "quick"}).budget_s == 60.0
    with pytest.raises(ConfigError, match=r"a preset picks the models, and models\.lstm\.hidden sets an option of one"):
        read_settings(["preset=quick", "models.lstm.hidden=8"])
    with pytest.raises(ConfigError, match=r"preset: .*'quik'"):
        read_settings(["preset=quik"])


def test_only_an_interrupted_run_of_the_same_data_goes_on(whole: RunResult, tmp_path: Path) -> None:
    runs = str(whole.folder.parent)
    with pytest.raises(ConfigError, match="is done; its report is"):
        run(TABLE, resume=whole.run_id, folder=runs)
    with pytest.raises(ConfigError, match=r"no run of a preset in .* was interrupted"):
        run(TABLE, resume="last", folder=runs)
    with pytest.raises(ConfigError, match="there is no run of a preset in"):
        run(TABLE, resume="20200101T000000Z-000000", folder=runs)
    with pytest.raises(ConfigError, match="goes on as it was asked for; got horizon=9 too"):
        run(TABLE, resume="last", folder=runs, overrides=["horizon=9"])

    def kill(_: Event) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        do(tmp_path, "preset=quick", *THREE, callbacks=(kill,))
    other = TABLE.with_columns(sold=pl.col("sold") + 1.0)
    with pytest.raises(DataError, match=r"the table is another one than the run .* began with"):
        run(other, resume="last", folder=str(tmp_path))
    (place,) = (one for one in tmp_path.iterdir() if one.is_dir() and one.name != "ledger")
    with hold_folder(place / "search"), pytest.raises(ConfigError, match="goes on in another process"):
        run(TABLE, resume="last", folder=str(tmp_path))
    said: list[str] = []
    with pytest.raises(KilledError):
        do(tmp_path, "preset=quick", *THREE, callbacks=(kill,), tell=said.append)
    assert any(f"note: {place.name}, of the same, was interrupted" in line for line in said)


def test_a_run_goes_on_with_another_budget(tmp_path: Path) -> None:
    def kill(event: Event) -> None:
        if isinstance(event, FitStarted) and event.model == "dlinear":
            raise KilledError

    with pytest.raises(KilledError):
        do(tmp_path, "preset=quick", "model=dlinear", "budget_s=300", callbacks=(kill,))
    result = run(TABLE, resume="last", folder=str(tmp_path), budget_s="0.01s")
    assert result.search is not None
    assert result.search.budget_s == 0.01
    assert result.leaderboard.winner in FLOORS


def test_the_journal_drops_what_a_kill_tore(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add("part", "a", at=1.5, seconds=1.0)
    journal.add("part", "b", at=2.5, seconds=1.0)
    path = tmp_path / "journal.jsonl"
    for torn in (b'{"kind": "part", "ke', b'{"kind": "part", "key": "c"}', b"\xff\n"):
        content = path.read_bytes()
        path.write_bytes(content + torn)
        again = Journal(tmp_path)
        assert (len(again), again.at) == (2, 2.5)
        assert again.find("part", "a") is not None
        assert again.find("part", "c") is None
        assert path.read_bytes() == content
