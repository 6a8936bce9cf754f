"""The contest within its budget."""

from __future__ import annotations

from tidewright.data.simulate import signal_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.workflows.contest import CUT, Contest, hold_contest
from tidewright.workflows.settings import read_settings


def contest_of(budget_s: float, *overrides: str) -> Contest:
    panel, task = signal_panel(n_series=2, length=300, seed=1), Task(horizon=2)
    settings = read_settings(["model=feedforward,lightgbm", "train.epochs=2", "train.steps=5", *overrides])
    split = split_holdout(panel, task)
    return hold_contest(panel, split=split, task=task, season=7, settings=settings, budget_s=budget_s)


def test_a_model_that_the_budget_cut_says_so_and_is_not_tuned() -> None:
    endless = ("train.epochs=1000000", "train.patience=1000000")
    contest = contest_of(0.001, "model=feedforward,lstm", *endless)
    notes = {row.model: row.note for row in contest.leaderboard.rows if not row.floor}
    assert contest.study is None
    assert all(note.startswith(CUT) for note in notes.values())
    assert sum("not tuned" in note for note in notes.values()) == 1


def test_a_model_that_had_its_time_carries_no_note() -> None:
    contest = contest_of(600.0, "tune.enabled=false", "models.lightgbm.rounds=5")
    assert not any(row.note for row in contest.leaderboard.rows)
