"""The options of a network and of its training, tried one combination after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tidewright.errors import (
    ConfigError,
    FitError,
)
from tidewright.models.classic import ModelConfig
from tidewright.workflows.factory import PyTorchModelFactory


def flat(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 6))
    return features, 4.0 * features[:, 0] - features[:, 1] + 0.1 * draw.normal(size=count)


START = ModelConfig("feed_forward", 6, [8], use_batch_norm=False)
PAIRS = (flat(9, seed=0), flat(9, seed=0))


def test_tuning_tries_all_of_a_small_space_and_gives_back_the_best_weights() -> None:
    factory, train, held = PyTorchModelFactory(), flat(200, seed=0), flat(100, seed=1)
    kept = factory.create_model(START)  # equal configs learn in this network, one trial after the other
    space = {"learning_rate": [0.02, 1e-6], "dropout_rate": [0.0, 0.5]}
    found = factory.tune_architecture(START, train, held, space=space, epochs=6)
    assert found.method == "grid"
    assert len(found.trials) == 5  # four, and the config as it was given
    assert found.options == {"learning_rate": 0.02, "dropout_rate": 0.0}
    assert found.trials["val_loss"].is_sorted()
    assert found.best.val_loss == found.trials["val_loss"][0]
    with torch.no_grad():
        answer = found.best.model.eval()(torch.tensor(held[0], dtype=torch.float32))[:, 0].numpy()
    assert float(np.square(answer - held[1]).mean()) == pytest.approx(found.best.val_loss, rel=1e-5)
    assert kept is not found.best.model
    again = factory.tune_architecture(
        replace(START, dropout_rate=0.0), train, held, space={"learning_rate": [0.02, 1e-6]}, epochs=6
    )
    assert again.best.val_loss == found.best.val_loss
    with torch.no_grad():
        repeated = again.best.model.eval()(torch.tensor(held[0], dtype=torch.float32))[:, 0].numpy()
    np.testing.assert_array_equal(repeated, answer)


def test_tuning_draws_from_a_large_space_and_a_seed_repeats_it() -> None:
    factory, train, held = PyTorchModelFactory(), flat(60, seed=0), flat(40, seed=1)
    space = {
        "learning_rate": [10.0**-k for k in range(1, 7)],
        "hidden_sizes": [[4], [8], [4, 4]],
        "batch_size": [8, 16],
    }
    runs = [factory.tune_architecture(START, train, held, space=space, trials=3, epochs=1) for _ in range(2)]
    assert [run.method for run in runs] == ["random", "random"]
    assert len(runs[0].trials) == 4
    assert runs[0].trials.drop("seconds").equals(runs[1].trials.drop("seconds"))
    other = factory.tune_architecture(START, train, held, space=space, trials=3, epochs=1, seed=1)
    assert not other.trials["hidden_sizes", "learning_rate"].equals(runs[0].trials["hidden_sizes", "learning_rate"])


def test_a_trial_that_fails_is_told_and_all_failing_is_an_error() -> None:
    factory, train, held = PyTorchModelFactory(), flat(60, seed=0), flat(40, seed=1)
    config = replace(START, use_batch_norm=True)
    found = factory.tune_architecture(config, train, held, space={"batch_size": [1, 16]}, epochs=1)
    failed = found.trials.row(-1, named=True)
    assert failed["val_loss"] is None
    assert "batch normalisation needs two windows a batch" in failed["error"]
    with pytest.raises(FitError, match="none of 1 trials could learn; the first said: batch normalisation"):
        factory.tune_architecture(config, train, held, space={"batch_size": [1]}, epochs=1, batch_size=1)


@pytest.mark.parametrize(
    ("space", "trials", "message"),
    [
        ({"learning_rat": [0.1]}, 3, r"is called 'learning_rat'. Did you mean 'learning_rate'"),
        ({"learning_rate": 0.1}, 3, r"the space of learning_rate is a list of one value or more; got 0.1"),
        ({"learning_rate": []}, 3, r"a list of one value or more; got \[\]"),
        ({"learning_rate": [0.1]}, 0, r"trials is a number of combinations, 1 or more; got 0"),
        ({"dropout_rate": [2.0]}, 3, r"dropout_rate is a share from 0 to below 1; got 2.0"),
    ],
)
def test_a_wrong_space_is_refused(space: Any, trials: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PyTorchModelFactory().tune_architecture(
            START, flat(40, seed=0), flat(20, seed=1), space=space, trials=trials, epochs=1
        )
