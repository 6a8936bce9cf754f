"""The model as an option of the space: its options are there only with it, and the right records come of a point."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from tidewright.data.read_yaml import read_yaml
from tidewright.data.task import Task
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.features.view import StaticEncoding, View
from tidewright.models.build import build_spec
from tidewright.training.spec import TrainSpec
from tidewright.tuning.change_space import change_space
from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range
from tidewright.tuning.read_space import find_space, parse_space, read_space, spaces
from tidewright.tuning.records import Candidate
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.write_space import write_space

MINE = """
models:
  lstm:
    parameters:
      model.layers: {type: int, low: 1, high: 3}
      model.dropout: {type: float, low: 0.1, high: 0.5, step: 0.1, when: {model.layers: [2, 3]}}
      train.batch_size: {type: choice, choices: [64, 128]}
    forbidden:
      - {model.layers: 3, train.batch_size: 128}
  lightgbm:
    parameters:
      model.leaves: {type: int, low: 7, high: 31, step: 8}
  theta:
parameters:
  train.clip: {type: float, low: 0.5, high: 1.5, step: 0.5, when: {model: lstm}}
"""


def mine() -> SearchSpace:
    return parse_space(read_yaml(MINE, source="mine.yaml"), source="mine.yaml")


def pick(draw: random.Random, one: Range) -> Any:
    if isinstance(one, FloatRange) and one.step is None:
        return draw.uniform(one.low, one.high)
    return draw.choice(one.values())


def test_options_of_a_model_are_there_only_with_it() -> None:
    space = mine()
    assert space.models == ("lstm", "lightgbm", "theta")
    assert space.free("lstm.model.layers", {"model": "theta"}) is None
    assert space.holds({"model": "theta"})
    assert space.holds({"model": "lightgbm", "lightgbm.model.leaves": 15})
    assert not space.holds({"model": "lightgbm", "lightgbm.model.leaves": 15, "train.clip": 1.0})
    lstm = {"model": "lstm", "train.clip": 1.0, "lstm.model.layers": 1, "lstm.train.batch_size": 64}
    assert space.holds(lstm)
    assert space.free("lstm.train.batch_size", {"model": "lstm", "lstm.model.layers": 3}) == Choice((64,))
    assert space.size == len(list(space.points())) == 1 + 4 + 3 * (2 + 5 * 2 + 5 * 1)


def test_a_space_of_models_survives_a_round_trip_as_data_and_as_text() -> None:
    for space in (mine(), SearchSpace.of_models([find_space(name) for name in ("lstm", "transformer", "ridge")])):
        assert parse_space(space.to_dict()) == space
        assert parse_space(read_yaml(write_space(space), source="x")) == space
        assert space.diff(parse_space(space.to_dict())) == ()
    text = re.sub(" +", " ", str(mine()))
    assert "lstm|lightgbm|theta" in text
    assert "lstm.model.layers 1 to 3, whole\n" in text
    assert "lstm.model.dropout 0.1 to 0.5, step 0.1, only while lstm.model.layers is 2 or 3\n" in text
    assert 'train.clip 0.5 to 1.5, step 0.5, only while model is "lstm"' in text


def test_every_point_of_all_models_of_the_zoo_makes_its_records() -> None:
    names = ("lstm", "tcn_small", "transformer", "lightgbm", "theta", "damped")
    space = SearchSpace.of_models([find_space(name) for name in names])
    view = View(28, ("weekday",), StaticEncoding((("size", ()),)))
    start = Candidate(
        build_spec("lstm"), TrainSpec(), view, others={"theta": Candidate(build_spec("theta"), TrainSpec(), View(99))}
    )
    draw, seen = random.Random(0), set()
    for _ in range(200):
        point = space.walk(lambda _, one: pick(draw, one))
        own = {name: value for name, value in point.items() if name != "model" and not name.endswith("task.horizon")}
        found = start.change({"model": point["model"], **own})
        assert found.spec.name == point["model"]
        assert all(found.value(name) == value for name, value in own.items())
        seen.add(found.spec.name)
    assert seen == {"lstm", "tcn", "transformer", "lightgbm", "theta", "damped"}
    assert start.change({"model": "theta"}).view == View(99)
    assert start.change({"model": "nlinear"}).view == View(28)  # takes neither a calendar nor static columns
    assert start.change({"model": "lightgbm"}).view == view
    with pytest.raises(ConfigError, match=r"lightgbm.model.leaves is no option of lstm"):
        start.change({"lightgbm.model.leaves": 15})
    with pytest.raises(ConfigError, match=r"lstm.task.horizon: this search has no task to change"):
        start.change({"lstm.task.horizon": 3})


def test_the_point_of_a_candidate_has_what_is_there_with_it() -> None:
    start = Candidate(build_spec("lstm", {"layers": 2, "dropout": 0.9}), TrainSpec(), View(28))
    point = {"model": "lstm", "train.clip": 1.0, "lstm.model.layers": 2, "lstm.train.batch_size": 256}
    assert start.point(mine()) == {**point, "lstm.model.dropout": 0.9}
    assert Candidate(build_spec("theta"), TrainSpec(), View(28)).point(mine()) == {"model": "theta"}


MISTAKES = {
    "a model": ({"models": {"lstn": {}}}, r"s: models/lstn: model: no model is called 'lstn'. Did you mean 'lstm'"),
    "a key of a model": (
        {"models": {"lstm": {"parameter": {}}}},
        r"models/lstm: no key of a model's space is called 'parameter'",
    ),
    "an option of a model": (
        {"models": {"lstm": {"parameters": {"model.hiden": {"type": "int", "low": 8, "high": 9}}}}},
        r"models/lstm: parameters/model.hiden: no option of lstm is called 'hiden'",
    ),
    "no models": ({"models": 3}, r"models: a list of spaces, or a table of models, is needed; got 3"),
    "none at all": ({"models": {}}, r"made of one space for each; got none"),
    "twice": ({"models": ["lstm", "lstm_small"]}, r"lstm is there twice. Give each model once"),
    "model and models": ({"models": ["lstm"], "model": "lstm"}, r"no key of a space is called 'model'"),
    "a record that one of them has not": (
        {
            "models": ["lstm_small", "lightgbm"],
            "parameters": {"train.clip": {"type": "float", "low": 0.5, "high": 1.5}},
        },
        r"parameters/train.clip: lightgbm takes nothing from 'train'. It has: model, view",
    ),
    "in both places": (
        {
            "models": {"lstm": {"parameters": {}}},
            "parameters": {"lstm.model.hidden": {"type": "int", "low": 8, "high": 9}},
        },
        r"parameters/lstm.model.hidden: no record is called 'lstm'",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_space_of_models_is_named_with_its_place(case: str) -> None:
    data, message = MISTAKES[case]
    with pytest.raises(ConfigError, match=message):
        parse_space(data, source="s")


def test_the_users_spaces_go_before_the_packages(tmp_path: Path) -> None:
    (tmp_path / "lstm.yaml").write_text("model: lstm\nparameters:\n  model.hidden: {type: int, low: 8, high: 16}\n")
    (tmp_path / "both.yaml").write_text("models: [lstm, theta]\n")
    own = find_space("lstm", folder=tmp_path)
    assert own.ranges == {"model.hidden": IntRange(8, 16)}
    assert find_space("theta", folder=tmp_path) == find_space("theta")
    both = SearchSpace.of_models([own, find_space("theta")])
    assert find_space("both", folder=tmp_path) == read_space(tmp_path / "both.yaml") == both
    with pytest.raises(ConfigError, match=r"absent is no folder"):
        find_space("lstm", folder=tmp_path / "absent")
    with pytest.raises(UnknownNameError, match=r"no search space is called 'bot'. Did you mean 'both'"):
        find_space("bot", folder=tmp_path)


CHANGES: dict[str, tuple[Any, Any]] = {
    "numbers": ("64..128", IntRange(64, 128)),
    "a scale": ("8..128 log", IntRange(8, 128, log=True)),
    "a step": ("8..128 step 8", IntRange(8, 128, step=8)),
    "values": ("32, 64", Choice((32, 64))),
    "a list": ([32, 64], Choice((32, 64))),
    "one value": (48, Choice((48,))),
    "a table": ({"type": "int", "low": 8, "high": 12}, IntRange(8, 12)),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_single_range_is_changed(case: str) -> None:
    change, wanted = CHANGES[case]
    space = find_space("lstm")
    found = change_space(space, {"model.hidden": change})
    assert found.ranges["model.hidden"] == wanted
    assert {**found.ranges, "model.hidden": 0} == {**space.ranges, "model.hidden": 0}
    (line,) = space.diff(found)
    assert line.startswith("~ model.hidden: 64 to 512, whole -> ")


def test_numbers_keep_scale_and_rules_and_what_is_left_out_is_gone() -> None:
    space = find_space("transformer")
    rate, clip = {"train.learning_rate": "1e-5..1e-3"}, {"train.clip": "1..5"}
    found = change_space(space, {**rate, **clip, "model.d_model": "64..128", "task.horizon": None})
    assert found.ranges["train.learning_rate"] == FloatRange(1e-5, 1e-3, log=True)
    assert found.free("model.d_model", {"model.nhead": 7}) == IntRange(70, 126, step=14)
    assert "task.horizon" not in found.names
    assert found.ranges["train.clip"] == IntRange(1, 5)
    linear = change_space(space, {"train.learning_rate": "1e-4..1e-2 linear"})
    assert linear.ranges["train.learning_rate"] == FloatRange(1e-4, 1e-2)
    joined = change_space(mine(), {"model": "lstm, theta", "lstm.model.layers": "2..3", "train.clip": "0.5..1.0"})
    assert joined.models == ("lstm", "theta")
    assert joined.ranges["lstm.model.layers"] == IntRange(2, 3)
    assert joined.rules["train.clip"] == mine().rules["train.clip"]
    assert change_space(mine(), {"model": "lstm"}).models == ("lstm",)


BAD_CHANGES = {
    "a near miss": ({"model.hiden": "8..64"}, r"the changes: parameters/model.hiden: .* Did you mean 'hidden'"),
    "gone already": ({"train.clip": None}, r"the changes: no option is called 'train.clip'"),
    "no number": ({"model.hidden": "few..many"}, r"model.hidden: 'few' is no number. Write LOW..HIGH"),
    "another word": ({"model.hidden": "8..64 lag"}, r"behind LOW..HIGH stands log, linear or step N; got 'lag'"),
    "a fraction": ({"model.hidden": "8..64.5"}, r"model.hidden/high: a whole number is needed; got 64.5"),
    "what the record refuses": ({"train.epochs": "0..5"}, r"train.epochs/low: train.epochs is a number 1 or more"),
}


@pytest.mark.parametrize("case", BAD_CHANGES)
def test_a_mistake_in_a_change_is_named(case: str) -> None:
    changes, message = BAD_CHANGES[case]
    with pytest.raises(ConfigError, match=message):
        change_space(find_space("lstm"), changes)


@pytest.mark.parametrize("name", spaces())
def test_the_records_take_any_point_of_a_space_of_the_package(name: str) -> None:
    space, draw = find_space(name), random.Random(name)
    start = Candidate(build_spec(space.model), TrainSpec(), View(28), Task(horizon=7))
    for _ in range(20):
        point = space.walk(lambda _, one: pick(draw, one))
        found = start.change(point)
        assert {address: found.value(address) for address in point} == point
        assert found.point(space) == point
