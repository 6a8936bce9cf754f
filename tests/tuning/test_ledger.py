"""The trial ledger: nothing is lost, nothing is counted twice, and a kill leaves whole lines."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError, FallbackWarning
from tidewright.tracking.local import FOLDER as RUNS
from tidewright.tracking.local import list_runs
from tidewright.tuning.ledger import Bet, StudyLedger, Subject, TrialLedger, digest_parameters, subject_of
from tidewright.tuning.space import FloatRange, SearchSpace
from tidewright.tuning.trial import TrialState
from tidewright.tuning.tune import tune

SUBJECT = Subject("d" * 32, 7, (0.1, 0.5, 0.9), "mase")


def make_bet(study: str, number: int, *, count: int = 5) -> Bet:
    draw = np.random.default_rng(number)
    positions = np.array([3, 10, 17, 24, 40])[:count]
    return Bet(study, number, "complete", "damped", f"key{number}", "p", 0.5, positions, draw.random((2, count)))


def same(one: Bet, other: Bet) -> bool:
    plain = [name for name in Bet.__dataclass_fields__ if name not in ("positions", "parts")]
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and np.array_equal(one.positions, other.positions)
        and np.allclose(one.parts, other.parts, rtol=1e-6)
    )


def test_what_is_kept_is_read_again_by_another(tmp_path: Path) -> None:
    kept = [make_bet("one", 0), Bet("one", 1, "pruned", "damped", "k", "p", None), make_bet("two", 0, count=3)]
    ledger = TrialLedger(SUBJECT, tmp_path)
    assert all(ledger.add(bet) for bet in kept)
    read = TrialLedger(SUBJECT, tmp_path).bets()
    assert len(read) == 3
    assert all(same(one, other) for one, other in zip(kept, read, strict=True))
    for one, other in zip(ledger.bets(), read, strict=True):  # to the bit: what is kept is what is read
        np.testing.assert_array_equal(one.parts, other.parts)


def test_a_trial_of_a_study_is_counted_once(tmp_path: Path) -> None:
    one, other = TrialLedger(SUBJECT, tmp_path), TrialLedger(SUBJECT, tmp_path)
    assert one.add(make_bet("a", 0))
    assert not one.add(make_bet("a", 0))
    assert not other.add(replace(make_bet("a", 0), score=9.0))
    assert other.add(make_bet("b", 0))
    assert [(bet.study, bet.number, bet.score) for bet in one.bets()] == [("a", 0, 0.5), ("b", 0, 0.5)]


def test_in_memory_it_is_the_same_ledger() -> None:
    ledger = TrialLedger(SUBJECT, None)
    assert ledger.add(make_bet("a", 0))
    assert not ledger.add(make_bet("a", 0))
    assert [bet.number for bet in ledger.bets()] == [0]


@pytest.mark.parametrize("metric", ["mae", "sharpe"])
def test_other_subjects_have_other_files(tmp_path: Path, metric: str) -> None:
    TrialLedger(SUBJECT, tmp_path).add(make_bet("a", 0))
    for other in (replace(SUBJECT, metric=metric), replace(SUBJECT, data="e" * 32), replace(SUBJECT, horizon=8)):
        assert TrialLedger(other, tmp_path).bets() == ()


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_a_torn_line_is_no_line_and_the_next_one_is_whole(tmp_path: Path, cut: int) -> None:
    ledger = TrialLedger(SUBJECT, tmp_path)
    ledger.add(make_bet("a", 0))
    ledger.add(make_bet("a", 1))
    path = tmp_path / f"{SUBJECT.key}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    later = TrialLedger(SUBJECT, tmp_path)
    assert [bet.number for bet in later.bets()] == [0]
    assert later.add(make_bet("a", 1))
    assert same(later.bets()[1], make_bet("a", 1))
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert [bet.number for bet in TrialLedger(SUBJECT, tmp_path).bets()] == [0, 1]


def add_many(folder: Path, study: str, count: int) -> None:
    ledger = TrialLedger(SUBJECT, folder)
    for number in range(count):
        ledger.add(make_bet(study, number))


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Forks come from a process of their own: this one may hold threads of JAX or polars by now."""
    served = multiprocessing.get_context("forkserver")
    served.set_forkserver_preload([__name__])
    return served


def test_several_processes_lose_nothing_and_double_nothing(tmp_path: Path, context: ForkServerContext) -> None:
    workers = [context.Process(target=add_many, args=(tmp_path, study, 25)) for study in ("a", "b", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    bets = TrialLedger(SUBJECT, tmp_path).bets()
    assert sorted((bet.study, bet.number) for bet in bets) == [(s, n) for s in "ab" for n in range(25)]
    assert all(same(bet, make_bet(bet.study, bet.number)) for bet in bets)


def test_killed_at_any_moment_it_holds_whole_lines_and_goes_on(tmp_path: Path, context: ForkServerContext) -> None:
    draw = np.random.default_rng(0)
    for _ in range(12):
        worker = context.Process(target=add_many, args=(tmp_path, "a", 400))
        worker.start()
        while not list(tmp_path.iterdir()):
            pass
        until = time.monotonic() + draw.uniform(0.0, 0.04)
        while time.monotonic() < until:
            pass
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        numbers = [bet.number for bet in TrialLedger(SUBJECT, tmp_path).bets()]
        assert numbers == list(range(len(numbers)))
    add_many(tmp_path, "a", 30)
    bets = TrialLedger(SUBJECT, tmp_path).bets()
    assert len(bets) >= 30
    assert all(same(bet, make_bet("a", bet.number)) for bet in bets)


def test_files_that_are_not_whole_are_named(tmp_path: Path) -> None:
    TrialLedger(SUBJECT, tmp_path).add(make_bet("a", 0))
    (tmp_path / f"{SUBJECT.key}.f4").write_bytes(b"")
    with pytest.raises(DataError, match="f4 is cut short"):
        TrialLedger(SUBJECT, tmp_path).bets()
    (tmp_path / f"{SUBJECT.key}.jsonl").write_text("no record\n")
    with pytest.raises(DataError, match="jsonl holds a line that is no record"):
        TrialLedger(SUBJECT, tmp_path).bets()


def test_a_ledger_that_is_not_whole_is_told_before_a_search_learns_anything(tmp_path: Path, world: Any) -> None:
    panel, task = world.given["panel"], world.given["task"]
    split = world.given["split"]
    seen = panel.until(int(split.validation.positions[-1]) + split.horizon)
    subject = subject_of(seen, task=task, metric="mase")
    (tmp_path / f"{subject.key}.jsonl").write_text("no record\n")

    def learn(*_: Any, **__: Any) -> Any:
        raise AssertionError("it has learned")

    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    with pytest.raises(DataError, match="a line that is no record"):
        tune(space, model="damped", trials=1, ledger=tmp_path, learn=learn, **world.given)


@pytest.mark.parametrize("unit", [1e22, 1e-30, 1.0])
def test_numbers_of_any_size_are_kept_to_seven_digits(tmp_path: Path, unit: float) -> None:
    draw = np.random.default_rng(0)
    parts = np.stack([(draw.random(40) * unit) ** 2, np.ones(40)])
    bet = Bet("a", 0, "complete", "damped", "k", "p", 0.5, np.arange(40), parts)
    TrialLedger(SUBJECT, tmp_path).add(bet)
    (read,) = TrialLedger(SUBJECT, tmp_path).bets()
    np.testing.assert_allclose(read.parts, parts, rtol=1e-7, atol=unit**2 * 1e-40)


def test_a_worker_in_another_folder_writes_to_the_same_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path)
    ledger = TrialLedger(SUBJECT, Path("ledger"))
    monkeypatch.chdir(tmp_path / "else")
    ledger.add(make_bet("a", 0))
    assert len(TrialLedger(SUBJECT, tmp_path / "ledger").bets()) == 1


def test_a_folder_that_can_t_be_made_is_an_error_before_anything_is_learned(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="ledger=False"):
        TrialLedger(SUBJECT, tmp_path / "file" / "ledger")


def test_a_disk_that_refuses_is_told_once_and_the_trials_are_counted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = TrialLedger(SUBJECT, tmp_path)
    study = StudyLedger(ledger, study="a")
    told: dict[str, Any] = {"state": "complete", "model": "damped", "key": "k", "score": 0.5}
    study.add(0, {"x": 1}, **told)

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TrialLedger, "_write", refuse)
    with pytest.warns(FallbackWarning, match="No space left"):
        study.add(1, {"x": 2}, **told)
    study.add(2, {"x": 3}, **told)
    assert [bet.number for bet in study.ledger.bets()] == [0, 1, 2]
    assert "could not be kept" in study.notes[0]


def test_a_disk_that_refuses_a_worker_is_told_with_the_study(tmp_path: Path, world: Any) -> None:
    panel, split = world.panel, world.split
    subject = subject_of(
        panel.until(int(split.validation.positions[-1]) + split.horizon), task=world.task, metric="mase"
    )
    (tmp_path / f"{subject.key}.f4").symlink_to("/dev/full")
    space = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0)})
    study = tune(space, model="damped", trials=3, workers=2, ledger=tmp_path, **world.given)
    assert study.count(TrialState.COMPLETE) == 3
    assert [note for note in study.notes if "No space left" in note] == [
        "the trial ledger could not be kept: [Errno 28] No space left on device"
    ]


def test_the_subject_is_the_targets_and_not_what_models_see() -> None:
    rows = {"day": range(30), "y": np.arange(30.0), "x": np.ones(30)}
    plain = Panel.from_table(pl.DataFrame(rows), time="day", target="y")
    with_past = Panel.from_table(pl.DataFrame(rows), time="day", target="y", past=["x"])
    other = Panel.from_table(pl.DataFrame({**rows, "y": np.arange(30.0) + 1}), time="day", target="y")
    key = subject_of(plain, task=Task(3), metric="mae").key
    assert subject_of(with_past, task=Task(3), metric="mae").key == key
    assert subject_of(other, task=Task(3), metric="mae").key != key
    assert subject_of(plain, task=Task(4), metric="mae").key != key
    assert digest_parameters({"a": 1, "b": 2}) == digest_parameters({"b": 2, "a": 1}) != digest_parameters({"a": 2})


def test_the_usual_folder_lies_beside_the_runs_and_is_none_of_them(tmp_path: Path) -> None:
    from tidewright.workflows.stakes import LEDGER

    TrialLedger(SUBJECT, tmp_path / LEDGER).add(make_bet("a", 0))
    assert list_runs(tmp_path).notes == ()
    source = Path(__import__("tidewright.tuning.ledger", fromlist=["x"]).__file__).read_text()
    assert f'FOLDER = Path("{RUNS}") / "{LEDGER}"' in source
