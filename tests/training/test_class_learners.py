"""Each library's classifier, read into arrays, against the library's own probabilities."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import SVC

from tests.training.test_boosters import LEVELS, SPECS, draw_features, learning, make_cells
from tests.training.test_fit_classes import TASK, learned, read, split, weather
from tidewright.features.view import View
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.calibrated import Calibrated, softmax
from tidewright.models.class_ridge import ClassRidge
from tidewright.models.line import Line
from tidewright.models.machine import Machine
from tidewright.models.specs.forests import ExtraTrees, RandomForest
from tidewright.models.specs.regression import SVR, ElasticNet
from tidewright.training import learn_catboost, learn_lightgbm, learn_xgboost
from tidewright.training.cells import Cells, Goal, class_losses, load_learner
from tidewright.training.fit import fit


def class_cells(classes: int, *, count: int = 2000, seed: int = 0) -> Cells:
    cells = make_cells(count=count, seed=seed)
    borders = np.quantile(cells.labels, np.arange(1, classes) / classes)
    return replace(cells, labels=np.digitize(cells.labels, borders).astype(np.float32))


def goals_of(classes: int) -> tuple[Goal, ...]:
    return tuple(Goal("class", label=label) for label in range(classes))


def learn(spec: Any, cells: Cells, classes: int) -> Any:
    judge = class_cells(classes, count=600, seed=5)
    return load_learner(spec.name)(spec, learn=cells, judge=judge, goals=goals_of(classes), learning=learning())


def catch(library: str, patch: pytest.MonkeyPatch) -> list[Any]:
    """The library's own models, as our learner makes them."""
    caught: list[Any] = []
    if library == "lightgbm":
        read = learn_lightgbm.read_lightgbm

        def read_texts(texts: Any, **more: Any) -> Any:
            caught.extend(lightgbm.Booster(model_str=text) for text in texts)
            return read(texts, **more)

        patch.setattr(learn_lightgbm, "read_lightgbm", read_texts)
    elif library == "xgboost":
        load = learn_xgboost.read_xgboost

        def read_dumps(dumps: Any, **more: Any) -> Any:
            caught.extend(xgboost.Booster(model_file=bytearray(json.dumps(dump).encode())) for dump in dumps)
            return load(dumps, **more)

        patch.setattr(learn_xgboost, "read_xgboost", read_dumps)
    else:
        shrink = catboost.CatBoost.shrink
        patch.setattr(catboost.CatBoost, "shrink", lambda self, *given: (caught.append(self), shrink(self, *given))[1])
    return caught


def ask(library: str, model: Any, features: np.ndarray) -> np.ndarray:
    """The library's own probabilities [C, K]."""
    if library == "lightgbm":
        said = model.predict(features)
    elif library == "xgboost":
        kinds = ["c" if place in LEVELS else "q" for place in range(6)]
        said = model.predict(xgboost.DMatrix(features, feature_types=kinds, enable_categorical=True))
    else:
        cells = Cells(features, features[:, 0] * 0, None, np.ones(len(features), dtype=np.int64), LEVELS)
        said = model.predict(learn_catboost._make_pool(catboost, cells), prediction_type="Probability")
    return said if said.ndim == 2 else np.column_stack([1.0 - said, said])


@pytest.mark.parametrize("library", SPECS)
@pytest.mark.parametrize("classes", [2, 4])
def test_boosted_trees_of_classes_say_what_their_library_says(
    library: str, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = catch(library, monkeypatch)
    found = learn(SPECS[library], class_cells(classes), classes)
    asked = draw_features(count=3000, seed=9, absent=0.2, unseen=True)
    ours = softmax(found.formula.predict(asked, width=classes))
    theirs = ask(library, caught[0], asked)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 if library == "xgboost" else 1e-7)
    assert found.formula.sets.max() >= 0
    assert ours.std() > 0.1
    assert found.history[-1]["validation_loss"] < 0.8 * np.log(classes)


@pytest.mark.parametrize("spec", [RandomForest(trees=10), ExtraTrees(trees=10)])
def test_forests_of_classes_say_the_shares_of_their_leaves(spec: Any) -> None:
    cells = class_cells(3)
    found = learn(spec, cells, 3)
    kind = RandomForestClassifier if spec.name == "random_forest" else ExtraTreesClassifier
    options = {"max_samples": 1.0} if spec.name == "random_forest" else {}
    theirs = kind(10, min_samples_leaf=20, max_features=0.33, random_state=0, **options)
    theirs.fit(cells.features, cells.labels)
    ours = found.formula.predict(cells.features, width=3)
    np.testing.assert_allclose(ours.sum(axis=1), 1.0, rtol=1e-12)
    if spec.name == "extra_trees":  # the leaves of a random forest hold all cells, and not those that were drawn
        np.testing.assert_allclose(ours, theirs.predict_proba(cells.features), atol=1e-12)
    own = class_losses(np.log(np.maximum(ours, 1e-6)), cells.labels).mean()
    assert own < 0.95 * np.log(3)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_elastic_net_of_classes_is_scikit_learns_logistic_regression(classes: int, share: float) -> None:
    cells = class_cells(classes)
    cells = replace(cells, features=np.nan_to_num(cells.features))
    found = learn(ElasticNet(l1_share=share, penalties=(0.01,)), cells, classes)
    assert isinstance(found.formula, Line)
    centre, scale = cells.features.mean(axis=0, dtype=np.float64), cells.features.std(axis=0, dtype=np.float64)
    rows = (cells.features - centre) / scale
    solver = "saga" if share else "lbfgs"
    theirs = LogisticRegression(C=1 / (0.01 * len(rows)), l1_ratio=share, solver=solver, max_iter=5000, tol=1e-8)
    theirs.fit(rows, cells.labels)
    ours = softmax(found.formula.predict(cells.features, width=classes))
    np.testing.assert_allclose(ours, theirs.predict_proba(rows), atol=5e-3)
    if share:
        assert found.history[0]["features"] <= 6


@pytest.mark.parametrize("classes", [2, 4])
def test_support_vectors_of_classes_have_scikit_learns_margins_of_each_class_against_the_rest(classes: int) -> None:
    cells = class_cells(classes, count=500)
    weights = np.random.default_rng(3).uniform(0.1, 2.0, 500).astype(np.float32)
    cells = replace(cells, features=np.nan_to_num(cells.features), weights=weights)
    found = learn(SVR(cost=2.0, width=1.2), cells, classes)
    centre, scale = cells.features.mean(axis=0, dtype=np.float64), cells.features.std(axis=0, dtype=np.float64)
    asked = np.nan_to_num(draw_features(count=700, seed=9))
    kept, margins = set(), []
    for label in range(classes):
        theirs = SVC(C=2.0, gamma=0.2).fit((cells.features - centre) / scale, cells.labels == label, weights)
        margins.append(theirs.decision_function((asked - centre) / scale))
        kept |= set(theirs.support_.tolist())
    ours = found.formula.predict(asked, width=classes)
    assert isinstance(found.formula, Machine)
    np.testing.assert_allclose(ours, np.column_stack(margins), atol=2e-3 if classes == 2 else 1e-6)
    assert (ours.argmax(axis=1) == np.argmax(margins, axis=0)).all()
    assert len(found.formula.vectors) == len(kept)
    told = found.history[-1]
    assert (told["cells"], told["vectors"], told["stopped"]) == (500, len(kept), "solved")
    alone = np.vstack([found.formula.predict(asked[row : row + 1], width=classes) for row in range(20)])
    assert alone.tobytes() == ours[:20].tobytes()


@pytest.mark.parametrize("names", [("a", "b", "c"), ("a", "b", "b")])
def test_ridge_of_classes_decides_as_scikit_learns_on_the_same_ones_and_zeros(names: tuple[str, ...]) -> None:
    seen, lookback, classes = read(weather(names=names), known=(), past=(), static=()), 10, len(set(names))
    spec = build_spec("ridge", {"lookbacks": (lookback,), "penalties": (0.03,)})
    found = fit(spec, panel=seen, split=split(), task=TASK)
    assert isinstance(found, Calibrated)
    assert isinstance(found.inner, ClassRidge)
    windows = cut_windows(seen, View(lookback), horizon=2, cutoffs=split().train)
    full = ~np.isnan(windows.labels()).any(axis=1)
    past, labels = windows.history()[full], windows.labels()[full]
    target = seen.target[seen.positions <= split().train.last]
    columns = []
    for label in range(classes) if classes > 2 else (1,):
        share = (target[~np.isnan(target)] == label).mean()
        columns.append(np.where(np.isnan(past), share, past == label))
    rows = np.stack(columns, axis=2).reshape(len(past), -1)
    penalty = 0.03 * ((rows - rows.mean(axis=0)) ** 2).sum() / rows.shape[1]
    margins = (found.inner.bias + rows @ found.inner.weights).reshape(len(rows), 2, classes)
    for step in range(2):
        theirs = RidgeClassifier(alpha=penalty).fit(rows, labels[:, step])
        decided = theirs.decision_function(rows)
        both = decided if decided.ndim == 2 else np.column_stack([-decided, decided])
        np.testing.assert_allclose(2.0 * margins[:, step] - 1.0, both, atol=2e-5)
        assert (margins[:, step].argmax(axis=1) == theirs.predict(rows)).mean() > 0.999
    np.testing.assert_allclose(found.inner.predict(windows.subset(np.flatnonzero(full))), softmax(margins), atol=1e-12)


def test_ridge_of_classes_says_which_lookback_and_penalty_were_best_on_validation() -> None:
    told = [record for record in learned("ridge").history if "candidate" in record]
    best = min(told, key=lambda record: record["validation_loss"])
    assert [record for record in told if record["chosen"]] == [best]
    spec = learned("ridge").spec
    assert best["candidate"] == f"lookback {spec.lookbacks[0]}, penalty {spec.penalties[0]:g}"  # type: ignore[attr-defined]
    assert max(int(record["candidate"].split()[1].rstrip(",")) for record in told) * 3 <= 720
