"""The ONNX graph of trees against the eager model."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest

from tests.worlds import drifting_panel, small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.features.separate import to_windows
from tidewright.features.view import View
from tidewright.features.windows import Batch, Windows, cut_windows
from tidewright.models.spec import LightGBM
from tidewright.models.tree_inputs import window_units
from tidewright.models.trees import TreesFitted
from tidewright.registry.onnx_trees import to_onnx
from tidewright.training.fit import usual_view
from tidewright.training.fit_trees import fit_trees

TASKS = {
    "full": Task(horizon=5),
    "relative": Task(horizon=30),
    "plain": Task(horizon=30, quantiles=(0.05, 0.25, 0.5, 0.95)),
    "one": Task(1, (0.5,)),
    "season": Task(horizon=30),
    "level": Task(horizon=5),
    "before": Task(horizon=30),
    "align": Task(horizon=30),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "season": {"unit": "season", "loss": "median", "statistics": ("max", "std")},
    "level": {"unit": "level", "loss": "mean", "weigh": "target"},
    "before": {"unit": "growth", "loss": "median", "ratios": (1, 5, 24), "around": (-20, 0, 3)},
    "align": {"unit": "growth", "loss": "median", "around": (-20, 0, 3), "align": "price"},
}


@cache
def panel(kind: str) -> Panel:
    if kind == "relative":
        return drifting_panel(rows=1300)
    found = small_panel(rows=400, covariates=kind in ("full", "level", "before", "align"))
    if kind != "align":
        return found
    shift = np.random.default_rng(0).choice([0.0, 0.0, 1 / 7, -2.5, 1.0, 60.0, np.nan], len(found.target))
    return replace(found, table=found.table.with_columns(pl.Series("price", shift, nan_to_null=True)))


@cache
def fitted(kind: str) -> TreesFitted:
    task = TASKS[kind]
    split = split_holdout(panel(kind), task)
    views = {"full": usual_view(panel(kind), split=split, task=task), "one": View(8)}
    view = views.get(kind, View(48, ("hour",) if kind == "relative" else (), relative=kind == "relative"))
    spec = LightGBM(rounds=40, min_leaf=5, **OPTIONS.get(kind, {}))
    return fit_trees(spec, panel=panel(kind), split=split, task=task, view=view, season=1 if kind == "one" else None)


@cache
def session(kind: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(to_onnx(fitted(kind)).SerializeToString(), options)


def windows(kind: str) -> Windows:
    task = TASKS[kind]
    cutoffs = split_holdout(panel(kind), task).train
    return cut_windows(panel(kind), fitted(kind).view, horizon=task.horizon, cutoffs=cutoffs, least=1)


def answer(kind: str, batch: Batch) -> np.ndarray:
    names = [value.name for value in session(kind).get_inputs()]
    return np.asarray(session(kind).run(None, {name: getattr(batch, name) for name in names})[0])


def assert_equal(kind: str, given: Windows) -> None:
    """Equal to 1e-6 of each window's scale, or to float32's rounding of the answer itself: every branch is the same."""
    eager = fitted(kind).predict(given)
    scale = window_units(given)[1][:, None, None]
    apart = np.abs(answer(kind, given.batch()) - eager)
    np.testing.assert_array_less(apart, 1e-6 * scale + 1e-7 * np.abs(eager))


@pytest.mark.parametrize("kind", TASKS)
def test_every_answer_of_the_graph_is_that_of_the_eager_model(kind):
    assert len(windows(kind)) > 800
    assert_equal(kind, windows(kind))


@pytest.mark.parametrize("kind", TASKS)
def test_missing_values_anywhere_take_the_branches_of_the_eager_model(kind):
    draw = np.random.default_rng(0)
    given = windows(kind).batch(np.arange(300))

    def pierce(values: np.ndarray) -> np.ndarray:
        return np.where(draw.random(values.shape) < 0.4, np.float32(np.nan), values)

    target = pierce(given.target)
    target[:, 0] = given.target[:, 0]
    target[np.isnan(target).all(axis=1), 0] = 1.0
    holes = Batch(target, pierce(given.past), pierce(given.known), pierce(given.static))
    assert_equal(kind, to_windows(holes, horizon=TASKS[kind].horizon))


@pytest.mark.parametrize("value", [0.0, 3.7, -1234.5, 1e30])
def test_constant_windows_are_answered_alike(value):
    given = windows("full").batch(np.arange(3))
    flat = replace(given, target=np.full_like(given.target, value))
    assert_equal("full", to_windows(flat, horizon=5))


@pytest.mark.parametrize(("times", "plus"), [(1e8, 0.0), (1e-6, 0.0), (-1.0, 0.0), (1.0, 1e6)])
def test_windows_of_other_sizes_are_answered_alike(times, plus):
    given = windows("full").batch(np.arange(0, 1100, 5))
    other = replace(given, target=given.target * np.float32(times) + np.float32(plus))
    assert_equal("full", to_windows(other, horizon=5))


def test_a_window_without_any_value_gets_no_answer():
    given = windows("plain").batch(np.arange(2))
    empty = replace(given, target=np.full_like(given.target, np.nan))
    assert np.isnan(answer("plain", empty)).all()


def test_one_window_gets_the_answer_that_it_gets_among_many():
    many = answer("full", windows("full").batch(np.arange(50)))
    for place in (0, 49):
        alone = answer("full", windows("full").batch(np.array([place])))
        np.testing.assert_array_equal(alone[0], many[place])


@pytest.mark.parametrize("kind", TASKS)
def test_the_graph_takes_only_what_the_model_sees(kind):
    names = [value.name for value in session(kind).get_inputs()]
    every = ["target", "past", "known", "static"]
    wanted = {"full": every, "level": every[:3], "relative": every[:3], "before": every[:3], "align": every[:3]}
    assert names == wanted.get(kind, ["target"])
    shapes = {value.name: value.shape for value in session(kind).get_inputs()}
    assert shapes["target"] == ["N", fitted(kind).view.lookback]
    assert session(kind).get_outputs()[0].shape == ["N", TASKS[kind].horizon, len(TASKS[kind].quantiles)]


def test_quantiles_of_the_graph_ascend():
    assert (np.diff(answer("plain", windows("plain").batch()), axis=2) >= 0).all()


def test_a_changed_tree_changes_the_answer():
    model = fitted("one")
    other = replace(model, formula=replace(model.formula, value=model.formula.value + 0.01))
    raw = onnxruntime.InferenceSession(to_onnx(other).SerializeToString())
    batch = windows("one").batch(np.arange(20))
    assert not np.allclose(raw.run(None, {"target": batch.target})[0], answer("one", batch))
