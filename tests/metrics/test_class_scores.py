"""Scores of classes against scikit-learn's, cell by cell and as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics  # type: ignore[import-untyped]

from tidewright.errors import DataError
from tidewright.metrics.accuracy import METRICS, Scored, find_available, loss_by_cutoff, score, score_by_series
from tidewright.metrics.probability import reliability

OF_CLASSES = {name for name, metric in METRICS.items() if metric.of == "classes"}


def draw(classes: int, *, seed: int = 0, windows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Classes [N, 3], a tenth of them missing, and probabilities [N, 3, K] that know something of them."""
    rng = np.random.default_rng(seed)
    actual = rng.choice(classes, size=(windows, 3), p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    scores = rng.normal(size=(windows, 3, classes)) + 1.2 * np.eye(classes)[actual]
    said = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    return np.where(rng.random(actual.shape) < 0.1, np.nan, actual), said


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_every_score_is_scikit_learns(classes: int) -> None:
    actual, said = draw(classes)
    found = score(Scored(actual, said, n_classes=classes))
    known = ~np.isnan(actual)
    came, probability = actual[known].astype(int), said[known]
    named, labels = probability.argmax(axis=1), np.arange(classes)
    wanted = {
        "log_loss": metrics.log_loss(came, probability, labels=labels),
        "brier": metrics.brier_score_loss(came, probability, labels=labels, scale_by_half=False),
        "accuracy": metrics.accuracy_score(came, named),
        "balanced_accuracy": metrics.balanced_accuracy_score(came, named),
        "macro_f1": metrics.f1_score(came, named, average="macro"),
        "calibration_error": np.mean([reliability(probability[:, k], came == k).error for k in labels]),
    }
    wanted |= {"auc": metrics.roc_auc_score(came, probability[:, 1])} if classes == 2 else {}
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_a_class_that_never_came_and_one_that_was_never_said_are_left_out_as_scikit_learn_does() -> None:
    came, said = np.array([0, 0, 1, 1]), np.eye(4)[[0, 1, 1, 1]]
    found = score(Scored(came[:, None], said[:, None], n_classes=4))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(came, said.argmax(axis=1), average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert np.isfinite(found["log_loss"])


def test_ties_count_half_in_the_area_and_one_class_alone_has_none() -> None:
    came, said = np.array([0, 1, 1, 0]), np.array([0.5, 0.5, 0.7, 0.2])
    both = np.column_stack([1 - said, said])[:, None]
    found = score(Scored(came[:, None], both, n_classes=2), ["auc"])["auc"]
    assert found == pytest.approx(metrics.roc_auc_score(came, said))
    assert np.isnan(score(Scored(np.ones((4, 1)), both, n_classes=2), ["auc"])["auc"])


def test_the_log_loss_of_series_and_cutoffs_is_that_of_each_alone() -> None:
    actual, said = draw(3)
    series = np.arange(300) % 4
    scored = Scored(actual, said, n_classes=3, series=series)
    each = score_by_series(scored, ["log_loss", "brier"])
    by_cutoff = loss_by_cutoff(scored, "log_loss", cutoff=series)
    for one in range(4):
        alone = score(scored.take(series == one))
        assert each["brier"][one] == pytest.approx(alone["brier"])
        assert each["log_loss"][one] == pytest.approx(alone["log_loss"])
        assert by_cutoff[one] == pytest.approx(alone["log_loss"])


def test_metrics_know_what_they_are_of_and_which_way_is_better() -> None:
    actual, said = draw(2)
    classes, numbers = Scored(actual, said, n_classes=2), Scored([[1.0]], [[2.0]])
    assert set(find_available(classes)) == OF_CLASSES
    assert not OF_CLASSES & set(find_available(numbers))
    assert METRICS["accuracy"].badness(0.8, scored=classes) < METRICS["accuracy"].badness(0.7, scored=classes)
    assert METRICS["log_loss"].unit == "nat"
    with pytest.raises(DataError, match="mae needs forecasts of numbers, and these are of classes"):
        score(classes, ["mae"])
    with pytest.raises(DataError, match="log_loss needs classes and their probabilities"):
        score(numbers, ["log_loss"])
    with pytest.raises(DataError, match="auc needs two classes"):
        score(Scored([[0.0]], [[[0.2, 0.3, 0.5]]], n_classes=3), ["auc"])


def test_what_are_no_classes_and_no_probabilities_is_an_error() -> None:
    with pytest.raises(DataError, match=r"counted from 0 to 1, one for each probability; got 2 to 2"):
        Scored([[2.0]], [[[0.5, 0.5]]], n_classes=2)
    with pytest.raises(DataError, match="lie between 0 and 1, and sum to 1"):
        Scored([[1.0]], [[[0.5, 0.6]]], n_classes=2)
    with pytest.raises(DataError, match=r"at 3 classes need \(1, 1, 3\)"):
        Scored([[1.0]], [[[0.5, 0.5]]], n_classes=3)
    Scored([[np.nan]], [[[np.nan, np.nan]]], n_classes=2)  # what is not known is not judged
