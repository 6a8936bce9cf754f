"""A population: every member as `fit` would teach it alone, whatever the others do."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.populations import (
    BASE,
    SPEC,
    TASK,
    TRAINS,
    alone,
    assert_equal,
    base,
    learn,
    learn_alone,
    make_panel,
    make_split,
)
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.spec import LSTM, MODELS, FeedForward, Naive, spec_key
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.grouped import find_obstacle
from tidewright.models.torch.network import build
from tidewright.models.torch.shape import Shape
from tidewright.runtime import Choice, detect_runtime
from tidewright.training.events import EpochEnded, Event, FitEnded, FitStarted
from tidewright.training.fit import fit, usual_view
from tidewright.training.population import explain_obstacle

SMALL: dict[str, dict[str, Any]] = {  # options that make a network quick; an N-BEATS of usual size doubles rounding
    "resmlp": {"width": 16, "blocks": 1},
    "tsmixer": {"layers": 1, "width": 8},
    "tide": {"width": 16},
    "nbeats": {"stacks": ("trend", "generic"), "width": 16, "blocks": 1, "layers": 2},
    "nhits": {"width": 16},
    "tcn": {"num_channels": (4, 6, 6), "kernel_size": 3, "head": (8,)},
    "transformer_encoder": {"d_model": 8, "nhead": 2, "layers": 1, "dim_feedforward": 8},
    "adaptive_transformer": {"d_model": 8, "nhead": 2, "layers": 1, "dim_feedforward": 8},
}
BATCHED = ("feedforward", "dlinear", "nlinear", "rlinear", *SMALL)


@pytest.mark.parametrize("name", BATCHED)
def test_members_end_as_one_by_one(name: str) -> None:
    spec = build_spec(name, SMALL.get(name))
    panel = make_panel(spec.takes)
    view = replace(usual_view(panel, split=make_split(), task=TASK, takes=spec.takes), lookback=12)
    population = learn(spec, panel=panel, view=view)
    assert population.way.used == "batched"
    for member, train in zip(population.members, TRAINS, strict=True):
        assert_equal(member, learn_alone(train, spec, panel=panel, view=view))


def test_every_network_that_can_be_batched_is_tested() -> None:
    shape = Shape(lookback=24, horizon=2, past=1, known=1, static=1, quantiles=(0.1, 0.5, 0.9))
    found = {}
    for name, entry in MODELS.items():
        if entry.kind == "torch":
            spec = build_spec(name)
            own = shape if spec.takes else replace(shape, past=0, known=0, static=0)
            found[name] = find_obstacle(build(spec, own))
    assert {name for name, obstacle in found.items() if not obstacle} == set(BATCHED)


def test_batch_normalisation_takes_the_members_own_rows() -> None:
    spec = FeedForward(hidden=(8,), batch_norm=True)
    trains = [replace(train, optimizer="sgd") for train in TRAINS]  # adam makes steps out of a gradient of rounding
    for member, train in zip(learn(spec, trains).members, trains, strict=True):
        assert_equal(member, learn_alone(train, spec))


def test_a_member_alone_is_that_among_others_in_any_order() -> None:
    turned = learn(trains=TRAINS[::-1]).members[::-1]
    for place, train in enumerate(TRAINS):
        (only,) = learn(trains=[train]).members
        assert isinstance(only, TorchFitted)
        assert_equal(base().members[place], only, close=1e-5)
        assert_equal(turned[place], only, close=1e-5)


def test_every_weight_of_every_member_moves() -> None:
    for member, train in zip(learn(trains=TRAINS).fitted, TRAINS, strict=True):
        torch.manual_seed(train.seed)
        first = build(SPEC, member.shape).state_dict()
        for name, tensor in member.tensors().items():
            if name.startswith("core."):
                assert (tensor != first[name].numpy()).any(), name


def test_errors_in_the_targets_unit_are_those_of_fit() -> None:
    trains = [replace(train, loss="mse", unit="target", epochs=2) for train in TRAINS[:2]]
    for found, train in zip(learn(trains=trains).fitted, trains, strict=True):
        assert_equal(found, learn_alone(train))


def test_a_member_whose_loss_explodes_fails_alone() -> None:
    wild = replace(BASE, learning_rate=1e10)
    population = learn(trains=[TRAINS[0], wild, TRAINS[2]])
    error = population.members[1]
    assert isinstance(error, FitError)
    with pytest.raises(FitError, match=r"no longer finite in epoch 1 .* at learning rate 1e\+10"):
        raise error
    assert len(population.fitted) == 2
    for place in (0, 2):
        assert_equal(population.members[place], alone(place))
    with pytest.raises(FitError) as caught:
        learn_alone(wild)
    assert str(caught.value).split("(")[0] == str(error).split("(")[0]


def test_members_stop_one_by_one_and_give_their_best_weights() -> None:
    eager = replace(BASE, epochs=12, learning_rate=0.05, patience=2, clip=1e9)
    trains = [eager, replace(eager, seed=3, patience=1), replace(eager, seed=4, epochs=5, patience=12)]
    population = learn(trains=trains)
    lengths = [len(member.history) for member in population.fitted]
    assert len(set(lengths)) == 3  # or nobody left before another
    for member, train in zip(population.members, trains, strict=True):
        assert_equal(member, learn_alone(train), close=2e-2)  # far more steps, at a high rate
    losses = [record["validation_loss"] for record in population.fitted[0].history]
    assert losses.index(min(losses)) < len(losses) - 1  # the last is not the best, or this shows nothing


def test_members_in_another_precision_learn_one_by_one_and_the_record_says_so() -> None:
    reduced = replace(detect_runtime("cpu"), precision=Choice("bfloat16", "bfloat16", "asked for"))
    population = learn(trains=[BASE], runtime=reduced)
    assert population.way.used == "one_by_one"
    assert population.way.reason == "a batched step is in float32, and not compiled"
    assert population.fitted[0].history[0]["precision"] == "bfloat16"


def test_a_network_without_a_batched_form_learns_one_by_one_and_the_record_says_so() -> None:
    spec, trains = LSTM(hidden=4, head=()), [replace(train, epochs=1, steps=2) for train in TRAINS]
    wild = replace(trains[0], learning_rate=1e30, optimizer="sgd", clip=1e9)
    population = learn(spec, [trains[0], trains[1], replace(wild, optimizer="adamw")])
    assert (population.way.requested, population.way.used) == ("auto", "one_by_one")
    assert population.way.reason == "LSTM has no batched form"
    assert isinstance(population.members[2], FitError)
    assert population.fitted[1].tensors().keys() == learn_alone(trains[1], spec).tensors().keys()
    np.testing.assert_array_equal(
        population.fitted[1].tensors()["core.answer.weight"],
        learn_alone(trains[1], spec).tensors()["core.answer.weight"],
    )
    with pytest.raises(ConfigError, match="lstm can't be batched: LSTM has no batched form"):
        learn(spec, trains, way="batched")


def test_the_way_that_was_asked_for_is_taken() -> None:
    population = learn(trains=[replace(BASE, ema=0.9)], way="one_by_one")
    assert (population.way.used, population.way.reason) == ("one_by_one", "asked for")
    assert learn(trains=[BASE], way="batched").way.reason == "asked for"
    with pytest.raises(ConfigError, match="way is one of auto, batched, one_by_one; got 'fast'"):
        learn(way="fast")


@pytest.mark.parametrize("way", ["batched", "one_by_one"])
def test_a_deadline_ends_all_after_an_epoch(way: Any) -> None:
    population = learn(way=way, deadline=time.monotonic() - 1.0)
    assert [[record["stopped"] for record in member.history] for member in population.fitted] == [["deadline"]] * 3


def test_each_member_tells_its_start_its_epochs_and_its_end() -> None:
    heard: list[Event] = []
    learn(callbacks=[heard.append])
    keys = [event.key for event in heard if isinstance(event, FitStarted)]
    assert len(set(keys)) == 3
    for key in keys:
        assert [e.epoch for e in heard if isinstance(e, EpochEnded) and e.key == key] == [1, 2, 3]
        assert [e.reason for e in heard if isinstance(e, FitEnded) and e.key == key] == ["epochs"]


@pytest.mark.parametrize("way", ["batched", "one_by_one"])
def test_each_member_has_a_listener_of_its_own(way: Any) -> None:
    heard: list[list[Event]] = [[] for _ in TRAINS]
    learn(way=way, heard=[own.append for own in heard])
    for own, train in zip(heard, TRAINS, strict=True):
        assert [type(event) for event in own] == [FitStarted, *[EpochEnded] * 3, FitEnded]
        assert {event.key for event in own} == {spec_key(SPEC, train, View(8))}  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="heard are one a member; got 1 for 3 members"):
        learn(heard=[heard[0].append])


@pytest.mark.parametrize("log", [None, 0.5])
@pytest.mark.parametrize("loss", ["quantile", "mse"])
def test_fit_gives_a_member_back_from_its_checkpoint_without_learning(tmp_path: Path, loss: Any, log: Any) -> None:
    trains = [replace(train, loss=loss) for train in TRAINS]
    files = [tmp_path / f"{place}.safetensors" for place in range(3)]
    population = learn(
        trains=trains, view=View(8, log=log), checkpoints=files, hopeless=lambda place: "no" * (place == 1)
    )
    assert [file.exists() for file in files] == [True, False, True]  # what was given up is not kept
    heard: list[Event] = []
    for place in (0, 2):
        again = fit(
            SPEC, train=trains[place], view=View(8, log=log), checkpoint=files[place], callbacks=[heard.append],
            panel=make_panel(), split=make_split(), task=TASK,
        )  # fmt: skip
        assert not any(isinstance(event, EpochEnded) for event in heard)
        member = population.members[place]
        assert not isinstance(member, FitError)
        assert again.history == tuple(json.loads(json.dumps(member.history)))
        for name, tensor in again.tensors().items():
            np.testing.assert_array_equal(tensor, member.tensors()[name])


def test_what_keeps_a_network_from_a_batch_is_said() -> None:
    asked: dict[str, Any] = {"panel": make_panel(), "split": make_split(), "task": TASK, "view": View(8)}
    assert explain_obstacle(SPEC, **asked) == ""
    assert explain_obstacle(LSTM(), **asked) == "LSTM has no batched form"
    assert explain_obstacle(Naive(), **asked) == "naive is no network"
    reduced = replace(detect_runtime("cpu"), precision=Choice("bfloat16", "bfloat16", "asked for"))
    assert explain_obstacle(SPEC, runtime=reduced, **asked) == "a batched step is in float32, and not compiled"


def test_a_gpu_multiplies_in_float32_while_members_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def multiply(kind: str, *, device: str) -> Any:
        asked.append((kind, device))
        return nullcontext()

    monkeypatch.setattr("tidewright.training.population.multiply_in", multiply)
    learn(trains=[replace(BASE, epochs=1)])
    assert asked == [("ieee", "cpu")]


def test_torchs_own_generator_is_left_as_it_was() -> None:
    draws = torch.get_rng_state()
    learn()
    assert torch.equal(torch.get_rng_state(), draws)


def test_a_member_predicts_as_the_one_that_learned_alone() -> None:
    windows = cut_windows(make_panel(), View(8), horizon=3, cutoffs=make_split().validation, least=1)
    for place, member in enumerate(base().fitted):
        np.testing.assert_allclose(member.predict(windows), alone(place).predict(windows), rtol=1e-4)
