"""What a Temporal Fusion Transformer says it used: names, shares, and the variable that drives the target."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.simulate import signal_panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError
from tidewright.features.view import View, fit_static
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.interpret import Interpretation, interpret, name_variables
from tidewright.models.spec import Naive
from tidewright.models.specs.fusion import TFT
from tidewright.models.torch.explain import read_batch
from tidewright.models.torch.fitted import TorchFitted
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(horizon=4)


@cache
def make_world(driver: float = 3.0) -> tuple[Panel, Split, View]:
    panel = signal_panel(n_series=4, length=260, seed=3, driver=driver, noise=0.3, static=True)
    return panel, split_holdout(panel, TASK, validation=20, test=20), View(10, ("monthday",), fit_static(panel))


@cache
def learned() -> TorchFitted:
    panel, split, view = make_world()
    train = TrainSpec(epochs=4, steps=15, batch_size=64, learning_rate=5e-3)
    fitted = fit(TFT(hidden=16, heads=2), panel=panel, split=split, task=TASK, view=view, train=train)
    assert isinstance(fitted, TorchFitted)
    return fitted


def scored_windows() -> Windows:
    panel, split, view = make_world()
    assert split.test is not None
    return cut_windows(panel, view, horizon=TASK.horizon, cutoffs=split.test)


@cache
def result() -> Interpretation:
    return interpret(learned(), scored_windows(), roles=make_world()[0].roles)


def test_the_variable_that_drives_the_target_has_the_largest_weight() -> None:
    future = result().future
    assert future.names == ("driver", "monthday sine", "monthday cosine")
    assert future.largest == "driver"
    assert future.weights[0] > 0.5
    assert (future.by_step.argmax(axis=1) == 0).all()


def test_variables_have_the_names_of_their_columns() -> None:
    assert result().past.names == ("value", "value observed", "driver", "monthday sine", "monthday cosine")
    assert list(result().selections) == ["static", "past", "future"]
    assert result().selections["static"].names == ("level",)
    assert result().past.steps.tolist() == list(range(-9, 1))
    assert result().steps.tolist() == list(range(-9, 5))


def test_every_weight_is_a_share() -> None:
    found = result()
    for selection in found.selections.values():
        assert selection.by_step.shape == (len(selection.steps), len(selection.names))
        assert (selection.by_step >= 0).all()
        np.testing.assert_allclose(selection.by_step.sum(axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(selection.weights.sum(), 1.0, atol=1e-5)
    assert found.attention.shape == (4, 14)
    for shares in (*found.attention, found.by_time, found.by_lag):
        assert (shares >= 0).all()
        np.testing.assert_allclose(shares.sum(), 1.0, atol=1e-5)


def test_attention_by_lag_is_taken_along_the_diagonals() -> None:
    found = result()
    horizon, width = found.attention.shape
    for lag in range(width):
        cells = [found.attention[h, width - horizon + h - lag] for h in range(horizon) if width - horizon + h >= lag]
        assert found.by_lag[lag] == pytest.approx(sum(cells) / horizon, abs=1e-12)


def test_it_is_the_mean_of_what_the_network_used_of_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, fitted = scored_windows(), learned()
    batch = windows.batch()
    inputs = {name: torch.from_numpy(getattr(batch, name)) for name in fitted.shape.inputs}
    with torch.inference_mode():
        reading = read_batch(fitted.network, **inputs)
    monkeypatch.setattr("tidewright.models.interpret.CHUNK", 7)  # many chunks, the last one short
    found = interpret(fitted, windows, roles=make_world()[0].roles)
    assert found.count == len(windows)
    assert len(windows) % 7
    for ours, theirs in (
        (found.past.by_step, reading.past),
        (found.future.by_step, reading.future),
        (found.attention, reading.attention),
    ):
        np.testing.assert_allclose(ours, theirs.double().mean(0).numpy(), atol=1e-6)


def test_asking_what_it_used_leaves_the_model_as_it_was() -> None:
    before = {name: value.tobytes() for name, value in learned().tensors().items()}
    interpret(learned(), scored_windows(), roles=make_world()[0].roles)
    assert {name: value.tobytes() for name, value in learned().tensors().items()} == before


def test_a_model_without_covariates_says_which_times_it_used() -> None:
    panel = signal_panel(n_series=2, length=120, seed=1)
    split = split_holdout(panel, TASK, validation=10, test=10)
    view, train = View(8), TrainSpec(epochs=1, steps=2, batch_size=16)
    fitted = fit(TFT(hidden=8, heads=2), panel=panel, split=split, task=TASK, view=view, train=train)
    found = interpret(fitted, cut_windows(panel, view, horizon=4, cutoffs=split.validation), roles=panel.roles)
    assert list(found.selections) == ["past", "future"]
    assert found.past.names == ("value", "value observed")
    assert found.future.names == ("step",)
    assert found.static is None


def test_levels_of_a_text_column_are_variables() -> None:
    panel = small_panel()
    names = name_variables(panel.roles, View(5, ("hour",), fit_static(panel)))
    assert names == {
        "past": ("visits",),
        "known": ("price", "hour sine", "hour cosine"),
        "static": ("area", "kind=new", "kind=old"),
    }


def test_another_model_other_windows_and_other_roles_are_refused() -> None:
    panel, split, view = make_world()
    floor = fit(Naive(), panel=panel, split=split, task=TASK)
    with pytest.raises(ConfigError, match=r"naive does not say which variables and times it uses. Fit a tft."):
        interpret(floor, scored_windows(), roles=panel.roles)
    with pytest.raises(DataError, match=r"there is no window to interpret"):
        interpret(learned(), scored_windows().subset(np.array([], dtype=np.int64)), roles=panel.roles)
    other = cut_windows(panel, replace(view, lookback=6), horizon=4, cutoffs=split.validation)
    with pytest.raises(DataError, match=r"learned from windows of Shape\(lookback=10"):
        interpret(learned(), other, roles=panel.roles)
    with pytest.raises(DataError, match=r"the roles name {'past': 0, 'known': 2, 'static': 1}"):
        interpret(learned(), scored_windows(), roles=replace(panel.roles, known=()))
