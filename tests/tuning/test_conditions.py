"""Options that are there only with others, or between bounds that others set: any point of a walk is a legal one."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.read_yaml import read_yaml
from tidewright.errors import ConfigError
from tidewright.tuning.ranges import Choice, FloatRange, IntRange, Range
from tidewright.tuning.read_space import parse_space
from tidewright.tuning.rules import Of, Rule
from tidewright.tuning.show_space import diff_spaces
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.write_space import write_space

NAMES = ("a", "b", "c", "d")
TRAIN = ("train.steps", "train.patience", "train.judged", "train.epochs")  # options that take any whole number
FINITE = ("int", "choice", "steps")
KINDS = (*FINITE, "float", "log")
quick = settings(deadline=None, max_examples=40)


@st.composite
def ranges(draw: st.DrawFn, *, kinds: Sequence[str]) -> Range:
    kind = draw(st.sampled_from(kinds))
    low = draw(st.integers(1, 5))
    if kind == "int":
        step = draw(st.integers(1, 2))
        return IntRange(low, low + step * draw(st.integers(0, 2)), step=step)
    if kind == "choice":
        return Choice(tuple(range(low, low + draw(st.integers(1, 3)))))
    if kind == "steps":
        return FloatRange(low / 2, low / 2 + 0.5 * draw(st.integers(0, 2)), step=0.5)
    return FloatRange(float(low), low + draw(st.floats(0.0, 9.0)), log=kind == "log")


@st.composite
def rules(draw: st.DrawFn, name: str, earlier: dict[str, Range]) -> Rule:
    """A rule that may be refused, for nothing might be left of the range."""
    others = draw(st.lists(st.sampled_from(sorted(earlier)), unique=True, max_size=2))
    when: dict[str, Range] = {}
    for other in others:
        one = earlier[other]
        values = list(one.values()) if math.isfinite(one.size) else []
        if values and draw(st.booleans()):
            when[other] = Choice(tuple(draw(st.lists(st.sampled_from(values), unique=True, min_size=1))))
        elif isinstance(one, IntRange):
            when[other] = IntRange(one.low, (one.low + one.high) // 2)
        elif isinstance(one, FloatRange):
            when[other] = FloatRange(one.low, one.low + (one.high - one.low) * 0.5)
    other = draw(st.sampled_from(sorted(earlier)))
    bound = Of(other, draw(st.sampled_from([0.5, 1.0, 2.0])), draw(st.sampled_from([0.0, 1.0, 4.0])))
    low, high = draw(st.sampled_from([(None, None), (None, bound), (Of(other, 0.5), None)]))
    multiple = draw(st.sampled_from([(), (2,), (other,)]))
    return Rule(when, low, high, multiple)


@st.composite
def spaces(draw: st.DrawFn, *, kinds: Sequence[str] = KINDS, names: Sequence[str] = NAMES) -> SearchSpace:
    found: dict[str, Range] = {name: draw(ranges(kinds=kinds)) for name in names}
    kept: dict[str, Rule] = {}
    for place, name in enumerate(names[1:], start=1):
        rule = draw(rules(name, {other: found[other] for other in names[:place]}))
        if draw(st.booleans()):
            try:
                SearchSpace("lstm", found, {**kept, name: rule})
            except ConfigError:
                continue
            kept[name] = rule
    order = draw(st.permutations(names))
    forbidden = []
    last = SearchSpace("lstm", {name: found[name] for name in order}, kept).names
    choices = [name for name in last[1:] if isinstance(found[name], Choice) and found[name].size > 1]
    if choices and draw(st.booleans()):
        end = draw(st.sampled_from(choices))
        first = draw(st.sampled_from(last[: last.index(end)]))
        part: Range = found[first]
        if not isinstance(part, Choice):
            part = type(part)(part.low, part.high)
        forbidden.append({first: part, end: Choice(tuple(found[end].values()[:1]))})
    return SearchSpace("lstm", {name: found[name] for name in order}, kept, tuple(forbidden))


def pick(data: st.DataObject, one: Range) -> Any:
    if isinstance(one, FloatRange) and one.step is None:
        return data.draw(st.floats(one.low, one.high))
    return data.draw(st.sampled_from(one.values()))


@quick
@given(st.data(), spaces())
def test_any_point_of_a_walk_is_held_and_settles_on_itself(data: st.DataObject, space: SearchSpace) -> None:
    point = space.walk(lambda name, one: pick(data, one))
    assert space.holds(point)
    assert space.settle(point) == point
    assert list(point) == [name for name in space.names if name in point]


@quick
@given(st.data(), spaces())
def test_any_point_of_the_widest_ranges_settles_on_a_legal_one_and_always_the_same(
    data: st.DataObject, space: SearchSpace
) -> None:
    wide = {name: pick(data, one) for name, one in space.flat.ranges.items()}
    point = space.settle(wide)
    assert space.holds(point)
    assert space.settle(wide) == point
    assert space.settle({**wide, **point}) == point


@quick
@given(spaces(kinds=FINITE))
def test_the_size_is_the_number_of_points_and_each_is_held_once(space: SearchSpace) -> None:
    points = list(space.points())
    assert space.size == len(points)
    assert len({repr(point) for point in points}) == len(points)
    assert all(space.holds(point) for point in points)


@quick
@given(spaces(kinds=FINITE))
def test_what_is_held_is_listed(space: SearchSpace) -> None:
    listed = {repr(point) for point in space.points()}
    for wide in SearchSpace("x", {name: space.ranges[name] for name in space.names}).points():
        kept = {name: wide[name] for name in space.names if name in space.settle(wide)}
        assert space.holds(kept) == (repr(kept) in listed)


@quick
@given(spaces(), spaces())
def test_a_space_differs_from_another_and_never_from_itself(one: SearchSpace, other: SearchSpace) -> None:
    assert diff_spaces(one, one) == ()
    assert (diff_spaces(one, other) == ()) == (one == other)
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one


@settings(deadline=None, max_examples=25)
@given(spaces(kinds=("int", "choice"), names=TRAIN))
def test_any_space_is_read_from_its_data_and_from_its_text_as_it_is(space: SearchSpace) -> None:
    for found in (parse_space(space.to_dict()), parse_space(read_yaml(write_space(space), source="x"))):
        assert found == space
        assert found.names == space.names
        assert space.diff(found) == ()


TRANSFORMER = """
model: transformer
parameters:
  model.d_model: {type: int, low: 64, high: 256, multiple_of: [2, model.nhead]}
  model.nhead: {type: int, low: 4, high: 8}
  model.num_encoder_layers: {type: int, low: 1, high: 4}
  model.num_decoder_layers: {type: int, low: 1, high: {of: model.num_encoder_layers, most: 3}}
  model.dropout: {type: float, low: 0.0, high: 0.5, when: {model.num_encoder_layers: [2, 3, 4]}}
  train.schedule: {type: choice, choices: [constant, cosine, plateau]}
  train.rate_cut: {type: float, low: 0.1, high: 0.9, when: {train.schedule: plateau}}
  train.batch_size: {type: choice, choices: [32, 64, 128]}
forbidden:
  - {model.d_model: {low: 200}, train.batch_size: [64, 128]}
"""


def transformer() -> SearchSpace:
    return parse_space(read_yaml(TRANSFORMER, source="mine.yaml"), source="mine.yaml")


def test_rules_are_read_printed_and_written_as_they_are() -> None:
    space = transformer()
    assert space.names[:2] == ("model.nhead", "model.d_model")
    assert parse_space(space.to_dict()) == space
    assert parse_space(read_yaml(write_space(space), source="x")) == space
    assert list(parse_space(space.to_dict()).ranges) == list(space.ranges)
    text = re.sub(" +", " ", str(space))
    assert "model.d_model 64 to 256, whole, a multiple of 2 and model.nhead" in text
    assert "model.num_decoder_layers 1 to 3, whole, at most model.num_encoder_layers" in text
    assert 'train.rate_cut 0.1 to 0.9, only while train.schedule is "plateau"' in text
    assert "never model.d_model is 200 to 256 and train.batch_size is 64 or 128" in text


def test_what_is_free_at_a_point_is_what_the_rules_leave() -> None:
    space = transformer()
    assert space.free("model.d_model", {"model.nhead": 5}) == IntRange(70, 250, step=10)
    assert space.free("model.num_decoder_layers", {"model.num_encoder_layers": 2}) == IntRange(1, 2)
    assert space.free("model.num_decoder_layers", {"model.num_encoder_layers": 4}) == IntRange(1, 3)
    assert space.free("model.dropout", {"model.num_encoder_layers": 1}) is None
    assert space.free("train.rate_cut", {"train.schedule": "cosine"}) is None
    assert space.free("train.batch_size", {"model.d_model": 200}) == Choice((32,))
    assert space.free("train.batch_size", {"model.d_model": 198}) == Choice((32, 64, 128))
    assert space.size == math.inf


def test_a_point_with_an_option_that_is_not_there_or_without_one_that_is_is_not_held() -> None:
    space = SearchSpace("x", {"a": IntRange(1, 3), "b": IntRange(1, 2)}, {"b": Rule({"a": Choice((2, 3))})})
    assert space.holds({"a": 1})
    assert not space.holds({"a": 1, "b": 1})
    assert not space.holds({"a": 2})
    assert space.holds({"a": 2, "b": 1, "another's": 5})
    assert space.size == 5
    assert space.flat.size == 6


def test_a_draw_outside_its_range_and_a_point_without_a_value_are_refused() -> None:
    space = SearchSpace("x", {"a": IntRange(1, 4), "b": IntRange(1, 4)}, {"b": Rule(high=Of("a"))})
    with pytest.raises(ConfigError, match=r"b is 1 to 2, whole here; got 4\. Draw from the range"):
        space.walk(lambda name, _: {"a": 2, "b": 4}[name])
    with pytest.raises(ConfigError, match=r"the point has no b\. Give a value"):
        space.settle({"a": 2})
    assert space.settle({"a": 2, "b": 4}) == {"a": 2, "b": 2}


def test_numbers_without_an_end_can_not_be_listed() -> None:
    with pytest.raises(ConfigError, match=r"the numbers from 0 to 0\.5 can't be listed\. Give a step"):
        list(SearchSpace("x", {"a": FloatRange(0.0, 0.5)}).points())


def test_the_size_of_a_space_with_too_much_to_count_is_a_bound() -> None:
    wide = {name: IntRange(1, 300) for name in "abc"}
    space = SearchSpace("x", wide, {"c": Rule({"a": IntRange(1, 9), "b": IntRange(1, 9)})})
    assert space.size == 300**3


def test_a_condition_has_values_or_two_ends() -> None:
    options = {"a": IntRange(1, 9), "b": IntRange(1, 9), "c": Choice((1, 2))}
    with pytest.raises(ConfigError, match=r"b: a condition on a has two ends and neither log nor step; got 2 to 8"):
        SearchSpace("x", options, {"b": Rule({"a": IntRange(2, 8, step=2)})})
    with pytest.raises(ConfigError, match=r"forbidden/0: a condition on a has two ends and neither log nor step"):
        SearchSpace("x", options, forbidden=({"a": IntRange(2, 8, log=True), "c": Choice((1,))},))
    with pytest.raises(ConfigError, match=r"b: a is never 10 to 12: its range is 1 to 9, whole"):
        SearchSpace("x", options, {"b": Rule({"a": IntRange(10, 12)})})


def lstm(**parameters: Any) -> dict[str, Any]:
    return {"model": "lstm", "parameters": {name.replace("__", "."): one for name, one in parameters.items()}}


LAYERS = {"type": "int", "low": 1, "high": 3}
HIDDEN = {"type": "int", "low": 8, "high": 64}
MISTAKES = {
    "an unknown option in when": (
        lstm(model__layers=LAYERS, model__hidden={**HIDDEN, "when": {"model.layer": 2}}),
        r"s: parameters/model.hidden/when: no option is called 'model.layer'. Did you mean 'model.layers'",
    ),
    "a value that the other never has": (
        lstm(model__layers=LAYERS, model__hidden={**HIDDEN, "when": {"model.layers": [3, 4]}}),
        r"model.hidden/when/model.layers: 4 is no value of it: its range is 1 to 3, whole",
    ),
    "a condition of another key": (
        lstm(model__layers=LAYERS, model__hidden={**HIDDEN, "when": {"model.layers": {"hihg": 2}}}),
        r"when/model.layers: no key of a condition is called 'hihg'. Did you mean 'high'",
    ),
    "ends of a choice": (
        lstm(
            model__highway={"type": "choice", "choices": [True, False]},
            model__hidden={**HIDDEN, "when": {"model.highway": {"low": 0}}},
        ),
        r"when/model.highway: low and high are for numbers",
    ),
    "when as a list": (lstm(model__hidden={**HIDDEN, "when": [1]}), r"model.hidden/when: options with their values"),
    "a circle": (
        lstm(
            model__layers={**LAYERS, "when": {"model.hidden": 8}},
            model__hidden={**HIDDEN, "when": {"model.layers": 2}},
        ),
        r"model.layers: model.layers, model.hidden wait for each other",
    ),
    "itself": (
        lstm(model__hidden={**HIDDEN, "high": {"of": "model.hidden"}}),
        r"model.hidden wait for each other",
    ),
    "an unknown option in a bound": (
        lstm(model__hidden={**HIDDEN, "high": {"of": "view.lokback"}}),
        r"model.hidden/high/of: no option is called 'view.lokback'",
    ),
    "a bound without of": (lstm(model__hidden={**HIDDEN, "high": {"times": 2}}), r"high: the key 'of' is missing"),
    "another key of a bound": (
        lstm(model__layers=LAYERS, model__hidden={**HIDDEN, "high": {"of": "model.layers", "time": 2}}),
        r"model.hidden/high: no key of a bound is called 'time'. Did you mean 'times'",
    ),
    "a factor of text": (
        lstm(model__layers=LAYERS, model__hidden={**HIDDEN, "high": {"of": "model.layers", "times": "x"}}),
        r"high/times: a number is needed; got 'x'",
    ),
    "a bound that is no number": (
        lstm(
            train__loss={"type": "choice", "choices": ["mse", "mae"]},
            model__hidden={**HIDDEN, "high": {"of": "train.loss"}},
        ),
        r"high/of: train.loss is one of .*, no number",
    ),
    "nothing left": (
        lstm(model__layers=LAYERS, model__hidden={**HIDDEN, "high": {"of": "model.layers", "times": 6, "most": 64}}),
        r"parameters/model.hidden: at model.layers = 1 nothing is left of 8 to 64",
    ),
    "a multiple of a fraction": (
        lstm(model__hidden={**HIDDEN, "multiple_of": 2.5}),
        r"multiple_of names whole numbers, 1 or more, or options that are such; got 2.5",
    ),
    "a multiple with a step": (
        lstm(model__hidden={**HIDDEN, "step": 8, "multiple_of": 2}),
        r"multiple_of is for whole numbers with neither log nor step",
    ),
    "bounds of a choice": (
        lstm(model__hidden={"type": "choice", "choices": [8, 16], "multiple_of": 8}),
        r"model.hidden: low, high and multiple_of are for numbers, and this is a choice",
    ),
    "forbidden as a table": ({**lstm(model__hidden=HIDDEN), "forbidden": {}}, r"forbidden: a list of combinations"),
    "forbidden and unknown": (
        {**lstm(model__hidden=HIDDEN), "forbidden": [{"model.hiden": 8, "model.layers": 1}]},
        r"forbidden/0: no option is called 'model.hiden'. Did you mean 'model.hidden'",
    ),
    "one forbidden alone": (
        {**lstm(model__hidden=HIDDEN), "forbidden": [{"model.hidden": 8}]},
        r"forbidden/0: a combination has two options or more",
    ),
    "a number forbidden last": (
        {**lstm(model__layers=LAYERS, model__hidden=HIDDEN), "forbidden": [{"model.layers": 1, "model.hidden": 8}]},
        r"forbidden/0: the last one drawn, model.hidden, is no choice",
    ),
    "all forbidden": (
        {
            **lstm(model__layers=LAYERS, model__highway={"type": "choice", "choices": [True, False]}),
            "forbidden": [{"model.layers": n, "model.highway": n == 1} for n in (1, 2)],
        },
        r"forbidden: nothing might be left of model.highway",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_rule_is_named_with_its_place(case: str) -> None:
    data, message = MISTAKES[case]
    with pytest.raises(ConfigError, match=message):
        parse_space(data, source="s")


def test_options_whose_values_are_too_many_to_check_are_left_some_room() -> None:
    lookback = {"a": FloatRange(1.0, 9.0), "b": FloatRange(0.0, 9.0, step=1.0)}
    with pytest.raises(ConfigError, match=r"a have too many values to check each"):
        SearchSpace("x", lookback, {"b": Rule(low=Of("a"), high=Of("a", plus=0.5))})
    assert SearchSpace("x", lookback, {"b": Rule(low=Of("a", 0.5))}).size == math.inf
