"""Options of a population's members: those of their own, those they share, and those it refuses."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tests.training.populations import BASE, SPEC, TRAINS, assert_equal, learn, learn_alone
from tidewright.errors import ConfigError
from tidewright.models.spec import Naive
from tidewright.training.population_form import OWN, SHARED, describe_form
from tidewright.training.spec import TrainSpec


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "gaussian", "student", "mixture", "crps"])
def test_every_loss_is_that_of_fit(loss: Any) -> None:
    trains = [replace(train, loss=loss, epochs=2) for train in TRAINS[:2]]
    for member, train in zip(learn(trains=trains).members, trains, strict=True):
        assert_equal(member, learn_alone(train))


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_every_optimizer_is_that_of_fit(optimizer: Any) -> None:
    trains = [replace(train, optimizer=optimizer) for train in TRAINS]
    for member, train in zip(learn(trains=trains).members, trains, strict=True):
        assert_equal(member, learn_alone(train))


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "plateau"])
def test_every_member_has_its_own_schedule(schedule: Any) -> None:
    trains = [BASE, replace(TRAINS[1], schedule=schedule, epochs=4, rate_end=0.1)]
    for member, train in zip(learn(trains=trains).members, trains, strict=True):
        assert_equal(member, learn_alone(train))


def test_each_member_has_its_own_share_of_dropout() -> None:
    specs = [replace(SPEC, dropout=share) for share in (0.0, 0.5, 0.2)]
    trains = [BASE] * 3
    population = learn(specs, trains)
    for member, spec in zip(population.members, specs, strict=True):
        assert_equal(member, learn_alone(BASE, spec))
    assert len({str(member.history) for member in population.fitted}) == 3


CHANGES: dict[str, Any] = {
    "learning_rate": 1e-4,
    "schedule": "cosine",
    "warmup": 0.5,
    "weight_decay": 0.5,
    "clip": 0.01,
    "seed": 5,
    "epochs": 1,
    "least_epochs": 3,
    "patience": 1,
    "least_gain": 1.0,
    "rate_end": 0.5,
    "rate_cut": 0.1,
    "rate_wait": 1,
    "cycles": 1,
}
NEEDS: dict[str, dict[str, Any]] = {
    "rate_end": {"schedule": "cosine"},
    "rate_cut": {"schedule": "plateau", "rate_wait": 1, "least_gain": 1.0},
    "rate_wait": {"schedule": "plateau", "least_gain": 1.0},
    "cycles": {"schedule": "cyclic", "cycles": 2},
    "least_epochs": {"patience": 1, "least_gain": 1.0},
    "patience": {"least_gain": 1.0},
    "least_gain": {"patience": 1},
}


@pytest.mark.parametrize("name", OWN)
def test_an_option_of_its_own_moves_its_member_alone(name: str) -> None:
    usual = replace(BASE, epochs=4, **NEEDS.get(name, {}))
    same, other = learn(trains=[usual, replace(usual, **{name: CHANGES[name]})]).fitted
    assert_equal(same, learn_alone(usual))
    assert_equal(other, learn_alone(replace(usual, **{name: CHANGES[name]})))
    told = [[{**record, "seconds": 0.0} for record in fitted.history] for fitted in (same, other)]
    assert told[0] != told[1]


SHARED_CHANGES: dict[str, Any] = {
    "batch_size": 8,
    "steps": 3,
    "judged": 2,
    "optimizer": "sgd",
    "loss": "mae",
    "delta": 0.2,
    "components": 2,
    "unit": "target",
}


@pytest.mark.parametrize("name", SHARED)
def test_an_option_that_members_share_is_refused_where_it_differs(name: str) -> None:
    train = replace(BASE, loss={"delta": "huber", "components": "mixture"}.get(name, BASE.loss))
    with pytest.raises(ConfigError, match=rf"the members of a population share train\.{name}; got"):
        learn(trains=[train, replace(train, **{name: SHARED_CHANGES[name]})])


REFUSED: dict[str, Any] = {"accumulate": 2, "ema": 0.9, "recompute": True, "cost_bps": None}


def test_every_training_option_is_a_members_own_or_shared_or_refused() -> None:
    assert {field.name for field in fields(TrainSpec)} - set(OWN) - set(SHARED) == set(REFUSED)
    assert set(CHANGES) == set(OWN)
    for name, value in REFUSED.items():
        if value is not None:
            with pytest.raises(ConfigError, match=rf"a population has no train\.{name}; got {value}"):
                learn(trains=[replace(BASE, **{name: value})])
    with pytest.raises(ConfigError, match=r"a population has no train\.batch_size 'auto'\. Give a number"):
        learn(trains=[replace(BASE, batch_size="auto")])
    with pytest.raises(ConfigError, match=r"a population learns forecasts; got train\.loss 'sharpe'"):
        learn(trains=[replace(BASE, loss="sharpe", cost_bps=1.0)])


def test_a_population_is_of_one_form() -> None:
    with pytest.raises(ConfigError, match="are of one form; got feedforward and feedforward with another hidden"):
        learn([SPEC, replace(SPEC, hidden=(4,))], [BASE, BASE])
    with pytest.raises(ConfigError, match="got 2 specs and 3 trains"):
        learn([SPEC, SPEC])
    with pytest.raises(ConfigError, match="got 0 specs and 0 trains"):
        learn(trains=[])
    with pytest.raises(ConfigError, match="is made of networks; got naive"):
        learn(Naive())


def test_members_of_one_form_are_told_from_others() -> None:
    form = describe_form(SPEC, BASE)
    for name in OWN:
        assert describe_form(SPEC, replace(BASE, **{**NEEDS.get(name, {}), name: CHANGES[name]})) == form
    assert describe_form(replace(SPEC, dropout=0.5), BASE) == form
    assert describe_form(replace(SPEC, hidden=(4,)), BASE) != form
    assert describe_form(SPEC, replace(BASE, batch_size=32)) != form
    assert describe_form(SPEC, replace(BASE, ema=0.9)) != form
