"""A model a step, and a model of one step that is fed itself: that they are what they say, and learn."""

import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.by_step import ByStep
from tidewright.models.spec import LightGBM
from tidewright.models.trees import TreesFitted, trees_from_tensors
from tidewright.registry import onnx_rollout
from tidewright.registry.export import to_onnx
from tidewright.registry.parity import open_graph, run_graph
from tidewright.training.explain_trees import explain_trees
from tidewright.training.fit_trees import fit_trees

TASK = Task(12)
VIEW = View(40)
STRATEGIES = ("step", "direct", "recursive")


@cache
def panel() -> Panel:
    """Two series that swing with a period of 17 and follow a known driver, with little noise."""
    draw, rows, parts = np.random.default_rng(0), 500, []
    for number in range(2):
        driver = draw.normal(size=rows)
        swing = np.sin(2 * np.pi * np.arange(rows) / 17 + number)
        y = 30.0 * (number + 1) + 5.0 * swing + 2.0 * driver + 0.3 * draw.normal(size=rows)
        parts.append(pl.DataFrame({"id": f"s{number}", "t": np.arange(rows), "y": y, "driver": driver}))
    return Panel.from_table(pl.concat(parts), series="id", time="t", target="y", known=["driver"])


@cache
def split() -> Split:
    return split_holdout(panel(), TASK, validation=100, test=60)


def learn(strategy: str, **changes: Any) -> TreesFitted:
    options = {"rounds": 60, "learning_rate": 0.15, "min_leaf": 10, **changes}
    given: dict[str, Any] = {"panel": panel(), "split": split(), "task": TASK, "view": VIEW, "season": 1, "threads": 1}
    deadline = options.pop("deadline", None)
    return fit_trees(LightGBM(strategy=strategy, **options), **given, deadline=deadline)  # type: ignore[arg-type]


@cache
def learned(strategy: str) -> TreesFitted:
    return learn(strategy)


def scored() -> Windows:
    test = split().test
    assert test is not None
    return cut_windows(panel(), VIEW, horizon=12, cutoffs=test)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_learns_the_swing_and_the_driver_and_covers_what_it_says(strategy: str) -> None:
    windows = scored()
    answer, labels = learned(strategy).predict(windows), windows.labels()
    scale = np.nanstd(labels - np.nanmean(windows.history(), axis=1)[:, None])
    error = np.sqrt(np.nanmean((answer[:, :, 1] - labels) ** 2, axis=0))
    assert (error < 0.45 * scale).all()
    seen = ~np.isnan(labels)
    covered = ((labels >= answer[:, :, 0]) & (labels <= answer[:, :, 2]))[seen].mean()
    assert 0.6 < covered < 0.97


def test_a_direct_model_has_a_formula_a_step_each_of_its_own_cells() -> None:
    fitted = learned("direct")
    assert isinstance(fitted.formula, ByStep)
    assert len(fitted.formula.formulas) == 12
    assert {record["step"] for record in fitted.history} == set(range(1, 13))
    step = fitted.inputs.names.index("step")
    assert not any((one.feature == step).any() for one in fitted.formula.formulas)  # it is the same in all its cells
    first, second = (one.tensors()["value"].tobytes() for one in fitted.formula.formulas[:2])
    assert first != second


def test_a_recursive_model_sees_its_own_points_as_if_they_had_been() -> None:
    fitted, windows = learned("recursive"), scored().subset(np.array([0, 5]))
    points = fitted.predict(windows)[:, :, 1]
    for row, path in zip(windows.rows, points, strict=True):
        y = windows.y.copy()
        y[row + 1 : row + 12] = path[:-1]
        later = replace(windows, y=y, rows=np.array([row + 11]), series=windows.series[windows.rows == row][:1])
        np.testing.assert_allclose(fitted.predict(replace(later, horizon=12))[0, 0, 1], path[-1], rtol=1e-12)


def test_the_quantiles_of_a_recursive_model_widen_as_errors_add_up() -> None:
    offsets = learned("recursive").offsets
    assert offsets is not None
    assert (offsets[:, 1] == 0.0).all()
    width = offsets[:, 2] - offsets[:, 0]
    assert width[-4:].mean() > width[0]


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
def test_it_is_rebuilt_from_tensors_and_its_graph_answers_alike(strategy: str) -> None:
    fitted, windows = learned(strategy), scored()
    again = trees_from_tensors(fitted.tensors(), spec=fitted.spec, task=TASK, view=VIEW)
    assert again.predict(windows).tobytes() == fitted.predict(windows).tobytes()
    answer = run_graph(open_graph(to_onnx(fitted).SerializeToString()), windows.batch())
    np.testing.assert_allclose(answer, fitted.predict(windows), rtol=1e-6)


def test_tensors_of_too_few_steps_are_refused() -> None:
    fitted = learned("direct")
    fewer = {name: array for name, array in fitted.tensors().items() if not name.startswith("step12.")}
    with pytest.raises(BundleError, match="Train the model anew"):
        trees_from_tensors(fewer, spec=fitted.spec, task=TASK, view=VIEW)


def test_a_graph_that_would_be_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_rollout, "MOST", 1000)
    with pytest.raises(BundleError, match=r"once a step: .* numbers over 12 steps, and 1,000 are allowed"):
        to_onnx(learned("recursive"))


def test_what_a_recursive_model_says_is_not_taken_apart() -> None:
    with pytest.raises(ConfigError, match="fed its own answers, which have no parts"):
        explain_trees(learned("recursive"), panel=panel(), split=split())


def test_a_deadline_that_is_over_leaves_every_step_a_round() -> None:
    fitted = learn("direct", deadline=time.monotonic() - 1.0)
    assert [record["rounds"] for record in fitted.history if "rounds" in record] == [1] * 36
    assert np.isfinite(fitted.predict(scored())).all()
