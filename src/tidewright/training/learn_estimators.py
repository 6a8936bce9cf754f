"""Estimators learned by scikit-learn and LightGBM, and given back as arrays.

S series, F features. The same seed gives the same arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.models.forest import Forest
from tidewright.models.formula import Formula
from tidewright.models.machine import Machine
from tidewright.models.specs.estimators import BoostingEstimator, EstimatorSpec, ForestEstimator, VectorEstimator
from tidewright.optional import require
from tidewright.training.from_sklearn import read_trees
from tidewright.training.learn_svr import fit_machine
from tidewright.training.read_lightgbm import read_lightgbm

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Notes = tuple[Mapping[str, Any], ...]


def learn_estimator(spec: EstimatorSpec, inputs: Singles, goal: Doubles, *, seed: int) -> tuple[Formula, Notes]:
    """The formula of one output for features [S, F] and a target [S], and what was left out."""
    if isinstance(spec, ForestEstimator):
        return _learn_forest(spec, inputs, goal, seed=seed), ()
    if isinstance(spec, BoostingEstimator):
        return _learn_boosting(spec, inputs, goal, seed=seed), ()
    return _learn_machine(spec, inputs, goal, seed=seed)


def _learn_forest(spec: ForestEstimator, inputs: Singles, goal: Doubles, *, seed: int) -> Forest:
    ensemble = require("sklearn.ensemble", extra="forests", purpose="the estimator random_forest")
    model = ensemble.RandomForestRegressor(
        n_estimators=spec.trees,
        min_samples_leaf=spec.min_leaf,
        max_features=spec.feature_share,
        random_state=seed,
        n_jobs=1,
    )
    model.fit(inputs, goal)
    return read_trees(model.estimators_)


def _learn_boosting(spec: BoostingEstimator, inputs: Singles, goal: Doubles, *, seed: int) -> Forest:
    lightgbm = require("lightgbm", extra="trees", purpose="the estimator gradient_boosting")
    options = {
        "objective": "regression",
        "learning_rate": spec.learning_rate,
        "num_leaves": spec.leaves,
        "min_data_in_leaf": spec.min_leaf,
        "feature_fraction": spec.feature_share,
        "bagging_fraction": spec.row_share,
        "bagging_freq": 1,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(inputs, goal, params=dict(options))
    booster = lightgbm.train(dict(options), data, num_boost_round=spec.rounds)
    return read_lightgbm([booster.model_to_string()])


def _learn_machine(spec: VectorEstimator, inputs: Singles, goal: Doubles, *, seed: int) -> tuple[Machine, Notes]:
    notes: Notes = ()
    if len(goal) > spec.most_rows:
        chosen = np.sort(np.random.default_rng(seed).choice(len(goal), spec.most_rows, replace=False))
        notes = ({"rows": spec.most_rows, "of": len(goal), "reason": "most_rows"},)
        inputs, goal = inputs[chosen], goal[chosen]
    return fit_machine(
        inputs, goal, cost=spec.cost, tube=spec.tube, width=spec.width, purpose="the estimator svr"
    ), notes
