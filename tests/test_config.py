"""Options by Hydra's grammar."""

from __future__ import annotations

import pytest

from tidewright.config import Group, Schema, compose
from tidewright.errors import ConfigError

SCHEMA = Schema(
    {"train": {"rate": 0.1, "sizes": (1, 2)}, "horizon": 5, "name": None},
    {"model": Group({"lstm": {"hidden": 64}, "tcn": {"kernel": 3}, "plain": {}}, ("lstm",), "models")},
)


def test_an_override_sets_one_option_and_leaves_the_others() -> None:
    found = compose(SCHEMA, ["train.rate=1e-3", "train.sizes=[4,8]", "name='a b'"])
    assert found["train"] == {"rate": 1e-3, "sizes": [4, 8]}
    assert (found["horizon"], found["name"]) == (5, "a b")


def test_a_group_takes_several_names_in_the_order_they_are_written() -> None:
    assert list(compose(SCHEMA, ["model=tcn,lstm"])["models"]) == ["tcn", "lstm"]
    assert list(compose(SCHEMA, ["model=[plain]"])["models"]) == ["plain"]


def test_composing_never_changes_the_schema() -> None:
    compose(SCHEMA, ["train.rate=9", "models.lstm.hidden=1"])
    assert compose(SCHEMA, []) == {
        "train": {"rate": 0.1, "sizes": (1, 2)},
        "horizon": 5,
        "name": None,
        "models": {"lstm": {"hidden": 64}},
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "train.rat=1",
            "no option is called 'train.rat'. Did you mean 'train.rate'? There are: train.rate, train.sizes.",
        ),
        ("horison=1", "Did you mean 'horizon'"),
        ("model=lstn", "no model is called 'lstn'. Did you mean 'lstm'? There are: lstm, plain, tcn."),
        ("models.tcn.kernel=5", "'tcn', which is not among the chosen. Add model=tcn."),
        ("models.lstm.hiden=5", "Did you mean 'models.lstm.hidden'"),
        ("+new=1", "never added or removed"),
        ("~horizon", "never added or removed"),
        ("just words", "is no override. Write one as key=value"),
    ],
)
def test_a_wrong_override_is_answered_with_the_near_miss(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(SCHEMA, [override])
    assert message in str(caught.value)
