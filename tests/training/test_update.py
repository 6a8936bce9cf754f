"""A model after newer rows: it goes on from what it knows, and is never the worse for it on validation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tidewright.data.simulate import signal_panel
from tidewright.errors import ConfigError
from tidewright.features.windows import make_windows
from tidewright.models.fitted import Fitted
from tidewright.models.spec import FeedForward, LightGBM, Ridge
from tidewright.models.specs.lear import Lear
from tidewright.training.conformal import conformalise
from tidewright.training.update import ADDING, update

TASK = tw.Task(horizon=3)
LESSON = tw.TrainSpec(epochs=3, steps=20, batch_size=32)


def make_old_and_new() -> tuple[tw.Panel, tw.Panel]:
    """A world whose season doubles in size and turns around after row 240, as it was then and as it is now."""
    panel = signal_panel(n_series=3, length=400, seed=3, noise=0.1)
    rows = np.arange(400)
    season = np.sqrt(2.0) * np.sin(2.0 * np.pi * rows / 7)
    turned = panel.target.reshape(3, 400) - np.where(rows >= 240, 3.0, 0.0) * season
    table = panel.table.with_columns(pl.Series("value", turned.reshape(-1)))
    new = tw.Panel.from_table(table, series="series", time="time", target="value")
    return new.until(int(new.positions[239])), new


OLD, NEW = make_old_and_new()
THEN, NOW = (tw.split_holdout(panel, TASK, validation=30, test=30) for panel in (OLD, NEW))


def judge(fitted: Fitted) -> float:
    assert NOW.test is not None
    panel = NEW
    return tw.evaluate(fitted, panel=panel, split=NOW, cutoffs=NOW.test).scores["mae"]


@pytest.fixture(scope="module")
def network() -> Fitted:
    return tw.fit(FeedForward(hidden=(32,)), panel=OLD, split=THEN, task=TASK, train=LESSON)


def test_a_network_goes_on_from_its_weights_and_learns_what_is_new(network: Fitted) -> None:
    learned = update(network, panel=NEW, split=NOW, train=replace(LESSON, epochs=8))
    losses = [record["validation_loss"] for record in learned.history]
    assert min(losses) < learned.history[0]["loss_before"]
    assert judge(learned) < 0.7 * judge(network)
    assert learned.spec == network.spec
    assert learned.view == network.view


def test_a_network_that_no_epoch_betters_is_left_as_it_was(network: Fitted) -> None:
    spoiled = replace(LESSON, learning_rate=10.0, clip=np.inf, epochs=2)
    same = update(network, panel=NEW, split=NOW, train=spoiled)
    for name, array in network.tensors().items():
        np.testing.assert_array_equal(same.tensors()[name], array)
    assert all(record["validation_loss"] > same.history[0]["loss_before"] for record in same.history)


def test_equal_updates_give_equal_bits(network: Fitted) -> None:
    first, second = (update(network, panel=NEW, split=NOW, train=LESSON) for _ in range(2))
    for name, array in first.tensors().items():
        np.testing.assert_array_equal(second.tensors()[name], array)


@pytest.mark.parametrize("spec", [Ridge(), Lear(), LightGBM(rounds=30)])
def test_other_models_keep_their_choices_and_learn_the_newer_rows(spec: Ridge | Lear | LightGBM) -> None:
    old = tw.fit(spec, panel=OLD, split=THEN, task=TASK)
    new = update(old, panel=NEW, split=NOW)
    assert new.spec == old.spec
    assert judge(new) != judge(old)
    assert ("updated" in new.history[0]) == (spec.name != "lightgbm")


ADDED = [("lightgbm", s) for s in ("step", "direct", "recursive")]
ADDED += [("xgboost", "step"), ("xgboost", "direct"), ("catboost", "direct"), ("catboost", "recursive")]


@pytest.mark.parametrize(("library", "strategy"), ADDED)
def test_boosted_trees_add_trees_to_their_own(library: str, strategy: str) -> None:
    loss = "mean" if library == "catboost" else "quantile"
    spec = tw.build_spec(library, {"rounds": 30, "strategy": strategy, "loss": loss})
    old = tw.fit(spec, panel=OLD, split=THEN, task=TASK)
    new = update(old, panel=NEW, split=NOW)
    first, second = (one.tensors() for one in (old, new))
    name = next(name for name in first if name.endswith("value"))
    assert len(second[name]) > len(first[name])
    np.testing.assert_array_equal(second[name][: len(first[name])], first[name])
    assert judge(new) < judge(old)
    assert not any("updated" in record for record in new.history)


@pytest.mark.parametrize("options", [{}, {"strategy": "multi", "loss": "mean"}])
def test_catboost_of_several_outputs_is_learned_anew_and_says_so(options: dict[str, str]) -> None:
    old = tw.fit(tw.build_spec("catboost", {"rounds": 10, **options}), panel=OLD, split=THEN, task=TASK)
    new = update(old, panel=NEW, split=NOW)
    assert new.history[0]["updated"] == "learned anew, with the choices that it had made"


@pytest.mark.parametrize("library", ADDING)
def test_boosted_trees_add_nothing_that_does_not_better_validation(library: str) -> None:
    old = tw.fit(
        tw.build_spec(library, {"rounds": 100, "learning_rate": 0.4, "loss": "median"}),
        panel=OLD,
        split=THEN,
        task=TASK,
    )
    same = update(old, panel=OLD, split=THEN, train=tw.TrainSpec(least_gain=0.5))
    windows = make_windows(OLD, old.view, horizon=3, rows=None)
    np.testing.assert_array_equal(same.predict(windows), old.predict(windows))


def test_an_ensemble_updates_its_members_and_keeps_its_weights(network: Fitted) -> None:
    ridge = tw.fit(Ridge(), panel=OLD, split=THEN, task=TASK)
    both = tw.fit_ensemble([network, ridge], panel=OLD, split=THEN, rule="mean")
    new = update(both, panel=NEW, split=NOW, train=LESSON)
    assert new.spec == both.spec
    assert judge(new) < judge(both)


def test_a_conformal_model_is_calibrated_anew(network: Fitted) -> None:
    wrapped = conformalise(network, panel=OLD, split=THEN)
    new = update(wrapped, panel=NEW, split=NOW, train=LESSON)
    offsets = [one.tensors()["conformal.cqr.width"] for one in (wrapped, new)]
    assert not np.array_equal(*offsets)


def test_a_loss_that_the_head_does_not_give_is_answered_in_words(network: Fitted) -> None:
    with pytest.raises(ConfigError, match=r"give a quantile, which the loss mse does not\. Take one of: quantile"):
        update(network, panel=NEW, split=NOW, train=replace(LESSON, loss="mse"))


def test_new_series_are_forecast_without_a_refit_and_without_rows_for_the_future(network: Fitted) -> None:
    table = NEW.table.filter(pl.col("series") == "s0").with_columns(pl.lit("new shop").alias("series"))
    stranger = tw.Panel.from_table(table, series="series", time="time", target="value")
    made = tw.forecast(network, stranger)
    last = stranger.table["time"].max()
    assert made.table["series"].unique().to_list() == ["new shop"]
    assert len(made.table) == 3
    assert made.table["time"].min() > last
