"""The contest within its budget."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tidewright.data.simulate import signal_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import DataError, FitError
from tidewright.training.evaluate import evaluate
from tidewright.tuning.ledger import subject_of
from tidewright.workflows.contest import Contest, hold_contest
from tidewright.workflows.field import CUT
from tidewright.workflows.settings import read_settings

PANEL, TASK = signal_panel(n_series=2, length=300, seed=1), Task(horizon=2)
SPLIT = split_holdout(PANEL, TASK)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ledger of trials is kept."""
    monkeypatch.chdir(tmp_path)


def contest_of(budget_s: float, *overrides: str) -> Contest:
    settings = read_settings(["model=feedforward,lightgbm", "train.epochs=2", "train.steps=5", *overrides])
    return hold_contest(PANEL, split=SPLIT, task=TASK, season=7, settings=settings, budget_s=budget_s)


def test_a_model_that_the_budget_cut_says_so_and_is_not_tuned() -> None:
    endless = ("train.epochs=1000000", "train.patience=1000000")
    contest = contest_of(0.001, "model=feedforward,lstm", *endless)
    notes = {row.model: row.note for row in contest.leaderboard.rows if row.model in ("feedforward", "lstm")}
    assert contest.study is None
    assert all(note.startswith(CUT) for note in notes.values())
    assert sum("not tuned" in note for note in notes.values()) == 1


def test_a_ledger_that_can_not_be_read_is_told_before_anything_is_learned(tmp_path: Path) -> None:
    seen = PANEL.until(int(SPLIT.validation.positions[-1]) + SPLIT.horizon)
    subject = subject_of(seen, task=TASK, metric="mase")
    folder = tmp_path / "tidewright-runs" / "ledger"
    folder.mkdir(parents=True)
    (folder / f"{subject.key}.jsonl").write_text("no record\n")
    with pytest.raises(DataError, match="a line that is no record"):
        contest_of(600.0, "train.epochs=1000000", "train.patience=1000000")


def test_a_model_that_had_its_time_carries_no_note() -> None:
    contest = contest_of(600.0, "tune.enabled=false", "models.lightgbm.rounds=5", "ensemble=none")
    assert not any(row.note for row in contest.leaderboard.rows)


def test_what_the_models_say_together_is_a_model_of_the_leaderboard() -> None:
    contest = contest_of(600.0, "tune.enabled=false", "ensemble=mean")
    row = contest.leaderboard.row("ensemble")
    fitted = contest.fitted["ensemble"]
    assert row.note.startswith("0.12 naive + ")
    assert row.note.endswith("0.12 feedforward + 0.12 lightgbm")
    again = evaluate(
        fitted,
        panel=contest.panels["ensemble"],
        split=SPLIT,
        cutoffs=SPLIT.test,
        season=7,
        shortest=min(one.view.lookback for one in contest.fitted.values()),
    )
    assert dict(row.test) == pytest.approx(again.scores, rel=1e-9)
    assert row.cpu_seconds >= sum(one.cpu_seconds for one in contest.leaderboard.rows if one.model != "ensemble")


def test_a_choice_among_many_mixtures_counts_as_many_tries() -> None:
    """Of the best of a hundred mixtures nobody is surprised: its p-value is raised by their number."""
    contest = contest_of(600.0, "tune.enabled=false", "ensemble=greedy")
    row = contest.leaderboard.row("ensemble")
    assert row.comparison.adjusted >= min(1.0, 8 * row.comparison.p_value)
    without = contest_of(600.0, "tune.enabled=false", "ensemble=none")
    assert contest.trials >= without.trials + 8  # what a Sharpe ratio is deflated by


def test_an_ensemble_whose_member_can_not_be_scored_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(fitted: Any, **asked: Any) -> Any:
        if asked["model"] == "lightgbm" and asked["cutoffs"] == SPLIT.test:
            raise FitError("no finite forecast")
        return evaluate(fitted, **asked)

    monkeypatch.setattr("tidewright.workflows.field.evaluate", judge)
    contest = contest_of(600.0, "tune.enabled=false", "ensemble=mean")
    failed = contest.leaderboard.failed
    assert failed["ensemble"] == "a member of the ensemble, lightgbm, could not be scored: no finite forecast"
    assert {"ensemble", "lightgbm"}.isdisjoint(contest.fitted)


def test_the_winner_has_an_account_of_all_that_was_tried_on_these_data() -> None:
    first = contest_of(600.0, "tune.enabled=false", "ensemble=none")
    assert first.account is not None
    assert first.account.trials == len(first.leaderboard.rows)
    assert first.account.score == pytest.approx(
        first.leaderboard.row(first.leaderboard.winner).validation["mase"], rel=1e-5
    )
    assert math.isfinite(first.account.corrected)
    again = contest_of(600.0, "tune.enabled=false", "ensemble=none")
    assert again.account is not None
    assert (again.account.trials, again.account.studies) == (2 * first.account.trials, 2)
    assert again.account.distinct == first.account.distinct
    assert again.account.effective == pytest.approx(first.account.effective, abs=0.3)  # copies are no bets
    assert again.account.corrected == pytest.approx(first.account.corrected)
