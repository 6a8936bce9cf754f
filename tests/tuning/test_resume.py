"""A study that was killed goes on as if it had not been."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.models.spec import SeasonalNaive
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning.open_store import open_store
from tidewright.tuning.space import FloatRange, IntRange, SearchSpace
from tidewright.tuning.store import Stop, TrialStore
from tidewright.tuning.trial import Trial, TrialState
from tidewright.tuning.tune import tune


def run_script(folder: Path, what: str) -> dict[str, Any]:
    script = Path(__file__).with_name("killed.py")
    done = subprocess.run([sys.executable, str(script), str(folder), what], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_study_that_is_killed_fifty_times_at_random_is_the_one_that_was_not(tmp_path: Path) -> None:
    found = run_script(tmp_path, "plain")
    assert found["kills"] >= 50
    for resumed, whole in found["pairs"]:
        assert resumed == whole
        assert {state for _, state, *_ in whole} == {"complete", "pruned"}


def test_a_network_goes_on_from_its_last_epoch_and_repeats_none(tmp_path: Path) -> None:
    found = run_script(tmp_path, "network")
    (resumed, whole), (ran, alone) = found["pairs"][0], found["epochs"]
    assert found["kills"] > 3
    assert resumed == whole
    assert alone == sum(len(steps) for *_, steps, _ in whole)
    assert ran <= alone  # an epoch that was saved is told of at most once
    assert found["weights"][0] == found["weights"][1]
    assert found["notes"] == []
    assert found["bets"] == [4, 1]  # each trial is one bet
    assert found["files"] == [f"trials/{found['best']:05d}/checkpoint.safetensors"]
    assert any("after its worker died" in note for notes in found["trial_notes"] for note in notes)


def test_a_step_of_trials_begins_anew_and_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    found = run_script(tmp_path, "together")
    resumed, whole = found["pairs"][0]
    assert found["kills"] > 5
    assert resumed == whole
    assert {state for _, state, *_ in whole} == {"complete"}
    assert found["weights"][0] == found["weights"][1]
    assert found["notes"] == ["up to 4 trials of a form were made in one step: asked for."]
    assert found["bets"] == [8, 1]
    assert found["files"] == [f"trials/{found['best']:05d}/checkpoint.safetensors"]
    assert all(notes[0] == "made in one step of 4 trials" for notes in found["trial_notes"])


def test_two_processes_on_one_study_never_run_the_same_trial(tmp_path: Path) -> None:
    for study in run_script(tmp_path, "two").values():
        trials = study["trials"]
        assert [number for number, *_ in trials] == list(range(20))
        assert {state for _, state, *_ in trials} <= {"complete", "pruned"}
        assert (study["workers"], study["ran"]) == (2, 20)
        assert len({json.dumps(point) for _, _, _, point, *_ in trials}) == 20


def test_the_best_model_is_there_whoever_learned_it(world: Any, tmp_path: Path) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})
    asked: dict[str, Any] = {"model": "damped", "searcher": "tpe", "storage": tmp_path, **world.given}
    first = tune(space, trials=5, **asked)
    again = tune(space, trials=5, **asked)  # makes no trial
    assert again.trials == first.trials
    assert (again.fitted.spec, again.spec) == (first.fitted.spec, first.spec)
    assert again.notes == ()


def test_a_model_that_comes_out_otherwise_is_said_so(world: Any, tmp_path: Path) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    asked: dict[str, Any] = {"model": "damped", "searcher": "tpe", "storage": tmp_path, "trials": 2, **world.given}
    tune(space, **asked)
    found = tune(space, learn=lambda spec, **given: fit(SeasonalNaive(period=7), **given), **asked)
    assert found.notes[0].startswith(f"the model of trial {found.best.number} was learned again here, and its mase")


def test_a_network_that_the_budget_cut_short_is_as_it_was(world: Any, tmp_path: Path) -> None:
    space = SearchSpace("nlinear", {"train.learning_rate": FloatRange(1e-4, 1e-2)})
    train = TrainSpec(epochs=10_000, steps=2, patience=10_000)
    asked: dict[str, Any] = {
        "model": "nlinear",
        "searcher": "tpe",
        "train": train,
        "storage": tmp_path,
        "budget_s": 0.5,
        **world.given,
    }
    first = tune(space, **asked)
    assert first.best.cut_short
    assert "the budget ended its learning before it was done" in str(first)
    again = tune(space, **asked)
    assert (again.notes, len(again.trials)) == (first.notes, len(first.trials))
    assert again.reason == "the budget of 0.5 s is spent"
    for name, array in first.fitted.tensors().items():
        assert np.array_equal(array, again.fitted.tensors()[name])
    assert len(again.fitted.history) == len(first.fitted.history)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"the study 'damped' .* another one: its seed is 42, not 1\. Ask for the same"),
        ({"metric": "mae"}, r"its metric is mase, not mae"),
        ({"space": SearchSpace("damped", {"model.damping": FloatRange(0.0, 0.5)})}, r"its space is \w+, not \w+"),
        ({"task": Task(horizon=6)}, r"its task is Task"),
        ({"name": "other"}, r"keeps the study 'damped'; got 'other'"),
    ],
)
def test_another_study_in_the_same_place_is_refused(
    world: Any, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    asked = {"space": space, "model": "damped", "storage": tmp_path, "trials": 1, **world.given}
    tune(**asked)
    with pytest.raises(ConfigError, match=message):
        tune(**{**asked, **changes})


def test_other_data_are_another_study(world: Any, build_panel: Any, tmp_path: Path) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    asked: dict[str, Any] = {"model": "damped", "searcher": "tpe", "storage": tmp_path, "trials": 1, **world.given}
    tune(space, **asked)
    with pytest.raises(ConfigError, match="its data is"):
        tune(space, **{**asked, "panel": build_panel(scale=2.0, after=10)})


def test_seconds_that_were_spent_count_when_a_study_goes_on(world: Any, tmp_path: Path, clock: Any) -> None:
    def learn(spec: Any, *, deadline: float, **given: Any) -> Any:
        deadlines.append(deadline - clock.now)
        clock.now += 10.0
        return fit(spec, **given)

    deadlines: list[float] = []
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    asked: dict[str, Any] = {
        "model": "damped",
        "searcher": "tpe",
        "storage": tmp_path,
        "learn": learn,
        "clock": clock,
        **world.given,
    }
    first = tune(space, budget_s=25.0, **asked)
    assert (first.seconds, deadlines) == (20.0, [25.0, 15.0])
    clock.now = 5.0  # another day
    second = tune(space, budget_s=45.0, **asked)
    assert (second.seconds, deadlines[2:]) == (40.0, [25.0, 15.0])
    assert [trial.number for trial in second.trials] == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["memory", "folder", "sqlite"])
def test_a_trial_whose_worker_is_gone_is_taken_up_as_it_was(tmp_path: Path, kind: str) -> None:
    where = {"memory": None, "folder": tmp_path / "study", "sqlite": f"sqlite:///{tmp_path}/study.db"}[kind]
    one = open_store(where, retries=2)
    other = one if kind == "memory" else open_store(where, retries=2)
    claimed = one.claim(lambda trials: {"x": 1.0})
    one.report(0, step=1, value=0.5, spent=7.0)
    assert other.claim(lambda trials: Stop("its worker lives")) == Stop("its worker lives")
    one.let_go(0, died=False)
    assert other.claim(lambda trials: Stop("too late"), late=True) == Stop("too late")
    again = other.claim(lambda trials: {"x": 2.0})
    assert isinstance(claimed, Trial)
    assert again == replace(claimed, steps=((1, 0.5),))
    assert other.spent() == (0.0 if kind == "memory" else 7.0)
    assert other.finish(Trial(0, TrialState.COMPLETE, (1.0,)), spent=9.0).notes == ()
    assert open_store(where).spent() == (0.0 if kind == "memory" else 9.0)


def test_a_trial_that_kills_its_workers_fails_and_one_that_comes_further_does_not(tmp_path: Path) -> None:
    store = open_store(tmp_path, retries=2)
    store.claim(lambda trials: {"x": 1.0})
    for step in (1, 2, 3, 4, 5):
        store.report(0, step=step, value=1.0)
        store.let_go(0, died=True)
        assert isinstance(store.claim(lambda trials: Stop("")), Trial)
    for _ in range(2):
        store.let_go(0, died=True)
        last = store.claim(lambda trials: Stop("no more"))
    assert last == Stop("no more")
    failed = store.trials()[0]
    assert (failed.state, failed.error) == (
        TrialState.FAILED,
        "its worker died 3 times in a row, the last time after 5 steps",
    )
    assert failed.notes == ("taken up again 6 times after its worker died",)


def test_half_a_line_of_a_killed_writer_is_cut_off(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.claim(lambda trials: {"x": 1.0})
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    other = open_store(tmp_path)
    other.claim(lambda trials: {"x": 2.0})
    assert [trial.parameters for trial in open_store(tmp_path).trials()] == [{"x": 1.0}, {"x": 2.0}]


def test_the_best_trials_keep_their_checkpoints(world: Any, tmp_path: Path) -> None:
    space = SearchSpace("nlinear", {"train.learning_rate": FloatRange(1e-4, 1e-2)})
    asked: dict[str, Any] = {"model": "nlinear", "train": TrainSpec(epochs=1, steps=2), "trials": 4, **world.given}
    for keep in (1, 3):
        study = tune(space, storage=tmp_path / str(keep), keep=keep, **asked)
        best = sorted(range(4), key=lambda number: study.trials[number].value)[:keep]
        kept = sorted(int(path.name) for path in (tmp_path / str(keep) / "trials").iterdir())
        assert kept == sorted(best)


@pytest.mark.parametrize("where", ["mysql://x", "sqlite:///", "redis://localhost"])
def test_an_address_that_is_none_is_refused(where: str) -> None:
    with pytest.raises(ConfigError, match=r"kept in a folder, sqlite:///FILE or postgresql"):
        open_store(where)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        open_store(tmp_path / "file")


def claim_by_another(folder: Path) -> TrialStore:
    """Another machine, at work on the only trial of the study."""
    other = open_store(folder, name="damped")
    assert isinstance(other.claim(lambda trials: {"model.damping": 0.5}), Trial)
    return other


def test_who_joins_while_the_others_have_nothing_to_show_waits_for_them(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    other, waits = claim_by_another(tmp_path), []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.finish(Trial(0, TrialState.COMPLETE, (1.25,), {"model.damping": 0.5}))

    monkeypatch.setattr("tidewright.tuning.search.pause", wait)
    study = tune(space, model="damped", trials=1, storage=tmp_path, **world.given)
    assert len(waits) == 3
    assert (study.best.value, study.best.number) == (1.25, 0)


def test_who_can_not_wait_says_what_the_others_do(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, now = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)}), [0.0]
    claim_by_another(tmp_path)
    monkeypatch.setattr("tidewright.tuning.search.pause", lambda seconds: now.append(now[-1] + seconds))
    asked: dict[str, Any] = {"trials": 1, "budget_s": 3.0, "clock": lambda: now[-1], "storage": tmp_path}
    with pytest.raises(FitError, match=r"others are at work on 1 of 1\. Make the same call when they are done"):
        tune(space, model="damped", **asked, **world.given)


def test_a_trial_of_another_that_dies_while_it_is_waited_for_is_made_here(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    other = claim_by_another(tmp_path)
    monkeypatch.setattr("tidewright.tuning.search.pause", lambda seconds: other.let_go(0, died=True))
    study = tune(space, model="damped", trials=1, storage=tmp_path, **world.given)
    assert study.best.notes == ("taken up again 1 times after its worker died",)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("/proc/nothing", "No such file or directory"),
        ("sqlite:////proc/nothing/a.db", "No such file or directory"),
        ("{folder}/file/study", "Not a directory"),
        ("sqlite:///{folder}/file", "file is not a database"),
        ("{folder}/other", "Expecting value"),
        ("postgresql://me:secret@127.0.0.1:1/x", "Connection refused"),
    ],
)
def test_a_storage_that_can_not_be_opened_is_an_error_with_its_reason(tmp_path: Path, where: str, said: str) -> None:
    (tmp_path / "file").write_text("garbage")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "journal.log").write_text("garbage\n")
    with pytest.raises(ConfigError, match="no study can be kept in") as caught:
        open_store(where.format(folder=tmp_path))
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
