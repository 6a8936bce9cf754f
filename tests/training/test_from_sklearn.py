"""Arrays read from scikit-learn answer as scikit-learn does."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.svm import SVR

from tidewright.errors import BundleError, ConfigError
from tidewright.models.forest import forest_from_tensors
from tidewright.models.machine import machine_from_tensors
from tidewright.training.from_sklearn import read_machine, read_trees


def draw(*, gaps: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(300, 5)).astype(np.float32)
    goal = inputs[:, 0] * np.maximum(inputs[:, 1], 0) + 0.1 * rng.normal(size=300)
    if gaps:
        inputs[rng.random(inputs.shape) < 0.2] = np.nan
    return inputs, goal


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesRegressor])
def test_a_forest_answers_as_scikit_learn_does(kind, gaps) -> None:  # type: ignore[no-untyped-def]
    inputs, goal = draw(gaps=gaps)
    model = kind(n_estimators=20, min_samples_leaf=3, random_state=0).fit(inputs, goal)
    forest = read_trees(model.estimators_)
    np.testing.assert_allclose(forest.predict(inputs, width=1)[:, 0], model.predict(inputs), rtol=1e-12, atol=1e-12)
    again = forest_from_tensors(forest.tensors(), n_features=5, width=1)
    assert again.predict(inputs, width=1).tobytes() == forest.predict(inputs, width=1).tobytes()


def test_every_output_has_its_own_answers_on_the_same_leaves() -> None:
    inputs, goal = draw()
    model = RandomForestRegressor(n_estimators=7, min_samples_leaf=3, random_state=0).fit(inputs, goal)
    means = [tree.tree_.value[:, 0, :] for tree in model.estimators_]
    forest = read_trees(model.estimators_, [np.hstack([mean, mean + 1.0, 2.0 * mean]) for mean in means])
    made, wanted = forest.predict(inputs, width=3), model.predict(inputs)
    np.testing.assert_allclose(made, np.column_stack([wanted, wanted + 1.0, 2.0 * wanted]), rtol=1e-12, atol=1e-12)
    forest_from_tensors(forest.tensors(), n_features=5, width=3)


def test_a_machine_answers_as_scikit_learn_does_in_any_units() -> None:
    inputs, goal = draw()
    centre, scale = inputs.mean(axis=0, dtype=np.float64), inputs.std(axis=0, dtype=np.float64)
    model = SVR(gamma=0.3, C=2.0).fit((inputs - centre) / scale, goal)
    machine = read_machine(model, centre=centre, scale=scale, level=5.0, spread=3.0)
    wanted = 5.0 + 3.0 * model.predict((inputs - centre) / scale)
    made = machine.predict(inputs, width=1)
    np.testing.assert_allclose(made[:, 0], wanted, rtol=1e-10)
    again = machine_from_tensors(machine.tensors(), n_features=5, width=1)
    assert again.predict(inputs[7:8], width=1).tobytes() == made[7:8].tobytes()
    absent, centred = inputs[:1].copy(), inputs[:1].copy()
    absent[0, 2], centred[0, 2] = np.nan, centre[2]
    assert machine.predict(absent, width=1)[0, 0] == pytest.approx(machine.predict(centred, width=1)[0, 0], rel=1e-6)
    with pytest.raises(ConfigError, match="a machine reads float32 values; got float64"):
        machine.predict(inputs.astype(np.float64), width=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vectors", np.zeros((3, 4))),
        ("weights", np.zeros((2, 1))),
        ("bias", np.zeros(1, np.float32)),
        ("scale", np.zeros(5)),
        ("gamma", np.array([np.nan])),
    ],
)
def test_arrays_that_are_no_machine_are_refused(name: str, value: np.ndarray) -> None:
    model = SVR(gamma=0.2).fit(*draw())
    machine = read_machine(model, centre=np.zeros(5), scale=np.ones(5), level=0.0, spread=1.0)
    with pytest.raises(BundleError, match="the machine's"):
        machine_from_tensors({**machine.tensors(), name: value}, n_features=5, width=1)
