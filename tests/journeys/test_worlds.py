"""Two worlds whose truth is known: noise, where no model may beat its floor, and a signal, where every model must."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binom

from tidewright.data.simulate import noise_panel, signal_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.workflows.contest import hold_contest
from tidewright.workflows.settings import RunSettings, read_settings

TRAINED = ("feedforward", "lstm", "lightgbm")
FAST = ["train.epochs=6", "train.steps=40", "tune.enabled=false"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ledger of trials is kept."""
    monkeypatch.chdir(tmp_path)


def settings_for(model: str) -> RunSettings:
    extra = ["models.lightgbm.rounds=60"] if model == "lightgbm" else []
    return read_settings([f"model={model}", "horizon=2", "season=7", *FAST, *extra])


@pytest.mark.parametrize("model", TRAINED)
def test_in_a_world_with_a_known_signal_every_model_beats_its_floor(model: str) -> None:
    panel = signal_panel(n_series=6, length=500, seed=1, driver=2.0)
    split = split_holdout(panel, Task(horizon=2))
    contest = hold_contest(
        panel, split=split, task=Task(horizon=2), season=7, settings=settings_for(model), budget_s=120.0
    )
    assert contest.leaderboard.winner in (model, "ensemble")
    assert contest.leaderboard.row(model).comparison.adjusted < 0.05
    assert contest.leaderboard.beat_floor


def test_in_worlds_of_noise_models_beat_their_floor_no_oftener_than_the_test_allows() -> None:
    worlds, wins = 80, 0
    settings = read_settings(
        [
            "model=feedforward",
            "horizon=1",
            "season=7",
            "train.epochs=3",
            "train.steps=20",
            "tune.enabled=false",
        ]
    )
    for seed in range(worlds):
        panel = noise_panel(n_series=2, length=300, seed=seed)
        task = Task(horizon=1)
        split = split_holdout(panel, task)
        contest = hold_contest(panel, split=split, task=task, season=7, settings=settings, budget_s=60.0)
        wins += contest.leaderboard.beat_floor
    allowed = int(binom.ppf(0.99, worlds, 0.05))  # a test of level 5 % is wrong more often in one case of a hundred
    assert wins <= allowed
