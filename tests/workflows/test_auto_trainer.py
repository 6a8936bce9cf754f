"""`AutoTrainer`: what it searches, what it gives back, and what it refuses."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch

from tidewright import (
    ArchitectureType,
    AutoTrainer,
    AutoTrainerConfig,
    HyperparameterSpace,
    ModelConfig,
    OptimizerType,
    PyTorchModelFactory,
)
from tidewright.errors import ConfigError, DataError, FallbackWarning
from tidewright.training.events import TrialEnded
from tidewright.training.judge_arrays import judge_arrays

CONFIG = ModelConfig(ArchitectureType.FEED_FORWARD, 5, [8], dropout_rate=0.0, use_batch_norm=False)
SMALL = HyperparameterSpace(
    learning_rates=[1e-4, 1e-2],
    batch_sizes=[32],
    optimizers=[OptimizerType.ADAM],
    dropout_rates=[0.0, 0.3],
    weight_decay=[0.0],
)


def rows(seed: int = 0, *, scale: float = 1.0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(300, 5))
    labels = scale * (features[:, 0] - 2.0 * features[:, 1] + 0.1 * draw.normal(size=300))
    return {"train_data": (features[:200], labels[:200]), "val_data": (features[200:], labels[200:])}


def make(dropout_rate: float = 0.2, **kwargs: Any) -> Any:
    config = ModelConfig(ArchitectureType.FEED_FORWARD, 5, [8], dropout_rate=dropout_rate, use_batch_norm=False)
    return PyTorchModelFactory().create_model(config)


def only_makes() -> Any:
    return make()


def config(**changes: Any) -> AutoTrainerConfig:
    usual = {"max_epochs": 6, "min_epochs": 1, "hyperparameter_space": SMALL, "search_method": "grid"}
    return AutoTrainerConfig(**{**usual, **changes})


def test_a_grid_tries_every_point_and_gives_the_best_with_its_network() -> None:
    result = AutoTrainer(config(prune=False)).optimize(make, **rows(), symbol="BTC-USD")
    table = result.trials
    assert table.height == 4
    assert set(zip(table["train.learning_rate"], table["model.dropout_rate"], strict=True)) == {
        (1e-4, 0.0), (1e-4, 0.3), (1e-2, 0.0), (1e-2, 0.3),
    }  # fmt: skip
    assert table["loss"].is_sorted()
    assert (result.learning_rate, result.optimizer, result.batch_size) == (1e-2, OptimizerType.ADAM, 32)
    assert result.val_metric == table["loss"][0] < table["loss"][-1]
    X, y = rows()["val_data"]
    with torch.inference_mode():
        answers = result.model(torch.tensor(X, dtype=torch.float32)).numpy()
    assert judge_arrays(y[:, None].astype(np.float32), answers)["loss"] == pytest.approx(result.val_metric, rel=1e-6)
    assert (result.symbol, result.method, result.metric) == ("BTC-USD", "grid", "loss")


def test_trials_that_learn_together_end_as_those_that_learn_alone() -> None:
    one, many = (AutoTrainer(config(prune=False, together=n)).optimize(make, **rows()) for n in (1, 4))
    key = ["train.learning_rate", "model.dropout_rate"]
    np.testing.assert_allclose(one.trials.sort(key)["loss"], many.trials.sort(key)["loss"], rtol=1e-3)
    assert one.learning_rate == many.learning_rate


def test_every_symbol_has_its_own_best() -> None:
    trainer, heard = AutoTrainer(config()), []
    for symbol, seed in (("A", 0), ("B", 1)):
        trainer.optimize(make, **rows(seed), symbol=symbol, callbacks=[heard.append])
    assert list(trainer.results) == ["A", "B"]
    assert trainer.results["A"].val_metric != trainer.results["B"].val_metric
    assert {event.study for event in heard if isinstance(event, TrialEnded)} == {"A", "B"}


def test_a_grid_that_is_too_large_becomes_a_draw_and_says_so() -> None:
    with pytest.warns(FallbackWarning, match="the grid has 4 points, more than max_trials=2"):
        result = AutoTrainer(config(max_trials=2)).optimize(make, **rows())
    assert (result.method, result.trials.height) == ("random", 2)
    assert "an even draw" in result.notes[0]


def test_a_factory_that_takes_no_dropout_is_searched_without_it() -> None:
    result = AutoTrainer(config()).optimize(lambda **kwargs: make(), **rows())
    assert result.trials.height == 2
    assert "model.dropout_rate" not in result.trials.columns
    assert result.dropout_rate is None
    assert "the same network whatever dropout_rate is" in result.notes[0]
    assert AutoTrainer(config()).optimize(only_makes, **rows()).trials.height == 2


def test_the_network_that_was_made_before_gets_the_winners_weights() -> None:
    factory = PyTorchModelFactory()
    model, learned = factory.create_model(CONFIG), factory.create_model(CONFIG)
    with torch.no_grad():
        next(learned.parameters()).add_(1.0)
    kept = next(learned.parameters()).clone()
    result = AutoTrainer(config()).optimize(lambda **kwargs: factory.create_model(CONFIG), **rows())
    for ours, theirs in zip(model.state_dict().values(), result.model.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert torch.equal(next(learned.parameters()), kept)  # what has learned already is left alone


def test_folds_in_time_judge_each_trial_and_the_winner_learns_again_on_all_rows() -> None:
    result = AutoTrainer(config(cv_folds=3, cv_gap=2)).optimize(make, **rows())
    assert result.trials["epochs"].to_list() == [3] * 4  # a report a fold
    X, y = rows()["val_data"]
    with torch.inference_mode():
        answers = result.model(torch.tensor(X, dtype=torch.float32)).numpy()
    assert judge_arrays(y[:, None].astype(np.float32), answers)["loss"] == pytest.approx(result.val_metric, rel=1e-6)
    assert any("one by one: each trial is judged on several folds" in note for note in result.notes)


def test_the_budget_holds_for_the_winner_of_folds_that_learns_once_more() -> None:
    endless = {"max_epochs": 1_000_000, "min_epochs": 1, "early_stopping_patience": 1_000_000}
    started = time.process_time()
    result = AutoTrainer(config(cv_folds=2, budget_s=2.0, **endless)).optimize(make, **rows())
    assert time.process_time() - started < 20.0  # a million epochs would take hours
    assert result.notes[-1] == "the budget ended the winner's last fit before it was done learning"
    done = AutoTrainer(config(cv_folds=2, budget_s=100.0)).optimize(make, **rows())
    assert not any("budget" in note for note in done.notes)


@pytest.mark.parametrize("metric", ["accuracy", "sharpe", "sortino"])
def test_a_metric_of_which_more_is_better_is_made_large(metric: str) -> None:
    given = rows(scale=0.01)
    result = AutoTrainer(config(metric=metric, maximize_metric=True, prune=False)).optimize(make, **given)
    found = result.trials[metric].to_list()
    assert found == sorted(found, reverse=True)
    assert result.val_metric == found[0] > found[-1]


def test_minimum_and_maximum_of_epochs_hold() -> None:
    patient = config(max_epochs=7, min_epochs=5, early_stopping_patience=1, prune=False)
    epochs = AutoTrainer(patient).optimize(make, **rows()).trials["epochs"].to_list()
    assert all(5 <= count <= 7 for count in epochs)


def test_what_makes_no_sense_is_refused_by_name() -> None:
    for changes, words in (
        ({"search_method": "gird"}, "Did you mean 'grid'"),
        ({"metric": "sharp"}, "Did you mean 'sharpe'"),
        ({"metric": "loss", "maximize_metric": True}, "of loss less is better"),
        ({"min_epochs": 9}, "min_epochs is from 1 to max_epochs"),
        ({"cv_folds": 0}, "cv_folds is 1 or more"),
        ({"together": 0}, "together is a number of trials"),
        ({"max_trials": 0}, "trials is a whole number"),
    ):
        with pytest.raises(ConfigError, match=words):
            AutoTrainer(config(**changes)).optimize(make, **rows())
    with pytest.raises(ConfigError, match="no network of PyTorchModelFactory"):
        AutoTrainer(config()).optimize(lambda **kwargs: torch.nn.Linear(5, 1), **rows())


def test_returns_are_asked_for_where_the_metric_takes_returns() -> None:
    classes = rows()
    classes = {name: (X, (y > 0).astype(float)) for name, (X, y) in classes.items()}
    with pytest.raises(DataError, match="sharpe takes labels for simple returns"):
        AutoTrainer(config(metric="sharpe")).optimize(make, **classes)
    result = AutoTrainer(config(metric="accuracy", prune=False)).optimize(make, **classes)
    assert result.val_metric > 0.8


def test_positions_pay_for_what_they_trade_and_are_judged_by_hand() -> None:
    labels, answers = np.array([[0.02], [-0.01], [0.03]]), np.array([[1.0], [-1.0], [-2.0]])
    free, dear = (judge_arrays(labels, answers, cost_bps=cost) for cost in (0.0, 100.0))
    returns = np.array([0.02, 0.01, -0.03])
    assert free["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1))
    # 1 is traded at first, 2 to turn round, and what the loss of the last date moved
    paid = np.array([1.02 * 0.99, 1.01 * (1 - 0.02), 0.97 * (1 - 0.01 * abs(-1.0 - -1.0 * 0.99 / 1.01))]) - 1.0
    assert dear["sharpe"] == pytest.approx(paid.mean() / paid.std(ddof=1))
    with pytest.raises(DataError, match="bring the same shape"):
        judge_arrays(labels, answers[:2])
