"""Scores of every epoch on the original scale, where somebody asks for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.worlds import small_table
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.models.spec import FeedForward
from tidewright.models.specs.recurrent import LSTM
from tidewright.training import epoch_scores
from tidewright.training.epoch_scores import FOLLOWED
from tidewright.training.evaluate import evaluate
from tidewright.training.events import EpochEnded, Event, wants_scores
from tidewright.training.fit import fit, view_of
from tidewright.training.population import fit_population
from tidewright.training.spec import TrainSpec
from tidewright.tuning.space import FloatRange, SearchSpace
from tidewright.tuning.tune import tune

SPEC, TRAIN = LSTM(hidden=8), TrainSpec(epochs=2, steps=5, patience=9)


class Follower:
    """A callback that asks for scores."""

    wants_scores = True

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.heard.append(event)

    @property
    def epochs(self) -> list[EpochEnded]:
        return [event for event in self.heard if isinstance(event, EpochEnded)]


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    table = small_table(covariates=False).tail(400)
    panel, task = Panel.from_table(table, series="shop", time="hour", target="sold"), Task(horizon=4)
    return {"panel": panel, "split": split_holdout(panel, task), "task": task}


def score_of(fitted: Any, given: dict[str, Any]) -> dict[str, float]:
    asked = {"panel": given["panel"], "split": given["split"], "cutoffs": given["split"].validation}
    return evaluate(fitted, **asked).scores


@pytest.mark.parametrize("logs", [False, True])
def test_they_are_those_of_the_model_and_change_no_bit_of_it(
    given: dict[str, Any], logs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_scores, "LEAST_WINDOWS", 1024)  # all of them
    view = replace(
        view_of(SPEC, panel=given["panel"], split=given["split"], task=given["task"]), log=1000.0 if logs else None
    )
    one, plain = Follower(), []
    fitted = fit(SPEC, train=TRAIN, view=view, callbacks=[one], **given)
    other = fit(SPEC, train=TRAIN, view=view, callbacks=[plain.append], **given)
    assert [event.metrics for event in plain if isinstance(event, EpochEnded)] == [{}, {}]
    assert [record["validation_loss"] for record in fitted.history] == [r["validation_loss"] for r in other.history]
    best = min(one.epochs, key=lambda event: event.validation_loss)
    assert set(best.metrics) == {f"{part}_{name}" for part in ("train", "validation") for name in FOLLOWED}
    scores = score_of(fitted, given)
    assert scores == score_of(other, given)
    for name in FOLLOWED:
        assert best.metrics[f"validation_{name}"] == pytest.approx(scores[name], rel=1e-5)
        assert best.metrics[f"train_{name}"] > 0.0


def test_a_search_that_is_followed_has_them_in_epochs_and_those_of_training_in_trials(given: dict[str, Any]) -> None:
    follower, space = Follower(), SearchSpace("lstm", {"train.learning_rate": FloatRange(1e-3, 1e-2)})
    study = tune(space, model=SPEC, train=TRAIN, trials=1, callbacks=[follower], ledger=False, **given)
    assert all(set(epoch.metrics) >= {"train_mape", "validation_mape"} for epoch in follower.epochs)
    trained = {name: value for name, value in study.best.scores.items() if name.startswith("train_")}
    assert set(trained) == {"train_mape", "train_rmse", "train_mae"}
    assert np.isfinite(list(trained.values())).all()
    assert {"mape", "rmse", "mae"} <= set(study.best.scores)
    told = next(event for event in follower.heard if type(event).__name__ == "TrialEnded")
    assert told.metrics["train_mae"] == trained["train_mae"]
    assert told.metrics["validation_mae"] == study.best.scores["mae"]
    alone = tune(space, model=SPEC, train=TRAIN, trials=1, ledger=False, **given)
    assert alone.best.value == study.best.value
    assert not any(name.startswith("train_") for name in alone.best.scores)


def test_who_wants_scores_says_so() -> None:
    assert wants_scores([print, Follower()])
    assert not wants_scores([print])


@pytest.mark.parametrize("logs", [False, True])
def test_members_of_a_population_have_them_too_and_no_bit_changes(
    given: dict[str, Any], logs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_scores, "LEAST_WINDOWS", 1024)  # all of them
    spec, trains = FeedForward(hidden=(8,), dropout=0.2), [replace(TRAIN, learning_rate=rate) for rate in (1e-3, 1e-2)]
    view = replace(
        view_of(spec, panel=given["panel"], split=given["split"], task=given["task"]), log=1000.0 if logs else None
    )
    asked: dict[str, Any] = {"trains": trains, "view": view, "way": "batched", **given}
    heard = [Follower(), Follower()]
    followed, plain = fit_population(spec, heard=heard, **asked), fit_population(spec, **asked)
    for follower, fitted, other in zip(heard, followed.fitted, plain.fitted, strict=True):
        for name, weights in fitted.tensors().items():
            assert np.array_equal(weights, other.tensors()[name])
        best = min(follower.epochs, key=lambda event: event.validation_loss)
        scores = score_of(fitted, given)
        for name in FOLLOWED:
            assert best.metrics[f"validation_{name}"] == pytest.approx(scores[name], rel=1e-5)
            assert best.metrics[f"train_{name}"] > 0.0
    alone = Follower()
    fit(spec, train=trains[0], view=view, callbacks=[alone], **given)
    for one, two in zip(alone.epochs, heard[0].epochs, strict=True):
        assert dict(one.metrics) == pytest.approx(dict(two.metrics), rel=1e-3)
