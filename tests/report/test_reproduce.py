"""The command of a report makes the very same settings again."""

from __future__ import annotations

import shlex
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.report.reproduce import list_overrides, list_versions, write_command
from tidewright.training.spec import TrainSpec
from tidewright.workflows.settings import DataSettings, RunSettings, SplitSettings, TuneSettings, read_settings

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
HARD = [
    "Weekly Sales",
    "it's",
    "a,b",
    "[x]",
    "null",
    "1e-3",
    "back\\slash",
    "end\\",
    "a=b",
    "$HOME",
    "${x}",
    "{a: 1}",
    "ü",
    "#",
]


@st.composite
def some_settings(draw: Any) -> RunSettings:
    name = st.one_of(st.sampled_from(HARD), names)
    return RunSettings(
        data=DataSettings(
            path="sales.csv",
            time=draw(name),
            target=draw(st.none() | name),
            series=draw(st.none() | name),
            known=tuple(draw(st.lists(name, max_size=3))),
        ),
        horizon=draw(st.integers(1, 400)),
        quantiles=draw(st.sampled_from([(0.1, 0.5, 0.9), (0.5,), (0.05, 0.25, 0.5, 0.75, 0.95)])),
        budget_s=draw(st.floats(1.0, 1e4)),
        strict=draw(st.booleans()),
        split=SplitSettings(test=draw(st.none() | st.integers(1, 99))),
        train=TrainSpec(learning_rate=draw(st.floats(1e-6, 1.0)), loss=draw(st.sampled_from(["quantile", "mse"]))),
        tune=TuneSettings(enabled=draw(st.booleans())),
    )


@settings(max_examples=80, deadline=None)
@given(some_settings())
def test_the_overrides_of_any_settings_read_back_as_the_same_settings(given_settings: RunSettings) -> None:
    full = given_settings.model_copy(update={"models": read_settings([]).models})
    assert read_settings(list_overrides(full)) == full


def test_chosen_models_and_their_options_are_in_the_command() -> None:
    chosen = read_settings(["recipe=market", "model=lstm", "models.lstm.hidden=32", "seed=7"])
    words = shlex.split(write_command(chosen) or "")
    assert words[:2] == ["tidewright", "run"]
    assert set(words[2:]) == {"model=lstm", "models.lstm.hidden=32", "seed=7"}
    assert read_settings(words[2:], {"recipe": "market"}) == chosen


def test_a_users_table_is_named_in_the_command_and_quoted_for_the_shell() -> None:
    chosen = read_settings([], {"data.path": "my sales.csv", "data.time": "it's", "horizon": 8})
    words = shlex.split(write_command(chosen) or "")
    assert words[:3] == ["tidewright", "run", "my sales.csv"]
    assert read_settings(words[3:], {"data.path": words[2]}) == chosen


def test_a_table_from_memory_has_no_command() -> None:
    assert write_command(RunSettings()) is None


def test_versions_name_python_and_say_what_is_not_installed() -> None:
    versions = list_versions()
    assert versions["python"].startswith("3.")
    assert versions["numpy"][0].isdigit()
