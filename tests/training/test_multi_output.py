"""One model whose leaves hold the whole horizon: that its rows are windows, and that it learns."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, FitError
from tidewright.features.view import View
from tidewright.features.windows import Windows, cut_windows
from tidewright.models.abreast import Abreast
from tidewright.models.build import build_spec
from tidewright.models.specs.tabular import Tabular
from tidewright.models.tree_inputs import plan_inputs
from tidewright.models.trees import TreesFitted, trees_from_tensors
from tidewright.training.cells import make_rows
from tidewright.training.fit_trees import fit_trees

TASK = Task(6)
VIEW = View(40)
SPECS: dict[str, dict[str, Any]] = {
    "random_forest": {"trees": 30, "min_leaf": 5},
    "extra_trees": {"trees": 30, "min_leaf": 5},
    "catboost": {"rounds": 60, "learning_rate": 0.15, "loss": "mean"},
}


@cache
def panel(kept: int = 1) -> Panel:
    """Two series that swing with a period of 17 and follow a known driver; one value in `kept` is there."""
    draw, rows, parts = np.random.default_rng(0), 500, []
    for number in range(2):
        driver = draw.normal(size=rows)
        swing = np.sin(2 * np.pi * np.arange(rows) / 17 + number)
        y = 30.0 * (number + 1) + 5.0 * swing + 3.0 * driver + 0.3 * draw.normal(size=rows)
        y[np.arange(rows) % kept != 0] = np.nan
        held = {"id": f"s{number}", "t": np.arange(rows), "y": y, "driver": driver, "worth": 1.0 + (driver > 0)}
        parts.append(pl.DataFrame(held).with_columns(pl.col("y").fill_nan(None)))
    return Panel.from_table(pl.concat(parts), series="id", time="t", target="y", known=["driver", "worth"])


def split() -> Split:
    return split_holdout(panel(), TASK, validation=100, test=60)


def spec(name: str, **changes: Any) -> Any:
    return build_spec(name, {"strategy": "multi", **SPECS[name], **changes})


def learn(name: str, *, kept: int = 1, **changes: Any) -> TreesFitted:
    given: dict[str, Any] = {"panel": panel(kept), "split": split(), "task": TASK, "view": VIEW}
    return fit_trees(spec(name, **changes), **given, season=17, threads=1)


@cache
def learned(name: str) -> TreesFitted:
    return learn(name)


def scored() -> Windows:
    test = split().test
    assert test is not None
    return cut_windows(panel(), VIEW, horizon=6, cutoffs=test)


@pytest.mark.parametrize("name", SPECS)
def test_it_learns_each_steps_swing_and_driver_and_covers_what_it_says(name: str) -> None:
    windows = scored()
    answer, labels = learned(name).predict(windows), windows.labels()
    error = np.sqrt(np.nanmean((answer[:, :, 1] - labels) ** 2, axis=0))
    scale = np.nanstd(labels - np.nanmean(windows.history(), axis=1)[:, None])
    assert (error < 0.75 * scale).all()
    seen = ~np.isnan(labels)
    covered = ((labels >= answer[:, :, 0]) & (labels <= answer[:, :, 2]))[seen].mean()
    assert 0.6 < covered < 0.97


@pytest.mark.parametrize("name", SPECS)
def test_there_is_one_formula_and_every_step_sees_the_features_of_all(name: str) -> None:
    fitted = learned(name)
    assert isinstance(fitted.formula, Abreast)
    inputs = fitted.inputs
    own = len(inputs.names) - inputs.shared
    places = fitted.formula.tensors()["feature"]
    driver = inputs.names.index("known0")
    assert all((places == driver + step * own).any() for step in range(6))


def rows(given: Panel | None = None, **changes: Any) -> Any:
    given, asked = given or panel(), spec("random_forest", **changes)
    windows = cut_windows(given, VIEW, horizon=6, cutoffs=split().train, least=17)
    inputs = plan_inputs(asked, windows, season=17)
    return make_rows(asked, inputs, panel=given, windows=windows, most=asked.most_rows, seed=0), windows


def test_a_row_is_a_window_and_one_with_a_missing_label_is_left_out() -> None:
    whole, windows = rows()
    assert whole.labels.shape == (len(windows), 6)
    assert whole.weights is None
    y = panel().table["y"].to_numpy().copy()
    y[200] = np.nan
    holed, _ = rows(replace(panel(), table=panel().table.with_columns(pl.Series("y", y).fill_nan(None))))
    assert len(holed.labels) == len(whole.labels) - 6
    assert not np.isnan(holed.labels).any()
    few, _ = rows(most_rows=50)
    assert len(few.labels) == 50


def test_a_window_weighs_as_its_steps_do_on_average() -> None:
    cells, windows = rows(weight="worth")
    worth = panel().table["worth"].to_numpy()
    mean = np.array([worth[row + 1 : row + 7].mean() for row in windows.rows])
    np.testing.assert_allclose(cells.weights, mean / mean.mean(), rtol=1e-5)
    by_size, _ = rows(weigh="target")
    assert by_size.weights is not None
    assert np.ptp(by_size.weights) > 0


def test_a_leaf_of_a_forest_holds_the_mean_or_the_median_of_each_step() -> None:
    given = {"trees": 1, "min_leaf": 10_000}  # one leaf
    for loss, of in (("mean", np.mean), ("median", np.median), ("quantile", np.median)):
        fitted = learn("extra_trees", **given, loss=loss)
        assert isinstance(fitted.formula, Abreast)
        value = fitted.formula.tensors()["value"]
        np.testing.assert_allclose(value[0], of(rows()[0].labels, axis=0), rtol=1e-4, atol=1e-5)  # type: ignore[operator]


def test_the_residuals_of_each_step_make_its_quantiles() -> None:
    offsets = learned("random_forest").offsets
    assert offsets is not None
    assert (np.sign(offsets) == [-1, 0, 1]).all()
    assert len(np.unique(offsets[:, 2])) == 6


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigError, match="catboost learns a whole horizon with the loss mean; got quantile"):
        spec("catboost", loss="quantile")
    with pytest.raises(ConfigError, match="monotone holds one step"):
        spec("catboost", monotone={"driver": 1})
    for name in ("lightgbm", "xgboost", "svr", "elastic_net"):
        with pytest.raises(ConfigError, match="Take random_forest, extra_trees, catboost"):
            build_spec(name, {"strategy": "multi"})
    with pytest.raises(FitError, match="has a label at each of its 6 steps"):
        learn("extra_trees", kept=2)


@pytest.mark.parametrize("name", SPECS)
def test_a_horizon_of_one_step_is_a_horizon_too(name: str) -> None:
    task = Task(1)
    parts = split_holdout(panel(), task, validation=100, test=60)
    fitted = fit_trees(spec(name), panel=panel(), split=parts, task=task, view=VIEW, season=17, threads=1)
    windows = replace(scored(), horizon=1)
    answer = fitted.predict(windows)
    assert np.nanmean(np.abs(answer[:, :, 1] - windows.labels())) < 2.0
    again = trees_from_tensors(fitted.tensors(), spec=fitted.spec, task=task, view=VIEW)
    assert again.predict(windows).tobytes() == answer.tobytes()


def test_tensors_of_another_horizon_are_refused() -> None:
    fitted = learned("extra_trees")
    shorter = {**fitted.tensors(), "offsets": fitted.offsets[:5]}  # type: ignore[index]
    assert isinstance(fitted.spec, Tabular)
    with pytest.raises(BundleError, match="Train the model anew"):
        trees_from_tensors(shorter, spec=fitted.spec, task=Task(5), view=VIEW)
