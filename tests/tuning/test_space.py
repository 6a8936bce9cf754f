"""Spaces: what is read is what was written, and every mistake is named with its place and its near miss."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.data.read_yaml import MOST_BYTES, read_yaml
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.models.build import build_spec
from tidewright.models.spec import MODELS
from tidewright.tuning.read_space import UNTUNED, find_space, parse_space, read_space, spaces, usual_space
from tidewright.tuning.space import Choice, FloatRange, IntRange, SearchSpace


def lstm(**parameters: Any) -> dict[str, Any]:
    return {"model": "lstm", "parameters": {name.replace("__", "."): one for name, one in parameters.items()}}


INT = {"type": "int", "low": 8, "high": 64}

MISTAKES = {
    "a list": ([1], r"the search space: a table of keys is needed; got \[1\]"),
    "no model": ({"parameters": {}}, r"the search space: the key 'model' is missing"),
    "a key": (
        {"model": "lstm", "parametres": {}},
        r"no key of a space is called 'parametres'. Did you mean 'parameters'",
    ),
    "the model": (
        {"model": "lstn", "parameters": {"a": 1}},
        r"model: no model is called 'lstn'. Did you mean 'lstm'",
    ),
    "no parameters": ({"model": "lstm", "parameters": {}}, r"parameters: one option or more is needed"),
    "no record": (lstm(hidden=INT), r"parameters/hidden: an option is written as record.option"),
    "the record": (
        lstm(modle__hidden=INT),
        r"modle.hidden: no record is called 'modle'. Did you mean 'model'",
    ),
    "the option": (
        lstm(model__hiden=INT),
        r"model.hiden: no option of lstm is called 'hiden'. Did you mean 'hidden'",
    ),
    "the model's name": (lstm(model__name=INT), r"no option of lstm is called 'name'"),
    "of train": (lstm(train__learning_rat=INT), r"is called 'learning_rat'. Did you mean 'learning_rate'"),
    "of the view": (lstm(view__lokback=INT), r"is called 'lokback'. Did you mean 'lookback'"),
    "no table": (lstm(model__hidden=[8, 64]), r"model.hidden: a range is written as .* got \[8, 64\]"),
    "no type": (lstm(model__hidden={"low": 8, "high": 9}), r"model.hidden: the key 'type' is missing"),
    "the type": (
        lstm(model__hidden={"type": "flaot", "low": 8, "high": 9}),
        r"model.hidden/type: no type of range is called 'flaot'. Did you mean 'float'",
    ),
    "a key of the range": (
        lstm(model__hidden={**INT, "hihg": 3}),
        r"model.hidden: no key of a int range is called 'hihg'. Did you mean 'high'",
    ),
    "no high": (lstm(model__hidden={"type": "int", "low": 8}), r"model.hidden: the key 'high' is missing"),
    "a bound of text": (
        lstm(model__hidden={**INT, "low": "8"}),
        r"model.hidden/low: a whole number is needed; got '8'",
    ),
    "a fraction": (
        lstm(model__hidden={**INT, "low": 8.5}),
        r"model.hidden/low: a whole number is needed; got 8.5",
    ),
    "log of text": (
        lstm(model__hidden={**INT, "log": "yes"}),
        r"model.hidden/log: true or false is needed; got 'yes'",
    ),
    "turned round": (
        lstm(model__hidden={**INT, "low": 99}),
        r"model.hidden: low 99 and high 64 are no range",
    ),
    "log from 0": (
        lstm(model__dropout={"type": "float", "low": 0.0, "high": 0.5, "log": True}),
        r"model.dropout: a log scale needs a low above 0; got 0",
    ),
    "log and step": (
        lstm(model__hidden={**INT, "log": True, "step": 8}),
        r"step 8 and log don't go together",
    ),
    "step below 0": (lstm(model__hidden={**INT, "step": -8}), r"above 0; got -8"),
    "a step that misses": (
        lstm(model__hidden={**INT, "step": 10}),
        r"model.hidden: high 64 is not low 8 plus steps of 10. Take 58 or 68",
    ),
    "not finite": (lstm(model__dropout={"type": "float", "low": 0.0, "high": math.inf}), r"are no range"),
    "no choices": (lstm(model__hidden={"type": "choice", "choices": []}), r"choices is empty"),
    "choices of text": (
        lstm(model__hidden={"type": "choice", "choices": "ab"}),
        r"choices: a list is needed; got 'ab'",
    ),
    "a choice twice": (lstm(model__hidden={"type": "choice", "choices": [8, 8]}), r"choices holds 8 twice"),
    "a choice of the wrong type": (
        lstm(train__optimizer={"type": "choice", "choices": ["adam", "adem"]}),
        r"train.optimizer/choices/1: optimizer: .* got 'adem'",
    ),
    "fractions for a whole option": (
        lstm(model__layers={"type": "float", "low": 1.0, "high": 3.0}),
        r"model.layers/type: layers: .*integer",
    ),
    "a value that the record refuses": (
        lstm(train__epochs={"type": "int", "low": 0, "high": 3}),
        r"train.epochs/low: train.epochs is a number 1 or more; got 0",
    ),
    "what trees don't heed": (
        {"model": "lightgbm", "parameters": {"train.epochs": INT}},
        r"train.epochs: lightgbm takes nothing from 'train'. It has: model, view",
    ),
    "what floors don't heed": (
        {"model": "damped", "parameters": {"view.lookback": INT}},
        r"view.lookback: damped takes nothing from 'view'. It has: model",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_space_is_named_with_its_place(case: str) -> None:
    data, message = MISTAKES[case]
    with pytest.raises(ConfigError, match=message):
        parse_space(data)


@pytest.mark.parametrize("name", spaces())
def test_a_space_of_the_package_survives_a_round_trip_and_prints_each_option(name: str) -> None:
    space = find_space(name)
    assert parse_space(space.to_dict()) == space
    assert all(option in str(space) for option in space.names)
    assert space.model in name


def test_every_model_has_a_space_or_a_reason_to_have_none() -> None:
    searched = {find_space(name).model for name in spaces()}
    assert searched | set(UNTUNED) == set(MODELS)
    assert not searched & set(UNTUNED)
    with pytest.raises(UnknownNameError, match=r"auto_ets has no search space: it chooses its form on each window"):
        find_space("auto_ets")
    assert all((usual_space(name) is None) == (name in UNTUNED) for name in MODELS)


def test_an_unknown_space_names_the_near_miss() -> None:
    with pytest.raises(UnknownNameError, match=r"no search space is called 'lightgmb'. Did you mean 'lightgbm'"):
        find_space("lightgmb")


def test_the_space_of_the_lstm_holds_the_documented_ranges() -> None:
    ranges = find_space("lstm").ranges
    assert ranges["model.hidden"] == IntRange(64, 512)
    assert ranges["model.layers"] == IntRange(1, 4)
    assert ranges["model.bidirectional"] == Choice((False, True))
    assert ranges["model.dropout"] == FloatRange(0.0, 0.5)
    assert ranges["train.learning_rate"] == FloatRange(1e-4, 1e-2, log=True)
    assert ranges["train.epochs"] == IntRange(50, 200)
    assert ranges["train.batch_size"] == IntRange(16, 128)
    assert ranges["view.lookback"] == IntRange(7, 30)
    assert ranges["task.horizon"] == IntRange(1, 14)
    assert len(ranges) == 9


def test_the_space_of_the_transformer_holds_the_documented_ranges_and_each_of_its_networks_can_be_built() -> None:
    space = find_space("transformer")
    ranges = space.ranges
    assert dict(ranges) == {
        "model.nhead": IntRange(4, 8),
        "model.d_model": IntRange(64, 256),
        "model.num_encoder_layers": IntRange(1, 4),
        "model.num_decoder_layers": IntRange(1, 4),
        "model.dim_feedforward": IntRange(256, 1024),
        "model.dropout": FloatRange(0.0, 0.5),
        "train.learning_rate": FloatRange(1e-4, 1e-2, log=True),
        "train.epochs": IntRange(50, 200),
        "train.batch_size": IntRange(16, 64),
        "view.lookback": IntRange(7, 30),
        "task.horizon": IntRange(1, 14),
    }
    pairs = set()
    for heads in range(4, 9):
        widths = space.free("model.d_model", {"model.nhead": heads})
        assert isinstance(widths, IntRange)
        pairs |= {(heads, width) for width in widths.values()}
        for width in widths.values():
            build_spec("transformer", {"d_model": width, "nhead": heads})
    even = {(heads, width) for heads in range(4, 9) for width in range(64, 257, 2) if width % heads == 0}
    assert pairs == even  # every width that attention can have, and no other


def test_choices_become_what_the_model_takes() -> None:
    space = parse_space(
        {
            "model": "feedforward",
            "parameters": {"model.hidden": {"type": "choice", "choices": [[64], [32, 16]]}},
        }
    )
    assert space.ranges["model.hidden"] == Choice(((64,), (32, 16)))
    assert build_spec("feedforward", {"hidden": (32, 16)}).hidden == (32, 16)


def test_a_space_is_read_from_a_file_and_its_name_is_in_the_message(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "model: lstm\nparameters:\n  train.learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true}\n"
    )
    assert read_space(file).ranges["train.learning_rate"] == FloatRange(1e-4, 1e-2, log=True)
    file.write_text("model: lstm\nparameters:\n  model.hiden: {type: int, low: 1, high: 2}\n")
    with pytest.raises(ConfigError, match=r"^mine.yaml: parameters/model.hiden: .* Did you mean 'hidden'"):
        read_space(file)
    with pytest.raises(ConfigError, match=r"absent.yaml can't be read"):
        read_space(tmp_path / "absent.yaml")


def test_a_space_never_changes_after_it_was_made() -> None:
    ranges: dict[str, Any] = {"model.hidden": IntRange(8, 64)}
    space = SearchSpace("lstm", ranges)
    ranges["model.layers"] = IntRange(1, 2)
    assert space.names == ("model.hidden",)
    with pytest.raises(TypeError, match="does not support item assignment"):
        space.ranges["model.layers"] = IntRange(1, 2)  # type: ignore[index]
    assert hash(space) == hash(SearchSpace("lstm", {"model.hidden": IntRange(8, 64)}))


def test_the_size_counts_the_points() -> None:
    assert IntRange(16, 128, step=16).size == 8
    assert FloatRange(0.0, 0.5, step=0.1).size == 6
    assert FloatRange(0.0, 0.5).size == math.inf
    space = SearchSpace("lstm", {"a": IntRange(1, 3), "b": Choice((True, False))})
    assert space.size == 6


@given(st.integers(-50, 50), st.integers(1, 9), st.integers(0, 20), st.integers(-100, 300))
def test_a_range_holds_just_its_own_steps(low: int, step: int, count: int, value: int) -> None:
    members = [low + k * step for k in range(count + 1)]
    assert IntRange(low, members[-1], step=step).holds(value) == (value in members)
    assert FloatRange(float(low), float(members[-1]), step=float(step)).holds(value) == (value in members)


def test_zero_and_false_are_values() -> None:
    assert FloatRange(0.0, 0.5).holds(0.0)
    assert Choice((False, True)).holds(False)
    assert not Choice((1, 2)).holds(True)
    assert not IntRange(0, 1).holds(True)
    assert not SearchSpace("lstm", {"model.hidden": IntRange(8, 64)}).holds({})


def test_an_exponent_without_a_point_is_a_number_in_yaml() -> None:
    found = read_yaml("[1e-4, 1E5, -2e+3, 1.5e-3, .5e1, 1e, text, 7, 0.1, true, null]", source="x")
    assert found == [1e-4, 1e5, -2e3, 1.5e-3, 5.0, "1e", "text", 7, 0.1, True, None]


BOMB = "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n"
BAD_YAML = {
    "an anchor": (BOMB, r"f.yaml, line 1: anchors and aliases are not read"),
    "an object": ("!!python/object/apply:os.system [ls]", r"f.yaml, line 1: the tag .* is not read"),
    "a doubled key": ("a: 1\nb: 2\na: 3", r"f.yaml, line 3: the key 'a' is given twice"),
    "too many values": ("[" + "1," * 6000 + "]", r"f.yaml, line 1: over 5000 values"),
    "too deep": ("[" * 40 + "]" * 40, r"over 5000 values or 16 levels"),
    "too long": ("# " + "x" * MOST_BYTES, r"f.yaml has 65538 bytes, and at most 65536 are read"),
    "broken": ("a: [1, 2", r"f.yaml is not YAML: .*line 1"),
    "two documents": ("a: 1\n---\nb: 2", r"f.yaml is not YAML: expected a single document"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_yaml_that_is_more_than_small_data_is_refused(case: str) -> None:
    text, message = BAD_YAML[case]
    with pytest.raises(ConfigError, match=message):
        read_yaml(text, source="f.yaml")


def test_reading_a_space_leaves_its_data_alone() -> None:
    data = lstm(model__hidden=INT)
    before = copy.deepcopy(data)
    parse_space(data)
    assert data == before


def test_a_printed_space_says_scale_step_and_choices() -> None:
    text = re.sub(" +", " ", str(find_space("lstm_small")))
    assert "model.hidden 16 to 128, whole, step 16" in text
    assert "train.learning_rate 0.0001 to 0.01, log scale" in text
    assert "train.batch_size one of 64, 128, 256, 512" in text
