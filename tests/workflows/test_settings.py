"""Settings of a run: every option is checked where it enters."""

from __future__ import annotations

import pytest

from tidewright.errors import ConfigError
from tidewright.models.build import build_spec
from tidewright.workflows.settings import DEFAULT_MODELS, parse_seconds, read_settings


def test_the_defaults_are_those_of_the_specs() -> None:
    settings = read_settings()
    assert tuple(settings.models) == DEFAULT_MODELS
    for name, options in settings.models.items():
        assert build_spec(name, options) == build_spec(name)


def test_options_given_by_name_hold_and_overrides_win_over_them() -> None:
    settings = read_settings(["horizon=7"], {"horizon": 3, "data.time": "day", "budget_s": "3m"})
    assert (settings.horizon, settings.data.time, settings.budget_s) == (7, "day", 180.0)


def test_a_training_option_reaches_the_training_record() -> None:
    assert read_settings(["train.learning_rate=0.02", "train.optimizer=sgd"]).train.optimizer == "sgd"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("horizon=0", "horizon: Input should be greater than or equal to 1; got 0."),
        ("budget_s=-1", "budget_s: Input should be greater than 0"),
        ("budget_s=3parsecs", "is no length of time"),
        ("metric=mas", "no metric that ranks models is called 'mas'. Did you mean 'mase'?"),
        ("metric=MASE", "Did you mean 'mase'?"),
        ("modle=lstm", "Did you mean 'model'? There are: budget_s,"),
        ("train.optimizer=adamm", "train.optimizer: Input should be"),
        ("decide.fee_bps=-10", "decide.fee_bps"),
        ("data.layout=tall", "data.layout"),
        ("train.epochs=many", "train.epochs"),
    ],
)
def test_a_wrong_value_names_its_option(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings([override])
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("1.5h", 5400.0), (" 2 m ", 120.0)])
def test_lengths_of_time_are_read_in_seconds_minutes_and_hours(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


def test_one_covariate_and_one_quantile_need_no_list() -> None:
    settings = read_settings(["data.known=holiday", "quantiles=0.5"], {"data.past": "price, net"})
    assert (settings.data.known, settings.data.past, settings.quantiles) == (("holiday",), ("price, net",), (0.5,))


def test_an_unknown_option_given_by_name_names_the_near_miss() -> None:
    with pytest.raises(ConfigError, match=r"no option is called .horizn.. Did you mean .horizon.\?"):
        read_settings((), {"horizn": 3})


def test_a_loss_of_positions_is_refused_before_anything_learns() -> None:
    with pytest.raises(ConfigError, match=r"train: sharpe learns positions and a run learns forecasts"):
        read_settings(["train.loss=sharpe"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["mix.seeds=2", "mix.snapshots=2"], "two ways to have several of a network"),
        (["mix.seeds=2", "devices=2"], "learn in one process"),
        (["mix.per_step=true", "ensemble=median"], "ensemble=median has no weights, so none by step"),
        (["mix.snapshots=4"], r"got train.epochs=30 for 4\. Ask for a multiple"),
        (["mix.seeds=65"], r"mix\.seeds: .*65"),
    ],
)
def test_mixtures_that_make_no_sense_are_refused_before_anything_is_learned(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_settings(overrides)
