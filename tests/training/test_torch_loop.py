"""The epoch loop: stopping, bits, options, and what happens when something goes wrong."""

from __future__ import annotations

import math
import time
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FitError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.spec import FeedForward
from tidewright.models.torch.fitted import TorchFitted
from tidewright.training.epoch import draw_batches, measure_loss
from tidewright.training.events import EpochEnded, Event, FitEnded, FitStarted
from tidewright.training.fit import fit
from tidewright.training.gather import open_source
from tidewright.training.losses import open_loss
from tidewright.training.spec import TrainSpec

TASK = Task(horizon=3)
VIEW = View(8)
SPEC = FeedForward(hidden=(16,), dropout=0.2)
BASE = TrainSpec(epochs=4, steps=5, batch_size=32, learning_rate=5e-3)


@cache
def make_panel(gaps: bool = True) -> Panel:
    rng = np.random.default_rng(1)
    parts = []
    for name in ("a", "b"):
        sold = 10 * np.sin(np.arange(120) / 3) + rng.normal(0, 1.0, 120)
        if gaps:
            sold[rng.random(120) < 0.05] = np.nan
        sold[[0, -1]] = 1.0
        parts.append(pl.DataFrame({"id": name, "t": np.arange(120), "y": sold}).fill_nan(None))
    return Panel.from_table(pl.concat(parts), series="id", time="t", target="y")


@cache
def make_split() -> Split:
    return split_holdout(make_panel(), TASK, validation=18, test=18)


def learn(train: TrainSpec = BASE, **parts: Any) -> TorchFitted:
    fitted = fit(SPEC, panel=make_panel(), split=make_split(), task=TASK, view=VIEW, train=train, **parts)
    assert isinstance(fitted, TorchFitted)
    return fitted


def bits(fitted: TorchFitted) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in fitted.tensors().items()}


@cache
def base_bits() -> dict[str, bytes]:
    return bits(learn())


CHANGES = {
    "learning_rate": 1e-3,
    "batch_size": 16,
    "epochs": 2,
    "steps": 3,
    "judged": 2,
    "weight_decay": 0.3,
    "optimizer": "sgd",
    "clip": 0.01,
    "loss": "mae",
    "seed": 5,
    "delta": 0.2,
    "components": 2,
    "unit": "target",
    "accumulate": 2,
    "ema": 0.9,
    "schedule": "cosine",
    "warmup": 0.5,
    "rate_end": 0.5,
    "rate_cut": 0.1,
    "rate_wait": 1,
    "cycles": 1,
}
PLATEAU = {"schedule": "plateau", "least_gain": 1.0}  # no epoch gains, so that the rate is cut
NEEDS: dict[str, dict[str, Any]] = {  # what must be chosen for an option to be heeded
    "delta": {"loss": "huber"},
    "components": {"loss": "mixture"},
    "rate_end": {"schedule": "cosine"},
    "rate_cut": PLATEAU,
    "rate_wait": PLATEAU,
    "cycles": {"schedule": "cyclic", "cycles": 2},
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_an_option_that_changes_is_seen(name: str) -> None:
    base = replace(BASE, **NEEDS.get(name, {}))
    other = learn(replace(base, **{name: CHANGES[name]}))
    if name in NEEDS:
        assert bits(other) != bits(learn(base))
    elif name == "judged":  # decides which epoch is the best, so the losses must differ, the weights may not
        assert other.history[0]["validation_loss"] != learn().history[0]["validation_loss"]
    else:
        assert bits(other) != base_bits()


def test_every_option_is_tested() -> None:
    stopping = {"patience", "least_gain", "least_epochs"}  # have their own tests below
    positions = {"cost_bps"}  # in test_positions.py: its loss is no forecast's
    memory = {"recompute"}  # in test_memory.py: it moves no bit
    assert {field.name for field in fields(TrainSpec)} == set(CHANGES) | stopping | positions | memory


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("loss", ["quantile", "mse", "mae", "huber"])
def test_every_optimizer_lowers_every_loss(optimizer: Any, loss: Any) -> None:
    train = TrainSpec(epochs=8, steps=20, batch_size=32, learning_rate=3e-3, optimizer=optimizer, loss=loss, patience=8)
    history = learn(train).history
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_the_optimizers_differ() -> None:
    seen = {tuple(bits(learn(replace(BASE, optimizer=o))).values()) for o in ("adam", "adamw", "sgd", "rmsprop")}  # type: ignore[arg-type]
    assert len(seen) == 4


def test_the_best_epoch_is_given_back() -> None:
    train = replace(BASE, epochs=25, learning_rate=0.05, clip=math.inf, patience=25, steps=3, seed=3)
    fitted = learn(train)
    losses = [record["validation_loss"] for record in fitted.history]
    assert losses.index(min(losses)) < len(losses) - 1  # the last one is not the best, or this shows nothing
    windows = cut_windows(make_panel(), VIEW, horizon=3, cutoffs=make_split().validation, least=1)
    source = open_source(windows)
    measure = open_loss("quantile", TASK.quantiles, complete=source.complete)
    assert measure_loss(fitted.network, source, measure=measure) == min(losses)


def test_patience_ends_it_and_the_history_says_so() -> None:
    fitted = learn(replace(BASE, epochs=40, patience=2, learning_rate=0.05))
    assert fitted.history[-1]["stopped"] == "patience"
    assert all(record["stopped"] == "" for record in fitted.history[:-1])
    assert len(fitted.history) < 40


def test_a_gain_that_is_too_small_counts_as_none() -> None:
    greedy = learn(replace(BASE, epochs=10, patience=2, least_gain=1.0))
    assert len(greedy.history) == 3  # the first epoch sets the mark, two more can't halve it to nothing


def test_patience_does_not_end_it_before_the_least_number_of_epochs() -> None:
    greedy = replace(BASE, epochs=10, patience=2, least_gain=1.0)
    history = learn(replace(greedy, least_epochs=6)).history
    assert [record["stopped"] for record in history] == ["", "", "", "", "", "patience"]
    with pytest.raises(ConfigError, match=r"train\.least_epochs is a number from 1 to train\.epochs; got 11"):
        replace(greedy, least_epochs=11)


def test_a_deadline_ends_it_after_an_epoch_and_the_history_says_so() -> None:
    fitted = learn(replace(BASE, epochs=50), deadline=time.monotonic() - 1.0)
    assert [record["stopped"] for record in fitted.history] == ["deadline"]


def test_epochs_and_the_end_are_told() -> None:
    heard: list[Event] = []
    fitted = learn(callbacks=[heard.append])
    started, *epochs, ended = heard
    assert isinstance(started, FitStarted)
    assert isinstance(ended, FitEnded)
    assert ended.reason == fitted.history[-1]["stopped"] == "epochs"
    assert [e.epoch for e in epochs if isinstance(e, EpochEnded)] == [1, 2, 3, 4]
    assert {e.key for e in (started, *epochs, ended)} == {started.key}  # type: ignore[union-attr]


def test_a_callback_that_raises_ends_it_with_its_own_error() -> None:
    heard = []

    def stop(event: Event) -> None:
        heard.append(event)
        if isinstance(event, EpochEnded) and event.epoch == 2:
            raise KeyboardInterrupt("enough")

    threads, draws = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt, match="enough"):
        learn(callbacks=[stop])
    assert len(heard) == 3
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), draws)


def test_torchs_own_generator_is_left_as_it_was() -> None:
    draws = torch.get_rng_state()
    learn()
    assert torch.equal(torch.get_rng_state(), draws)


def test_a_loss_that_explodes_is_an_error_with_advice() -> None:
    wild = replace(BASE, learning_rate=1e30, clip=math.inf, optimizer="sgd", loss="mse")
    with pytest.raises(FitError, match=r"no longer finite in epoch 1 .* at learning rate 1e\+30 .* Try a tenth"):
        learn(wild)


def test_batch_normalisation_of_single_windows_is_refused() -> None:
    spec = FeedForward(hidden=(4,), batch_norm=True)
    with pytest.raises(FitError, match=r"needs two windows a batch; got \d+ training windows and batch_size 1\."):
        fit(spec, panel=make_panel(), split=make_split(), task=TASK, view=VIEW, train=replace(BASE, batch_size=1))
    halved = replace(BASE, batch_size=3, accumulate=2)
    with pytest.raises(FitError, match=r"batch_size 3 in 2 parts\."):
        fit(spec, panel=make_panel(), split=make_split(), task=TASK, view=VIEW, train=halved)
    small = replace(BASE, batch_size=3, epochs=1, steps=10**6)
    fit(spec, panel=make_panel(), split=make_split(), task=TASK, view=VIEW, train=small)


def test_labels_that_are_missing_do_not_count() -> None:
    windows = cut_windows(make_panel(), VIEW, horizon=3, cutoffs=make_split().train)
    source = open_source(windows)
    assert not source.complete
    network = learn().network
    whole = measure_loss(network, source, measure=open_loss("quantile", TASK.quantiles, complete=False))
    labels, answers = windows.labels(), network
    with torch.inference_mode():
        inputs, _ = source.batch(torch.arange(len(source)))
        scores, mean, scale = answers.score(**inputs)
    z = (labels - mean.numpy()) / scale.numpy()
    seen = ~np.isnan(z)
    losses = [
        np.maximum(q * (z - scores[:, :, k].numpy()), (q - 1) * (z - scores[:, :, k].numpy()))[seen]
        for k, q in enumerate(TASK.quantiles)
    ]
    assert whole == pytest.approx(np.mean(losses), rel=1e-5)  # float32 sums against float64 ones


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_a_point_loss_gets_its_quantiles_from_training_residuals(loss: Any) -> None:
    fitted = learn(replace(BASE, loss=loss, epochs=10, patience=10))
    windows = cut_windows(make_panel(), VIEW, horizon=3, cutoffs=make_split().train)
    answer, labels = fitted.predict(windows), windows.labels()
    seen = ~np.isnan(labels)
    assert (labels <= answer[:, :, 0])[seen].mean() == pytest.approx(0.1, abs=0.02)
    assert (labels <= answer[:, :, 2])[seen].mean() == pytest.approx(0.9, abs=0.02)
    assert fitted.tensors()["head.spread"][:, 1].tolist() == [0.0] * 3


@pytest.mark.parametrize(("count", "sizes"), [(5, [5]), (32, [32]), (33, [17, 16]), (64, [32, 32]), (1000, [32] * 4)])
def test_batches_are_even_full_or_all_there_is(count: int, sizes: list[int]) -> None:
    train = TrainSpec(batch_size=32, steps=4)
    batches = draw_batches(count, train, shuffle=torch.Generator().manual_seed(0))
    assert [len(b) for b in batches] == sizes
    drawn = torch.cat(batches).tolist()
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(range(count))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("batch_size", 0),
        ("epochs", 0),
        ("steps", -1),
        ("patience", 0),
        ("judged", 0),
        ("clip", 0.0),
        ("weight_decay", -0.1),
        ("least_gain", 2.0),
        ("seed", -1),
        ("delta", 0.0),
        ("components", 1),
        ("components", 17),
        ("accumulate", 0),
        ("ema", 1.0),
        ("least_epochs", 0),
        ("warmup", 1.0),
        ("rate_end", 1.5),
        ("rate_cut", 1.0),
        ("rate_wait", 0),
        ("cost_bps", -1.0),
        ("cost_bps", 1001.0),
    ],
)
def test_an_option_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"train\.{name} is a number .*; got {value}"):
        TrainSpec(**{name: value})


@pytest.mark.parametrize("name", sorted(NEEDS))
def test_an_option_of_one_loss_or_schedule_is_refused_with_another(name: str) -> None:
    words = r"is for the (loss|schedule) .*; got it with (quantile|constant)\. Leave it out"
    with pytest.raises(ConfigError, match=rf"train\.{name} {words}"):
        TrainSpec(**{name: CHANGES[name]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("optimizer", "adamm", r"no train.optimizer is called 'adamm'. Did you mean 'adam'"),
        ("schedule", "cosin", r"no train.schedule is called 'cosin'. Did you mean 'cosine'"),
        ("loss", "l2", r"no train.loss is called 'l2'"),
        ("unit", "targets", r"no train.unit is called 'targets'. Did you mean 'target'"),
        ("recompute", 1, r"train.recompute is True or False; got 1"),
        ("epochs", 2.5, r"train.epochs is a whole number 1 or more; got 2.5"),
        ("epochs", True, r"train.epochs is a whole number 1 or more; got True"),
        ("learning_rate", "1e-3", r"train.learning_rate is a number above 0 and finite; got '1e-3'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSpec(**{option: value})


def test_a_sharpe_ratio_needs_a_run_of_cutoffs_and_its_cost_no_other_loss() -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size is a number of cutoffs, 8 or more, with sharpe; got 7"):
        TrainSpec(loss="sharpe", batch_size=7)
    with pytest.raises(ConfigError, match=r"train\.accumulate is a number 1 with sharpe, a ratio of its whole batch"):
        TrainSpec(loss="sharpe", accumulate=2)
    with pytest.raises(ConfigError, match=r"train\.cost_bps is for the loss sharpe; got it with quantile"):
        TrainSpec(cost_bps=1.0)
