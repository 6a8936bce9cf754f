"""The search on real models, with other metrics, and what it leaves behind."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from tidewright.metrics.accuracy import Scored, score
from tidewright.models.spec import LightGBM, SeasonalNaive
from tidewright.training.evaluate import evaluate
from tidewright.training.events import EpochEnded, Event
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec
from tidewright.tuning.read_space import find_space
from tidewright.tuning.space import FloatRange, IntRange, SearchSpace
from tidewright.tuning.study import Study
from tidewright.tuning.trial import TrialState
from tidewright.tuning.tune import tune

DAMPED = SearchSpace("damped", {"model.damping": FloatRange(0.0, 1.0), "model.recent": IntRange(2, 14)})


def test_another_metric_is_made_small(world: Any) -> None:
    study = tune(DAMPED, model="damped", trials=6, metric="rmse", **world.given)
    assert study.metric == "rmse"
    assert [trial.value for trial in study.trials] == [trial.scores["rmse"] for trial in study.trials]
    coverage = tune(DAMPED, model="damped", trials=3, metric="coverage", **world.given)
    assert [t.value for t in coverage.trials] == pytest.approx(
        [abs(t.scores["coverage"] - 0.8) for t in coverage.trials]
    )


def test_series_without_a_season_are_judged_by_mae_and_the_study_says_so(world: Any) -> None:
    panel = world.panel
    flat = replace(panel, table=panel.table.with_columns(sold=panel.table["sold"] * 0.0 + 5.0))
    study = tune(DAMPED, model="damped", trials=2, **{**world.given, "panel": flat})
    assert study.metric == "mae"
    assert study.best.value == 0.0
    assert study.notes[0] == "no series moves over a season (7 rows) of training, so mae replaced mase."


def test_optuna_says_nothing_and_its_logger_is_left_as_it_was(world: Any, capfd: pytest.CaptureFixture[str]) -> None:
    import optuna

    logger = logging.getLogger("optuna")
    before = (logger.level, list(logger.handlers), logger.propagate, list(logging.getLogger().handlers))
    optuna.logging.set_verbosity(optuna.logging.INFO)
    level = logger.level
    tune(DAMPED, model="damped", trials=3, **world.given)
    assert capfd.readouterr() == ("", "")
    assert logger.level == level
    assert (list(logger.handlers), logger.propagate, list(logging.getLogger().handlers)) == before[1:]
    logger.setLevel(before[0])


def test_the_account_is_plain_data(world: Any) -> None:
    study = tune(DAMPED, model="damped", trials=3, **world.given)
    found = json.loads(json.dumps(study.to_dict()))
    assert found["best"] == study.best.number
    assert [trial["values"] for trial in found["trials"]] == [list(trial.values) for trial in study.trials]
    assert found["trials"][1]["state"] == "complete"


def test_trees_are_really_tuned(world: Any) -> None:
    start = LightGBM(rounds=20, min_leaf=10)
    small = {"model.leaves": IntRange(2, 15), "model.learning_rate": FloatRange(0.01, 0.3, log=True)}
    study = tune(SearchSpace("lightgbm", small), model=start, trials=3, **world.given)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert len({trial.value for trial in study.trials}) == 3
    assert study.trials[1].losses
    again = score(_scored(study, world), ["mase"])["mase"]
    assert again == pytest.approx(study.best.value, rel=1e-12)


def _scored(study: Study, world: Any) -> Scored:
    return evaluate(study.fitted, panel=world.panel, split=world.split, cutoffs=world.split.validation).scored


def test_a_network_is_really_tuned_over_all_three_records(world: Any) -> None:
    ranges = {
        "model.hidden": IntRange(4, 8),
        "train.learning_rate": FloatRange(1e-3, 1e-2, log=True),
        "view.lookback": IntRange(7, 21, step=7),
    }
    events: list[Event] = []
    study = tune(
        SearchSpace("lstm", ranges),
        model="lstm",
        train=TrainSpec(epochs=2, steps=3, batch_size=32),
        trials=3,
        callbacks=[events.append],
        **world.given,
    )
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert study.view.lookback == study.best.parameters["view.lookback"]
    assert study.train.learning_rate == study.best.parameters["train.learning_rate"]
    assert study.fitted.spec == study.spec
    assert all(len(trial.losses) == 2 for trial in study.trials)
    assert sum(isinstance(event, EpochEnded) for event in events) == 6


def test_every_option_of_the_packaged_spaces_reaches_the_learner(world: Any) -> None:
    for name in ("feedforward", "lstm_small", "lstm", "lightgbm"):
        space, calls = find_space(name), []

        def learn(spec: Any, *, calls: list = calls, **given: Any) -> Any:
            calls.append({"model": spec, "train": given["train"], "view": given["view"], "task": given["task"]})
            return fit(SeasonalNaive(period=7), **given)

        study = tune(space, model=space.model, trials=12, learn=learn, **world.given)
        for option in space.names:
            record, _, field = option.partition(".")
            used = [getattr(call[record], field) for call in calls]
            assert used == [trial.parameters[option] for trial in study.trials]
            assert len(set(map(str, used))) > 1, option
