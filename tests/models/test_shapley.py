"""Shapley values of a forest against shap and against the sum over all coalitions."""

from __future__ import annotations

import warnings
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest

from tidewright.models.forest import Forest
from tidewright.models.shapley import shapley, turns


def draw_forest(seed: int, *, features: int = 5, trees: int = 6, depth: int = 4, sets: bool = True) -> Forest:
    """Random trees whose splits repeat features on a path; the last feature is a category where there are sets."""
    draw = np.random.default_rng(seed)
    arrays: dict[str, list[Any]] = {
        key: [] for key in ("feature", "threshold", "left", "right", "absent_left", "value", "sets")
    }
    roots = []

    def grow(level: int) -> int:
        node = len(arrays["feature"])
        leaf = level == depth or (level > 1 and draw.random() < 0.2)
        feature = -1 if leaf else int(draw.integers(features))
        arrays["feature"].append(feature)
        arrays["threshold"].append(0.0 if leaf else float(draw.normal()))
        arrays["absent_left"].append(bool(draw.random() < 0.5))
        arrays["value"].append(float(draw.normal()))
        arrays["sets"].append(int(draw.integers(3)) if sets and feature == features - 1 else -1)
        arrays["left"].append(0)
        arrays["right"].append(0)
        if not leaf:
            arrays["left"][node] = grow(level + 1)
            arrays["right"][node] = grow(level + 1)
        return node

    for _ in range(trees):
        roots.append(grow(0))
    kinds = {"threshold": np.float32, "absent_left": np.bool_, "value": np.float64}
    made = {key: np.array(values, dtype=kinds.get(key, np.int32)) for key, values in arrays.items()}
    if not sets:
        made.pop("sets")
    else:
        made["members"] = draw.integers(0, 256, (3, 1)).astype(np.uint8)
    outputs = np.array([tree % 2 for tree in range(trees)], dtype=np.int32)
    return Forest(**made, roots=np.array(roots, dtype=np.int32), outputs=outputs)


def draw_rows(seed: int, count: int, *, features: int = 5, sets: bool = True) -> np.ndarray:
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(count, features)).astype(np.float32)
    if sets:
        rows[:, -1] = draw.integers(-1, 10, count)
    rows[draw.random(rows.shape) < 0.15] = np.nan
    return rows


def by_coalitions(
    forest: Forest, rows: np.ndarray, background: np.ndarray, players: list[int], output: int
) -> np.ndarray:
    """The definition: the mean over coalitions of what a player adds."""
    count = max(players) + 1

    def worth(row: np.ndarray, inside: tuple[int, ...]) -> float:
        mixed = np.where(np.isin(players, inside), row, background)
        return float(forest.predict(mixed.astype(np.float32), width=2)[:, output].mean())

    out = np.zeros((len(rows), count))
    for place, row in enumerate(rows):
        for player in range(count):
            others = [one for one in range(count) if one != player]
            for size in range(count):
                share = factorial(size) * factorial(count - size - 1) / factorial(count)
                for inside in combinations(others, size):
                    out[place, player] += share * (worth(row, (*inside, player)) - worth(row, inside))
    return out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("players", [[0, 1, 2, 3, 4], [0, 1, 0, 2, 1]])
def test_values_are_the_mean_over_all_coalitions(seed: int, players: list[int]) -> None:
    forest = draw_forest(seed)
    rows, background = draw_rows(seed + 10, 3), draw_rows(seed + 20, 4)
    for output in (0, 1):
        ours = shapley(forest, rows, background=background, players=np.array(players), output=output)
        np.testing.assert_allclose(ours, by_coalitions(forest, rows, background, players, output), atol=1e-12)


def test_values_add_up_to_the_answer_less_the_mean_of_the_background() -> None:
    forest = draw_forest(7, features=12, trees=40, depth=7)
    rows, background = draw_rows(1, 50, features=12), draw_rows(2, 30, features=12)
    for output in (0, 1):
        ours = shapley(forest, rows, background=background, output=output).sum(axis=1)
        answers = forest.predict(rows, width=2)[:, output]
        np.testing.assert_allclose(ours, answers - forest.predict(background, width=2)[:, output].mean(), atol=1e-11)


def test_a_feature_that_no_split_names_has_no_part() -> None:
    forest = draw_forest(3, features=3, sets=False)
    ours = shapley(forest, draw_rows(1, 9, sets=False), background=draw_rows(2, 5, sets=False))
    assert (ours[:, 3:] == 0.0).all()
    assert (ours[:, :3] != 0.0).any()


def test_turns_lead_to_the_leaves_that_the_forest_sums() -> None:
    forest, rows = draw_forest(5), draw_rows(6, 40)
    went = turns(forest, rows)
    out = np.zeros((len(rows), 2))
    for row in range(len(rows)):
        for root, output in zip(forest.roots, forest.outputs, strict=True):
            node = int(root)
            while forest.feature[node] >= 0:
                node = int(forest.left[node] if went[row, node] else forest.right[node])
            out[row, output] += forest.value[node]
    np.testing.assert_array_equal(out, forest.predict(rows, width=2))


def test_values_are_those_of_shap_for_lightgbm() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from tidewright.training.read_lightgbm import read_lightgbm

    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(600, 6)).astype(np.float32)
    labels = inputs[:, 0] * inputs[:, 1] + np.abs(inputs[:, 2]) + 0.1 * draw.normal(size=600)
    options = {"num_leaves": 15, "verbosity": -1, "num_threads": 1, "seed": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(inputs, labels), num_boost_round=20)
    forest = read_lightgbm([booster.model_to_string()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, while it is imported
        shap = pytest.importorskip("shap")
        explainer = shap.TreeExplainer(booster, data=inputs[:40], feature_perturbation="interventional")
        theirs = explainer.shap_values(inputs[500:520], check_additivity=False)
    ours = shapley(forest, inputs[500:520], background=inputs[:40])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)  # shap computes in single precision
