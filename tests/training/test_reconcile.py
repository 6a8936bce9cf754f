"""Coherent forecasts: the projections of closed forms, means that add up, quantiles of one distribution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtri

import tidewright as tw
from tidewright.data.forecast import Forecast, tabulate
from tidewright.data.hierarchy import Hierarchy
from tidewright.errors import ConfigError, DataError
from tidewright.models.spec import Ridge
from tidewright.training.evaluate import Evaluation
from tidewright.training.reconcile import Method, Reconciler, fit_reconciler, mean_of

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
SIZE = 240


def make_world(*, season: int = 7, seed: int = 0) -> tuple[tw.Panel, Hierarchy]:
    """Six shops in two states: a smooth total, noisy shares."""
    rng = np.random.default_rng(seed)
    rows = np.arange(SIZE)
    base = 100 + 30 * np.sin(2 * np.pi * rows / season) + 5 * rng.standard_normal(SIZE)
    shares = np.abs(rng.dirichlet(np.full(6, 8.0), SIZE))
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 12, 31), eager=True)[:SIZE]
    parts = [
        pl.DataFrame({"shop": f"s{i}", "state": "CA" if i < 4 else "NV", "day": days, "sold": base * shares[:, i]})
        for i in range(6)
    ]
    panel = tw.Panel.from_table(pl.concat(parts), series="shop", time="day", target="sold", static=["state"])
    tree = tw.build_hierarchy(panel, levels=["state"])
    return tw.aggregate(panel, tree), tree


@pytest.fixture(scope="module")
def world() -> tuple[tw.Panel, Hierarchy, Evaluation, Evaluation, Forecast]:
    panel, tree = make_world()
    task = tw.Task(horizon=3, quantiles=LEVELS)
    split = tw.split_holdout(panel, task, validation=60, test=40)
    fitted = tw.fit(Ridge(), panel=panel, split=split, task=task)
    assert split.test is not None
    validation, test = (
        tw.evaluate(fitted, panel=panel, split=split, cutoffs=part) for part in (split.validation, split.test)
    )
    return panel, tree, validation, test, tw.forecast(fitted, panel)


def _points(forecast: Forecast, column: str, tree: Hierarchy) -> np.ndarray:
    order = {name: place for place, name in enumerate(tree.nodes)}
    table = forecast.table.with_columns(pl.col("shop").replace_strict(order).alias("node")).sort("node", "day")
    return table[column].to_numpy().reshape(len(tree.nodes), -1)


@pytest.mark.parametrize("method", ["ols", "structural", "variance", "bottom_up"])
def test_projections_are_those_of_the_closed_forms(world, method: Method):
    _, tree, validation, _, _ = world
    found = fit_reconciler(validation, tree, method=method)
    s = tree.summing
    errors = (validation.scored.point - validation.scored.actual).reshape(len(tree.nodes), -1)  # windows by series
    weights = {
        "ols": np.ones(len(s)),
        "structural": 1 / s.sum(axis=1),
        "variance": 1 / np.mean(errors**2, axis=1),
        "bottom_up": None,
    }[method]
    if weights is None:
        want = np.hstack([np.zeros((6, len(s) - 6)), np.eye(6)])
    else:
        want = np.linalg.solve(s.T @ (weights[:, None] * s), s.T * weights)
    np.testing.assert_allclose(found.projection, want, atol=1e-6)


@pytest.mark.parametrize("method", ["bottom_up", "ols", "structural", "variance", "mint", "erm"])
def test_means_add_up_and_quantiles_ascend(world, method: Method):
    _, tree, validation, _, forecast = world
    done = fit_reconciler(validation, tree, method=method).reconcile(forecast)
    means = _points(done, "mean", tree)
    np.testing.assert_allclose(means, tree.summing @ means[-6:], rtol=1e-10)
    cube = np.stack([_points(done, f"{level:g}", tree) for level in LEVELS])
    assert (np.diff(cube, axis=0) > 0).all()
    assert done.table.columns == [*forecast.table.columns, "mean"]


@pytest.mark.parametrize("method", ["ols", "structural", "variance", "mint"])
def test_what_adds_up_already_is_left_alone(world, method: Method):
    _, tree, validation, _, _ = world
    found = fit_reconciler(validation, tree, method=method)
    np.testing.assert_allclose(found.projection @ tree.summing, np.eye(6), atol=1e-8)


def test_a_projection_helps_where_the_total_is_forecast_better(world):
    _, tree, validation, test, _ = world
    base = test.scores["mase"]
    scores = {
        method: fit_reconciler(validation, tree, method=method).apply(test).scores for method in ("bottom_up", "mint")
    }
    assert scores["mint"]["mase"] < base * 1.001
    assert abs(scores["mint"]["coverage"] - 0.8) < 0.1


def _tree_of_two() -> Hierarchy:
    return Hierarchy(((),), ("total", "a", "b"), ("a", "b"), np.array([[0, 0]]))


def _gaussian(sds: list[float]) -> np.ndarray:
    return 10.0 + np.array(sds)[:, None, None] * ndtri(np.array(LEVELS))[None, None, :]


@pytest.mark.parametrize(("correlation", "want"), [(0.0, 5.0), (1.0, 7.0), (-1.0, 1.0)])
def test_the_spread_of_a_sum_follows_how_its_parts_err_together(correlation: float, want: float):
    rng = np.random.default_rng(0)
    first, other = rng.standard_normal((2, 4000))
    second = correlation * first + np.sqrt(1 - correlation**2) * other
    ranks = np.argsort(np.argsort(np.column_stack([first, first, second]), axis=0), axis=0)
    projection = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    means, quantiles = Reconciler(_tree_of_two(), "bottom_up", projection, ranks).join(
        _gaussian([9.0, 3.0, 4.0]), levels=LEVELS
    )
    np.testing.assert_allclose(means[:, 0], [20.0, 10.0, 10.0], atol=1e-9)
    spread = (quantiles[:, 0, -1] - quantiles[:, 0, 0]) / (2 * ndtri(0.9))
    np.testing.assert_allclose(spread, [want, 3.0, 4.0], rtol=0.06)


def test_erm_mends_a_bias_that_others_keep(world):
    _, tree, validation, test, _ = world
    off = [
        replace(one, forecast=one.forecast * 0.5, scored=replace(one.scored, forecast=one.forecast * 0.5))
        for one in (validation, test)
    ]
    erm, mint = (fit_reconciler(off[0], tree, method=method).apply(off[1]).scores for method in ("erm", "mint"))
    assert erm["rmse"] < 0.5 * mint["rmse"]


def test_series_lifted_to_zero_still_add_up():
    ranks = np.argsort(np.argsort(np.random.default_rng(0).standard_normal((500, 3)), axis=0), axis=0)
    projection = np.array([[0.5, 0.5, -0.5], [0.5, -0.5, 0.5]])
    made = Reconciler(_tree_of_two(), "ols", projection, ranks, nonnegative=True)
    values = _gaussian([1.0, 1.0, 1.0]) + np.array([0.0, 30.0, -20.0])[:, None, None]
    means, quantiles = made.join(values, levels=LEVELS)
    assert quantiles.min() >= 0.0
    np.testing.assert_allclose(means[0], means[1] + means[2])


def test_one_level_alone_counts_as_the_mean():
    ranks = np.zeros((10, 3), dtype=np.int64)
    made = Reconciler(_tree_of_two(), "bottom_up", np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), ranks)
    means, quantiles = made.join(np.array([[[9.0]], [[1.0]], [[2.0]]]), levels=(0.5,))
    np.testing.assert_array_equal(quantiles[:, 0, 0], [3.0, 1.0, 2.0])
    np.testing.assert_array_equal(means[:, 0], [3.0, 1.0, 2.0])


def test_the_mean_of_a_skewed_distribution_is_above_its_median():
    quantiles = np.exp(ndtri(np.linspace(0.01, 0.99, 99)))[None, None]
    found = mean_of(quantiles, levels=tuple(np.linspace(0.01, 0.99, 99)))
    np.testing.assert_allclose(found, np.exp(0.5), rtol=0.02)


def test_a_forecast_that_lacks_a_node_is_answered_in_words(world):
    panel, tree, validation, _, forecast = world
    found = fit_reconciler(validation, tree)
    with pytest.raises(DataError, match=r"'s0' has no forecast from 2024-.*leave out series that end early"):
        found.reconcile(replace(forecast, table=forecast.table.filter(pl.col("shop") != "s0")))
    other = tabulate(panel.select(["s0"]), np.ones((1, 3, 5)), rows=panel.select(["s0"]).ends, levels=LEVELS, model="x")
    renamed = replace(other, table=other.table.with_columns(pl.lit("s9").alias("shop")))
    with pytest.raises(DataError, match="'s9' is no node of the hierarchy"):
        found.reconcile(renamed)
    with pytest.raises(ConfigError, match=r"no method of reconciliation is called 'mnt'. Did you mean 'mint'"):
        fit_reconciler(validation, tree, method="mnt")  # type: ignore[arg-type]
