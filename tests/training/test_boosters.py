"""Each library's trees, read into a Forest, against the library's own answers: missing values, categories, borders."""

import json
import time
from dataclasses import fields, replace
from functools import cache
from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost

from tidewright.errors import ConfigError
from tidewright.models.specs.tabular import Tabular
from tidewright.models.specs.trees import CatBoost, LightGBM, XGBoost
from tidewright.training import learn_catboost, learn_lightgbm, learn_xgboost
from tidewright.training.cells import LEARNERS, Cells, Goal, Learned, Learning, load_learner

SPECS: dict[str, Any] = {
    "lightgbm": LightGBM(rounds=40, leaves=12, min_leaf=5, categories="native"),
    "xgboost": XGBoost(rounds=40, depth=4, min_leaf=5, categories="native"),
    "catboost": CatBoost(rounds=40, depth=5),
}
GOALS = {
    "quantiles": (Goal("quantile", 0.1), Goal("quantile", 0.5), Goal("quantile", 0.9)),
    "median": (Goal("quantile", 0.5),),
    "mean": (Goal("mean"),),
}
LEVELS = {2: 81, 5: 3}
PLACES = [0, 1, 3, 4, 2, 5]  # CatBoost is given the numbers first
every_library = pytest.mark.parametrize("library", SPECS)


def draw_features(*, count: int, seed: int, absent: float = 0.1, unseen: bool = False) -> np.ndarray:
    """Numbers and the numbers of levels; level 7 of the first and 2 of the second stand only where `unseen`."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(count, 6)).astype(np.float32)
    for place, levels in LEVELS.items():
        own = draw.integers(0, levels, count)
        features[:, place] = own if unseen else np.where(np.isin(own, (7, 2)), 0, own)
    features[:, 4] = np.round(features[:, 4])
    features[:, :4][draw.random((count, 4)) < absent] = np.nan  # the last two are never missing in training
    return features


def make_cells(*, count: int, seed: int, absent: float = 0.1) -> Cells:
    features = draw_features(count=count, seed=seed, absent=absent)
    draw = np.random.default_rng(seed + 1)
    effect = 2.0 * np.sin(np.nan_to_num(features[:, 2], nan=-3.0)) + features[:, 5]
    labels = np.nansum(features[:, [0, 1, 3, 4]], axis=1) + effect + 0.3 * draw.normal(size=count)
    steps = np.ones(count, dtype=np.int64)
    return Cells(features, labels.astype(np.float32), None, steps, LEVELS)


def learning(**changes: Any) -> Learning:
    tell = lambda number, learned, judged: {"round": number}  # noqa: E731
    return Learning(**{"seed": 0, "threads": 1, "least_gain": 0.0, "deadline": None, "tell": tell, **changes})


def ask_library(library: str, models: list[Any], features: np.ndarray) -> np.ndarray:
    """The library's own answers [C, Q]."""
    if library == "lightgbm":
        return np.column_stack([model.predict(features) for model in models])
    if library == "xgboost":
        kinds = ["c" if place in LEVELS else "q" for place in range(6)]
        data = xgboost.DMatrix(features, feature_types=kinds, enable_categorical=True)
        return np.column_stack([model.predict(data) for model in models])
    cells = Cells(features, features[:, 0] * 0, None, np.ones(len(features), dtype=np.int64), LEVELS)
    answer = models[0].predict(learn_catboost._make_pool(catboost, cells))
    return answer.reshape(len(features), -1)


@cache
def learned(library: str, goal: str, absent: float = 0.1) -> tuple[Learned, list[Any]]:
    """What our learner gives, and the library's models that it was read from."""
    caught: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        if library == "lightgbm":
            read = learn_lightgbm.read_lightgbm
            patch.setattr(
                learn_lightgbm,
                "read_lightgbm",
                lambda texts, **more: (
                    caught.extend(lightgbm.Booster(model_str=text) for text in texts) or read(texts, **more)
                ),
            )
        elif library == "xgboost":
            load = learn_xgboost.read_xgboost

            def read_and_keep(dumps, **more):
                for dump in dumps:
                    caught.append(xgboost.Booster(model_file=bytearray(json.dumps(dump).encode())))
                return load(dumps, **more)

            patch.setattr(learn_xgboost, "read_xgboost", read_and_keep)
        else:
            shrink = catboost.CatBoost.shrink
            patch.setattr(
                catboost.CatBoost, "shrink", lambda self, *given: (caught.append(self), shrink(self, *given))[1]
            )
        found = load_learner(library)(
            SPECS[library],
            learn=make_cells(count=3000, seed=0, absent=absent),
            judge=make_cells(count=800, seed=5, absent=absent),
            goals=GOALS[goal],
            learning=learning(),
        )
    return found, caught


@every_library
@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("absent", [0.0, 0.1])
def test_a_forest_answers_as_its_library_does(library, goal, absent):
    found, models = learned(library, goal, absent)
    asked = draw_features(count=5000, seed=9, absent=0.2, unseen=True)
    ours = found.formula.predict(asked, width=len(GOALS[goal]))
    theirs = ask_library(library, models, asked)
    tolerance = 2e-5 if library == "xgboost" else 1e-12  # XGBoost sums in float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert found.formula.sets.max() >= 0
    assert ours.std() > 0.3


@every_library
def test_the_float32_on_either_side_of_a_border_take_the_branches_of_the_library(library):
    found, models = learned(library, "quantiles")
    forest = found.formula
    inner = (forest.feature >= 0) & (forest.sets < 0)
    asked = [draw_features(count=inner.sum(), seed=3) for _ in range(3)]
    rows, columns, border = np.arange(inner.sum()), forest.feature[inner], forest.threshold[inner]
    above, below = (np.nextafter(border, np.float32(way)) for way in (9, -9))
    for table, value in zip(asked, (border, above, below), strict=True):
        table[rows, columns] = value
    both = np.concatenate(asked)
    theirs = ask_library(library, models, both)
    np.testing.assert_allclose(forest.predict(both, width=3), theirs, rtol=0, atol=2e-5)


@every_library
def test_the_same_seed_gives_the_same_trees_whatever_the_threads_and_another_seed_others(library):
    def tensors(**changes: Any) -> dict[str, bytes]:
        cells = make_cells(count=2000, seed=0)
        spec = replace(SPECS[library], rounds=8)
        found = load_learner(library)(
            spec, learn=cells, judge=cells, goals=GOALS["median"], learning=learning(**changes)
        )
        return {name: array.tobytes() for name, array in found.formula.tensors().items()}

    assert tensors() == tensors() == tensors(threads=2)
    assert tensors() != tensors(seed=1)


@every_library
def test_learning_stops_where_validation_does_not_get_better(library):
    noise = make_cells(count=400, seed=0)
    noise = replace(noise, labels=np.random.default_rng(4).normal(size=400).astype(np.float32))
    other = replace(noise, labels=np.random.default_rng(5).normal(size=400).astype(np.float32))
    spec = replace(SPECS[library], rounds=300)
    found = load_learner(library)(spec, learn=noise, judge=other, goals=GOALS["median"], learning=learning())
    last = found.history[-1]
    assert last["stopped"] == "no better on validation"
    assert 1 <= last["rounds"] < 200
    late = learning(deadline=time.monotonic() - 1.0)
    cut = load_learner(library)(spec, learn=noise, judge=other, goals=GOALS["median"], learning=late)
    assert (cut.history[-1]["stopped"], cut.history[-1]["rounds"]) == ("deadline", 1)


@every_library
def test_weights_say_which_cells_count(library):
    cells = make_cells(count=3000, seed=0)
    half = np.arange(3000) % 2 == 0
    opposed = replace(cells, labels=np.where(half, cells.labels, -cells.labels), weights=half.astype(np.float32))
    found = load_learner(library)(
        SPECS[library], learn=opposed, judge=opposed, goals=GOALS["mean"], learning=learning()
    )
    answer = found.formula.predict(cells.features, width=1)[:, 0]
    assert np.corrcoef(answer, cells.labels)[0, 1] > 0.7


@every_library
def test_nothing_is_printed(library, capfd):
    cells = make_cells(count=300, seed=0)
    spec = replace(SPECS[library], rounds=3)
    load_learner(library)(spec, learn=cells, judge=cells, goals=GOALS["quantiles"], learning=learning(threads=2))
    assert capfd.readouterr() == ("", "")


def test_every_booster_is_tested_here():
    assert set(SPECS) <= set(LEARNERS)


OTHERS = {
    "rounds": 5, "depth": 2, "learning_rate": 0.3, "min_leaf": 90, "l2": 50.0, "feature_share": 0.3, "row_share": 0.5
}  # fmt: skip


@pytest.mark.parametrize("library", ["xgboost", "catboost"])
def test_every_option_of_a_library_changes_its_trees(library):
    """Those of `Tabular` are tested with LightGBM."""
    spec = replace(SPECS[library], rounds=8)
    shared = {field.name for field in fields(Tabular)}
    own = [field.name for field in fields(spec) if field.name not in shared]
    assert set(own) <= set(OTHERS)
    cells = make_cells(count=1000, seed=0)

    def tensors(given: Any) -> dict[str, bytes]:
        found = load_learner(library)(given, learn=cells, judge=cells, goals=GOALS["median"], learning=learning())
        return {name: array.tobytes() for name, array in found.formula.tensors().items()}

    for name in own:
        assert tensors(replace(spec, **{name: OTHERS[name]})) != tensors(spec), name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depth": 0}, "depth is a whole number, 1 or more; got 0"),
        ({"depth": 13}, "depth is at most 12; got 13"),
        ({"l2": -1.0}, "l2 is 0 or more and finite; got -1.0"),
        ({"l2": float("inf")}, "l2 is 0 or more and finite; got inf"),
        ({"row_share": 0.0}, "row_share lies above 0"),
    ],
)
@pytest.mark.parametrize("record", [XGBoost, CatBoost])
def test_options_without_a_meaning_are_refused(record, given, message):
    with pytest.raises(ConfigError, match=message):
        record(**given)
