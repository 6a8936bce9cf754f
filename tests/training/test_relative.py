"""Covariates in units of the window, as networks and trees see them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.worlds import drifting_panel
from tidewright.data.splits import Cutoffs, split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows
from tidewright.inference.session import open_session
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.models.spec import LightGBM
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.network import LEAST_SPREAD, relate
from tidewright.models.tree_inputs import plan_inputs, step_features, window_features, window_units
from tidewright.models.trees import TreesFitted, trees_from_tensors
from tidewright.registry.bundle import save_bundle
from tidewright.training.ensemble import fit_ensemble
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(horizon=6)
OPTIONS = {"lightgbm": {"rounds": 60, "min_leaf": 10}, "lear": {"season": 12, "lags": (1, 2)}}
VIEWS = [View(48, ("hour",), relative=relative) for relative in (True, False)]


@cache
def learn(name: str, *, relative: bool) -> Fitted:
    panel = drifting_panel(rows=1200)
    split = split_holdout(panel, TASK, validation=150, test=150)
    train = TrainSpec(epochs=12, steps=30, learning_rate=3e-3, loss="mae")
    view = VIEWS[0] if relative else VIEWS[1]
    return fit(build_spec(name, OPTIONS[name]), panel=panel, split=split, task=TASK, view=view, train=train)


def newest(*, relative: bool = True) -> Windows:
    panel = drifting_panel(rows=1200)
    last = panel.span[1]
    view = VIEWS[0] if relative else VIEWS[1]
    return cut_windows(panel, view, horizon=6, cutoffs=Cutoffs(last - 156, last - 6), least=1)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_covariate_whose_level_drifts_is_of_use_beyond_the_levels_that_were_trained_on(name: str) -> None:
    errors = {}
    for relative in (True, False):
        windows = newest(relative=relative)
        point = learn(name, relative=relative).predict(windows)[:, :, 1]
        errors[relative] = np.abs(point - windows.labels()).mean()
    assert errors[True] < 0.8 * errors[False]


@pytest.mark.parametrize("name", OPTIONS)
def test_flags_and_the_calendar_stay_as_they_are(name: str) -> None:
    fitted = learn(name, relative=True)
    if isinstance(fitted, TreesFitted):
        assert (fitted.inputs.relative_past, fitted.inputs.relative_known) == ((0,), (0,))
    else:
        assert isinstance(fitted, TorchFitted)
        assert fitted.network.past_drifts.tolist() == [1.0]
        assert fitted.network.known_drifts.tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_bundle_answers_as_the_model_does(name: str, tmp_path: Path) -> None:
    panel = drifting_panel(rows=1200)
    fitted = learn(name, relative=True)
    session = open_session(save_bundle(fitted, panel=panel, folder=tmp_path / name))
    batch = newest().batch()
    inputs = {"target": batch.target, "past": batch.past, "known": batch.known}
    np.testing.assert_allclose(session.predict(inputs).quantiles, fitted.predict(newest()), rtol=1e-4, atol=1e-3)


def test_an_ensemble_of_both_answers_in_one_bundle(tmp_path: Path) -> None:
    panel = drifting_panel(rows=1200)
    split = split_holdout(panel, TASK, validation=150, test=150)
    both = [learn(name, relative=True) for name in OPTIONS]
    mixed = fit_ensemble(both, panel=panel, split=split, rule="mean")
    expected = (both[0].predict(newest()) + both[1].predict(newest())) / 2
    np.testing.assert_allclose(mixed.predict(newest()), expected)
    session = open_session(save_bundle(mixed, panel=panel, folder=tmp_path / "mixed"))
    batch = newest().batch()
    inputs = {"target": batch.target, "past": batch.past, "known": batch.known}
    np.testing.assert_allclose(session.predict(inputs).quantiles, expected, rtol=1e-4, atol=1e-3)


def test_a_network_sees_the_window_standardised_as_numpy_does() -> None:
    draw = np.random.default_rng(0)
    steps = draw.normal(3.0, 2.0, (5, 20, 3)).astype(np.float32)
    seen = (draw.random(steps.shape) > 0.2).astype(np.float32)
    steps *= seen
    steps[0, :, 0], seen[0, :, 0] = 7.0, 1.0  # does not move
    found = relate(torch.from_numpy(steps), torch.from_numpy(seen), lookback=14).numpy()
    past = np.where(seen > 0, steps, np.nan)[:, :14].astype(np.float64)
    mean, spread = np.nanmean(past, axis=1, keepdims=True), np.nanstd(past, axis=1, keepdims=True)
    np.testing.assert_allclose(found, (steps - mean) / np.maximum(spread, LEAST_SPREAD) * seen, atol=1e-5)


def test_trees_see_the_step_in_the_window_and_above_the_seasons_before() -> None:
    windows = newest()
    inputs = plan_inputs(LightGBM(), windows, season=12, relative=((0,), (0,)))
    index, steps = np.array([3, 3, 90]), np.array([1, 6, 2])
    units = window_units(windows)
    found = step_features(inputs, windows, units, index=index, steps=steps)
    shared = window_features(inputs, windows, units)
    batch = windows.batch(index)
    wind = batch.known[:, :, 0].astype(np.float64)
    mean, scale = np.nanmean(wind[:, :48], axis=1), np.nanstd(wind[:, :48], axis=1, ddof=1)
    names = [name for name in inputs.names if name not in inputs.names[: shared.shape[1]]]
    cell = np.arange(3)
    ahead = wind[cell, 47 + steps]
    np.testing.assert_allclose(found[:, names.index("known0_relative")], (ahead - mean) / scale, rtol=1e-5)
    for k in inputs.cycles:
        expected = (ahead - wind[cell, 47 + steps - 12 * k]) / scale
        np.testing.assert_allclose(found[:, names.index(f"known0_over_season{k}")], expected, rtol=1e-4)
    load = batch.past[:, :, 0].astype(np.float64)
    last = (load[:, -1] - np.nanmean(load, axis=1)) / np.nanstd(load, axis=1, ddof=1)
    np.testing.assert_allclose(shared[index, inputs.names.index("past0_relative")], last, rtol=1e-4)


@pytest.mark.parametrize("change", [{"relative_known": np.array([9])}, {"relative_past": None}])
def test_places_that_do_not_fit_the_view_are_refused(change: dict[str, np.ndarray | None]) -> None:
    fitted = learn("lightgbm", relative=True)
    tensors = {name: array for name, array in {**fitted.tensors(), **change}.items() if array is not None}
    with pytest.raises(BundleError, match=next(iter(change))):
        trees_from_tensors(tensors, spec=fitted.spec, task=TASK, view=fitted.view)  # type: ignore[arg-type]
    plain = replace(fitted.view, relative=False)
    with pytest.raises(BundleError, match="relative"):
        trees_from_tensors(fitted.tensors(), spec=fitted.spec, task=TASK, view=plain)  # type: ignore[arg-type]
