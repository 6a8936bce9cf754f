"""The lists of values of the ML Framework Guide."""

from __future__ import annotations

import pytest

from tidewright import HyperparameterSpace, OptimizerType
from tidewright.errors import ConfigError


def test_the_lists_become_choices_of_the_options_that_a_network_learns_by() -> None:
    space = HyperparameterSpace(learning_rates=[1e-3], batch_sizes=[16, 32], optimizers=[OptimizerType.SGD, "adam"])
    found = space.to_search_space()
    assert {name: one.choices for name, one in found.ranges.items()} == {
        "train.learning_rate": (1e-3,),
        "train.batch_size": (16, 32),
        "train.optimizer": ("sgd", "adam"),
        "model.dropout_rate": (0.0, 0.1, 0.2, 0.3),
        "train.weight_decay": (0.0, 1e-5, 1e-4),
    }
    assert "model.dropout_rate" not in space.to_search_space(without=["dropout_rates"]).ranges


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"learning_rates": []}, "learning_rates is a list of one value or more"),
        ({"batch_sizes": 32}, "batch_sizes is a list"),
        ({"optimizers": "adam"}, "optimizers is a list"),
        ({"optimizers": ["adamm"]}, "it may hold adam, adamw, sgd, rmsprop"),
    ],
)
def test_a_list_that_is_none_is_refused(given: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        HyperparameterSpace(**given)


def test_a_value_that_is_there_twice_is_refused_where_the_space_is_made() -> None:
    with pytest.raises(ConfigError, match="twice"):
        HyperparameterSpace(dropout_rates=[0.1, 0.1]).to_search_space()
