"""Seeds and snapshots of one spec, as one model."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, FallbackWarning, FitError
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.spec import FeedForward
from tidewright.registry.bundle import save_bundle
from tidewright.training.events import EpochEnded, FitEnded
from tidewright.training.fit import fit
from tidewright.training.seeds import fit_seeds
from tidewright.training.snapshots import fit_snapshots
from tidewright.training.spec import TrainSpec

PANEL, TASK = small_panel(series=2, covariates=False), Task(3, (0.1, 0.5, 0.9))
SPLIT = split_holdout(PANEL, TASK)
SPEC = FeedForward(hidden=(8,))
TRAIN = TrainSpec(epochs=2, steps=5, batch_size=16, learning_rate=5e-3)
GIVEN = {"panel": PANEL, "split": SPLIT, "task": TASK, "view": View(12)}
WINDOWS = cut_windows(PANEL, View(12), horizon=3, cutoffs=SPLIT.validation)


def test_seeds_are_the_mean_of_what_each_learns_alone():
    fitted = fit_seeds(SPEC, seeds=3, train=replace(TRAIN, seed=4), **GIVEN)
    alone = [fit(SPEC, train=replace(TRAIN, seed=seed), **GIVEN).predict(WINDOWS) for seed in (4, 5, 6)]
    assert np.allclose(fitted.predict(WINDOWS), np.mean(alone, axis=0), rtol=1e-4)
    assert fitted.history[0] == {"seeds": [4, 5, 6], "way": "batched"}
    assert [record["stopped"] for record in fitted.history[1:4]] == ["epochs"] * 3


def test_networks_that_no_batched_step_teaches_learn_one_by_one():
    for train in (replace(TRAIN, ema=0.5), replace(TRAIN, accumulate=2)):
        fitted = fit_seeds(SPEC, seeds=[0, 9], train=train, **GIVEN)
        assert fitted.history[0] == {"seeds": [0, 9], "way": "one_by_one"}
        alone = [fit(SPEC, train=replace(train, seed=seed), **GIVEN).predict(WINDOWS) for seed in (0, 9)]
        assert np.allclose(fitted.predict(WINDOWS), np.mean(alone, axis=0), rtol=1e-9)


def test_trees_take_seeds_too_and_those_that_draw_nothing_are_told_apart():
    given = {**GIVEN, "view": View(30)}
    trees = build_spec("lightgbm", {"rounds": 3})
    assert len(fit_seeds(trees, seeds=2, **given).members) == 2
    settled = build_spec("lightgbm", {"rounds": 3, "row_share": 1.0, "feature_share": 1.0})
    with pytest.warns(FallbackWarning, match="seed 1 of lightgbm was left out .* the very same as an earlier one"):
        fitted = fit_seeds(settled, seeds=2, **given)
    assert len(fitted.members) == 1
    assert fitted.history[2]["left_out"] == "seed 1"
    with pytest.raises(ConfigError, match="naive draws nothing"):
        fit_seeds(build_spec("naive"), seeds=2, panel=PANEL, split=SPLIT, task=TASK)


@pytest.mark.parametrize("seeds", [0, 65, [1, 1]])
def test_seeds_that_are_none_too_many_or_the_same_are_refused(seeds):
    with pytest.raises(ConfigError, match="seeds are 1 to 64, each another number"):
        fit_seeds(SPEC, seeds=seeds, train=TRAIN, **GIVEN)


def test_a_seed_that_fails_is_left_out_and_named(monkeypatch):
    honest = fit

    def break_one(spec, *, train, **options):
        if train.seed == 1:
            raise FitError("the loss is no longer finite")
        return honest(spec, train=train, **options)

    monkeypatch.setattr("tidewright.training.seeds.fit", break_one)
    train = replace(TRAIN, ema=0.5)
    with pytest.warns(FallbackWarning, match="seed 1 of feedforward was left out of its ensemble: the loss is no"):
        fitted = fit_seeds(SPEC, seeds=3, train=train, **GIVEN)
    assert len(fitted.members) == 2
    assert fitted.history[2] == {"left_out": "seed 1", "reason": "the loss is no longer finite"}
    with pytest.raises(FitError, match="no longer finite"):
        fit_seeds(SPEC, seeds=3, train=train, strict=True, **GIVEN)
    with pytest.raises(FitError, match="no longer finite"):  # all of them
        fit_seeds(SPEC, seeds=[1], train=train, **GIVEN)


def test_seeds_can_be_weighed_on_validation():
    fitted = fit_seeds(SPEC, seeds=4, rule="greedy", metric="mae", train=TRAIN, **GIVEN)
    assert sum(part.weight for part in fitted.spec.members) == pytest.approx(1.0)
    assert fitted.history[-1]["mae"] > 0


def test_snapshots_are_the_weights_at_the_end_of_each_cycle():
    """The first is what a training of one cycle ends with; the mean of all is what the ensemble says."""
    train = replace(TRAIN, epochs=6)
    heard = []
    fitted = fit_snapshots(SPEC, cycles=3, train=train, callbacks=(heard.append,), **GIVEN)
    assert [len(fitted.members), fitted.history[0]["snapshots"]] == [3, 3]
    epochs = [record for record in fitted.history if "epoch" in record]
    assert len(epochs) == sum(isinstance(event, EpochEnded) for event in heard) == 6
    assert [round(r["learning_rate"] / 5e-3, 3) for r in epochs] == [0.655, 0.024] * 3  # of each epoch's last step
    assert isinstance(heard[-1], FitEnded)
    said = [member.predict(WINDOWS) for member in fitted.members]
    assert np.allclose(fitted.predict(WINDOWS), np.mean(said, axis=0), rtol=1e-12)
    assert not np.allclose(said[0], said[1], rtol=1e-3)
    short = fit(SPEC, train=replace(TRAIN, epochs=2, schedule="cyclic", cycles=1), **GIVEN)
    if short.history[1]["validation_loss"] < short.history[0]["validation_loss"]:  # its best epoch is its last
        assert np.array_equal(short.predict(WINDOWS), said[0])
    again = fit_snapshots(SPEC, cycles=3, train=train, **GIVEN)
    assert np.array_equal(again.predict(WINDOWS), fitted.predict(WINDOWS))


def test_a_snapshot_of_a_point_has_its_own_residual_quantiles_and_a_bundle(tmp_path):
    fitted = fit_snapshots(SPEC, cycles=2, train=replace(TRAIN, epochs=4, loss="mae"), rule="inverse", **GIVEN)
    spreads = [one.tensors()["head.spread"] for one in fitted.members]
    assert not np.array_equal(*spreads)
    save_bundle(fitted, panel=PANEL, folder=tmp_path / "it")


def test_cycles_that_fail_are_left_out_and_named(monkeypatch):
    def grow(train, history, *, steps):
        return [1e-3 if len(history) < 3 else math.inf] * steps

    monkeypatch.setattr("tidewright.training.epoch.plan_rates", grow)
    train = replace(TRAIN, epochs=6, clip=1e30)
    with pytest.warns(FallbackWarning, match=r"2 of 3 snapshots of feedforward was left out .* no longer finite"):
        fitted = fit_snapshots(SPEC, cycles=3, train=train, **GIVEN)
    assert len(fitted.members) == 1
    assert np.isfinite(fitted.predict(WINDOWS)).all()
    with pytest.raises(FitError, match="no longer finite"):
        fit_snapshots(SPEC, cycles=3, train=train, strict=True, **GIVEN)
    with pytest.raises(FitError, match="no longer finite"):
        fit_snapshots(SPEC, cycles=1, train=train, **GIVEN)


def test_a_deadline_before_the_first_cycle_ends_is_an_error():
    with pytest.raises(FitError, match=r"no cycle was done: the deadline ended it after 1 epochs. Give it more time"):
        fit_snapshots(SPEC, cycles=1, train=replace(TRAIN, epochs=400), deadline=0.0, **GIVEN)


@pytest.mark.parametrize(
    ("spec", "train", "cycles", "words"),
    [
        (SPEC, replace(TRAIN, epochs=5), 2, r"got train.epochs 5 for 2 cycles. Ask for 4 epochs"),
        (SPEC, replace(TRAIN, ema=0.9), 2, "without warmup and ema"),
        (SPEC, replace(TRAIN, schedule="cosine"), 2, "a cyclic schedule of their own"),
        (SPEC, TRAIN, 0, "cycles are 1 to 64; got 0"),
        (build_spec("lightgbm"), TRAIN, 2, "lightgbm has no training of many epochs"),
        (build_spec("lear"), TRAIN, 2, "lear has no training of many epochs"),
    ],
)
def test_cycles_that_make_no_sense_are_refused(spec, train, cycles, words):
    with pytest.raises(ConfigError, match=words):
        fit_snapshots(spec, cycles=cycles, train=train, **GIVEN)
