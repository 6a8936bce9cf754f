"""Probabilities of a direction: against scikit-learn and closed forms, and better on a test part once calibrated."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.metrics import brier_score_loss  # type: ignore[import-untyped]

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError
from tidewright.features.windows import Windows, cut_windows
from tidewright.metrics.probability import brier_score, direction_probability, reliability
from tidewright.models.floors import Floor
from tidewright.models.spec import Median
from tidewright.training.direction import ask_direction, fit_direction, fit_isotonic, fit_platt, see_direction
from tidewright.training.fit import fit
from tidewright.training.paths import measure_dependence

TASK = Task(2, (0.1, 0.5, 0.9))


@cache
def make_panel() -> Panel:
    """Noise about 0: after a high value a fall is likely, after a low one a rise."""
    noise = np.random.default_rng(0).normal(size=6000)
    return Panel.from_table(pl.DataFrame({"t": np.arange(6000), "y": noise}), time="t", target="y")


@cache
def make_split() -> Split:
    return split_holdout(make_panel(), TASK, validation=2000, test=2000, stride=1)


@cache
def learned(width: float = 0.3) -> Floor:
    """A floor that is too sure of itself."""
    floor = fit(Median(), panel=make_panel(), split=make_split(), task=TASK)
    assert isinstance(floor, Floor)
    return replace(floor, spread=width * floor.spread)


def scored() -> Windows:
    test = make_split().test
    assert test is not None
    return cut_windows(make_panel(), learned().view, horizon=2, cutoffs=test)


def test_a_probability_of_normal_quantiles_is_the_normal_one() -> None:
    quantiles = stats.norm.ppf((0.1, 0.5, 0.9), 2.0, 3.0)[None, None].repeat(4, axis=0)
    threshold = np.array([-4.0, 0.0, 2.0, 9.0])[:, None]
    found = direction_probability(quantiles, levels=(0.1, 0.5, 0.9), threshold=threshold)
    np.testing.assert_allclose(found, stats.norm.sf(threshold, 2.0, 3.0), rtol=1e-9)


def test_the_brier_score_is_scikit_learns_and_leaves_unknown_outcomes_out() -> None:
    draw = np.random.default_rng(1)
    said, came = draw.random(500), (draw.random(500) < 0.4).astype(float)
    assert brier_score(said, came) == pytest.approx(brier_score_loss(came, said))
    assert brier_score([*said, 0.7], [*came, np.nan]) == pytest.approx(brier_score(said, came))
    with pytest.raises(DataError, match="no outcome is known"):
        brier_score([0.5], [np.nan])
    with pytest.raises(DataError, match="lie between 0 and 1"):
        brier_score([1.5], [1.0])
    with pytest.raises(DataError, match=r"need outcomes of the same; got \(1,\)"):
        brier_score([0.5, 0.5], [1.0])


def test_probabilities_that_are_right_are_reliable_and_others_are_not() -> None:
    draw = np.random.default_rng(2)
    true = draw.random(100_000)
    came = (draw.random(100_000) < true).astype(float)
    assert reliability(true, came).error < 0.01
    assert reliability(true**3, came).error > 0.2
    assert reliability(true, came, bins=4).count.sum() == 100_000


def test_platts_curve_is_scikit_learns() -> None:
    draw = np.random.default_rng(3)
    said = draw.random(20_000)
    logit = np.log(said / (1 - said))
    came = (draw.random(20_000) < 1 / (1 + np.exp(-(0.4 * logit + 0.7)))).astype(float)
    found = fit_platt(said, came)
    expected = LogisticRegression(C=np.inf).fit(logit[:, None], came)
    assert found.slope == pytest.approx(expected.coef_[0, 0], abs=1e-2)  # without Platt's targets
    assert found.intercept == pytest.approx(expected.intercept_[0], abs=1e-2)
    assert found.slope == pytest.approx(0.4, abs=0.05)


def test_the_isotonic_curve_is_scikit_learns() -> None:
    draw = np.random.default_rng(4)
    said = draw.random(500).round(2)
    came = (draw.random(500) < said**2).astype(float)
    expected = IsotonicRegression().fit(said, came).predict(np.unique(said))
    np.testing.assert_allclose(fit_isotonic(said, came).apply(np.unique(said)), expected, atol=1e-9)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_makes_the_probability_of_a_rise_better_on_the_test(method: Any) -> None:
    direction = fit_direction(learned(), panel=make_panel(), cutoffs=make_split().validation, method=method)
    raw, came = ask_direction(learned(), scored(), question="rise"), see_direction(scored(), question="rise")
    said = direction.predict(scored())
    assert said.shape == raw.shape == came.shape
    assert brier_score(said, came) < brier_score(raw, came) - 0.01
    assert reliability(raw, came).error > 0.08
    assert reliability(said, came).error < 0.04


def test_the_probability_of_a_sum_above_zero_is_calibrated_too() -> None:
    split = make_split()
    dependence = measure_dependence(learned(), panel=make_panel(), cutoffs=split.validation)
    direction = fit_direction(
        learned(), panel=make_panel(), cutoffs=split.validation, question="sum", dependence=dependence
    )
    said, came = direction.predict(scored()), see_direction(scored(), question="sum")
    assert said.shape == came.shape == (len(scored()),)
    assert brier_score(said, came) < brier_score(
        ask_direction(learned(), scored(), question="sum", dependence=dependence), came
    )
    assert reliability(said, came).error < 0.06
    with pytest.raises(ConfigError, match='the question "sum" needs the dependence'):
        fit_direction(learned(), panel=make_panel(), cutoffs=split.validation, question="sum")
