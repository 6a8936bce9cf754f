"""A forest by itself: it answers as LightGBM does, and two of them add up."""

import lightgbm
import numpy as np
import pytest

from tidewright.models.forest import Forest, Tree, add_forests, join_trees, round_down
from tidewright.training.read_lightgbm import read_lightgbm


def boosters(*, absent: float) -> tuple[list[lightgbm.Booster], np.ndarray]:
    """Two boosters whose last feature was never missing in training, and inputs in which every feature is."""
    draw = np.random.default_rng(1)
    inputs = draw.normal(size=(2000, 5)).astype(np.float32)
    inputs[:, :4][draw.random((2000, 4)) < absent] = np.nan
    labels = np.nansum(inputs, axis=1) + draw.normal(size=2000)
    options = {"objective": "quantile", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}
    made = [lightgbm.train({**options, "alpha": a}, lightgbm.Dataset(inputs, labels), 25) for a in (0.1, 0.5)]
    asked = draw.normal(size=(2000, 5)).astype(np.float32)
    asked[draw.random(asked.shape) < 0.2] = np.nan
    return made, asked


def forest_of(models: list[lightgbm.Booster]) -> Forest:
    return read_lightgbm([model.model_to_string() for model in models])


@pytest.mark.parametrize("absent", [0.0, 0.3])
def test_a_forest_answers_as_lightgbm_does_missing_values_included(absent):
    models, asked = boosters(absent=absent)
    expected = np.column_stack([model.predict(asked) for model in models])
    np.testing.assert_allclose(forest_of(models).predict(asked, width=2), expected, rtol=0, atol=1e-12)


def test_the_float32_on_either_side_of_a_threshold_take_the_branches_of_lightgbm():
    models, _ = boosters(absent=0.3)
    dump = [text.split("\n")[0].split() for text in models[0].model_to_string().split("\nthreshold=")[1:]]
    exact = np.array([float(value) for line in dump for value in line])
    near = round_down(exact)
    assert (near.astype(np.float64) < exact).any()
    beside = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    asked = np.repeat(beside[:, None], 5, axis=1)
    expected = np.column_stack([model.predict(asked) for model in models])
    np.testing.assert_allclose(forest_of(models).predict(asked, width=2), expected, rtol=0, atol=1e-12)


def test_a_threshold_that_no_float32_reaches_is_the_largest_of_them():
    assert round_down(np.array([1e300]))[0] == np.finfo(np.float32).max
    assert round_down(np.array([0.5]))[0] == 0.5


def test_a_model_without_a_split_answers_its_constant():
    data = lightgbm.Dataset(np.arange(10.0)[:, None], np.arange(10.0))
    model = lightgbm.train({"objective": "quantile", "alpha": 0.5, "verbosity": -1, "min_data_in_leaf": 99}, data, 3)
    asked = np.zeros((2, 1), dtype=np.float32)
    np.testing.assert_array_equal(forest_of([model]).predict(asked, width=1)[:, 0], model.predict(asked))


@pytest.mark.parametrize("levels", [(0, 0), (5, 0), (0, 40), (5, 40)])
def test_the_sums_of_two_forests_are_those_of_both(levels: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    forests = [_random_forest(rng, levels=count) for count in levels]
    rows = rng.integers(0, 40, (200, 2)).astype(np.float32)
    both = add_forests(*forests).predict(rows, width=2)
    np.testing.assert_allclose(both, sum(one.predict(rows, width=2) for one in forests))


def _random_forest(rng: np.random.Generator, *, levels: int) -> Forest:
    """Three trees of one split, of a number or a level."""
    sets = np.array([0, -1, -1], dtype=np.int32) if levels else None
    trees = [
        Tree(
            feature=np.array([0, -1, -1], dtype=np.int32),
            threshold=np.array([0.0 if levels else 20.0, 0.0, 0.0], dtype=np.float32),
            left=np.array([1, 1, 2], dtype=np.int32),
            right=np.array([2, 1, 2], dtype=np.int32),
            absent_left=np.zeros(3, dtype=np.bool_),
            value=np.array([0.0, *rng.normal(size=2)]),
            sets=sets,
            choices=rng.random((1, levels)) < 0.5 if levels else None,
        )
        for _ in range(3)
    ]
    return join_trees(trees, [0, 1, 0])
