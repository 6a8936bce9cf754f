"""The command of a report makes the very same settings again."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.worlds import make_study
from tidewright.features.view import View
from tidewright.models.build import build_spec
from tidewright.report.reproduce import (
    list_overrides,
    list_versions,
    write_command,
    write_tune_command,
    write_winner_command,
)
from tidewright.training.spec import TrainSpec
from tidewright.tuning.trial import Trial, TrialState
from tidewright.workflows.settings import DataSettings, RunSettings, SplitSettings, TuneSettings, read_settings
from tidewright.workflows.tune_table import TuneWords

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


def test_every_word_of_a_search_is_in_its_command_but_a_password() -> None:
    usual = TuneWords(models=("lstm", "tcn"))
    settings = RunSettings(
        data=DataSettings(path="my sales.csv", target="sold"), horizon=8, models={"lstm": {"hidden": 7}}
    )
    command = write_tune_command(settings, usual)
    assert command is not None
    assert shlex.split(command) == [
        "tidewright", "tune", "my sales.csv", "data.target=sold", "horizon=8", "models.lstm.hidden=7",
        "--models=lstm,tcn",
    ]  # fmt: skip
    for name, value in asdict(usual).items():
        if name in ("models", "resume"):  # resume is another command
            continue
        other = True if value is False else 5 if value in (None, 1, "auto") else "other"
        assert write_tune_command(settings, replace(usual, **{name: other})) != command, name
    told = write_tune_command(settings, replace(usual, storage="postgresql://me:secret@host/db", budget_s=600.0))
    assert told is not None
    assert "secret" not in told
    assert "--budget=600.0" in told
    assert write_tune_command(RunSettings(), usual) is None
    market = write_tune_command(RunSettings(recipe="market"), usual)
    assert market == "tidewright tune --models=lstm,tcn"


def test_the_winner_of_a_search_is_a_command_that_reads_back_as_it() -> None:
    spec, train = build_spec("dlinear", {"kernel": 7}), TrainSpec(learning_rate=0.0123)
    settings = RunSettings(data=DataSettings(path="sales.csv"), horizon=3, seed=4)
    best = Trial(2, TrialState.COMPLETE, (0.5,), {"model.kernel": 7, "view.lookback": 33})
    study = replace(make_study(_Fitted()), spec=spec, train=train, view=View(lookback=33), best=best)  # type: ignore[arg-type]
    command = write_winner_command(settings, study)
    assert command is not None
    words = shlex.split(command)
    assert words[:3] == ["tidewright", "run", "sales.csv"]
    read = read_settings([*words[3:], "data.path=sales.csv"])
    assert list(read.models) == ["dlinear"]
    assert build_spec("dlinear", read.models["dlinear"]) == spec
    assert (read.train, read.lookback, read.horizon, read.seed) == (train, 33, 3, 4)
    assert not read.tune.enabled
    longer = replace(study, best=replace(best, parameters={"task.horizon": 5}))
    assert write_winner_command(settings, longer) is None
    assert write_winner_command(settings, replace(study, train=TrainSpec(loss="sharpe"))) is None
    assert write_winner_command(settings, replace(study, spec=build_spec("drift"))) is None


class _Fitted:
    """What a study holds and no command looks at."""

    spec, view = build_spec("dlinear"), View(lookback=9)


def test_versions_name_python_and_say_what_is_not_installed() -> None:
    versions = list_versions()
    assert versions["python"].startswith("3.")
    assert versions["numpy"][0].isdigit()
