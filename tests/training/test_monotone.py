"""What is held to rise or to fall does, and a name that is none of the panel's says which was meant."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.features.separate import to_windows
from tidewright.features.view import View, fit_static
from tidewright.features.windows import cut_windows
from tidewright.models.build import build_spec
from tidewright.models.specs.tabular import HELD
from tidewright.models.trees import TreesFitted
from tidewright.training.cells import Cells, Goal
from tidewright.training.fit import fit
from tidewright.training.monotone import place_monotone
from tidewright.training.quantile_steps import open_steps

TASK = Task(3)
LIBRARIES = ("lightgbm", "xgboost", "catboost")
every_library = pytest.mark.parametrize("library", LIBRARIES)


@cache
def panel() -> Panel:
    """Sales that fall with a price, but rise with it where it is near 1.5, and rise with the visits before."""
    draw, rows, tables = np.random.default_rng(0), 300, []
    for number in range(3):
        price = draw.uniform(1.0, 2.0, rows)
        visits = draw.normal(size=rows)
        bump = 2.0 * np.exp(-(((price - 1.5) / 0.1) ** 2))
        sold = 20.0 - 3.0 * price + bump + 0.5 * np.roll(visits, 1) + draw.normal(size=rows)
        table = {"shop": f"s{number}", "t": np.arange(rows), "sold": sold, "price": price, "visits": visits}
        tables.append(pl.DataFrame({**table, "size": float(number), "town": f"town{number}"}))
    roles: dict[str, Any] = {"known": ["price"], "past": ["visits"], "static": ["size", "town"]}
    return Panel.from_table(pl.concat(tables), series="shop", time="t", target="sold", **roles)


def learn(library: str, monotone: dict[str, int], *, relative: bool = False, **options: Any) -> TreesFitted:
    given = {"rounds": 60, "learning_rate": 0.2, "loss": "mean", "monotone": monotone, **options}
    split = split_holdout(panel(), TASK)
    view = View(14, static=fit_static(panel()), relative=relative)
    fitted = fit(build_spec(library, given), panel=panel(), split=split, task=TASK, view=view, season=7)
    assert isinstance(fitted, TreesFitted)
    return fitted


def sweep(fitted: TreesFitted) -> np.ndarray:
    """Answers [prices, N, Q] of the second step as its price alone rises."""
    cutoffs = split_holdout(panel(), TASK).validation
    windows = cut_windows(panel(), fitted.view, horizon=3, cutoffs=replace(cutoffs, stride=7))
    answers = []
    batch = windows.batch()
    for price in np.linspace(0.9, 2.1, 40):
        known = batch.known.copy()
        known[:, 14 + 1, 0] = price
        answers.append(fitted.predict(to_windows(replace(batch, known=known), horizon=3)))
    return np.array(answers)[:, :, 1]


@every_library
@pytest.mark.parametrize("relative", [False, True])
def test_a_forecast_falls_with_what_it_is_held_to_fall_with(library: str, relative: bool) -> None:
    held = np.diff(sweep(learn(library, {"price": -1}, relative=relative)), axis=0)
    assert (held <= 1e-9).all()
    assert (held < 0).any()
    free = np.diff(sweep(learn(library, {}, relative=relative)), axis=0)
    assert (free > 1e-3).any()


@pytest.mark.parametrize("library", HELD)
@pytest.mark.parametrize("options", [{}, {"strategy": "direct"}, {"loss": "median"}])
def test_quantiles_fall_with_what_they_are_held_to_fall_with(library: str, options: dict[str, Any]) -> None:
    fitted = learn(library, {"price": -1}, **{"loss": "quantile", **options})
    answers = sweep(fitted)
    assert (np.diff(answers, axis=0) <= 1e-9).all()
    assert (np.diff(answers, axis=2) >= 0).all()
    free = sweep(learn(library, {}, **{"loss": "quantile", **options}))
    assert (np.diff(free, axis=0) > 1e-3).any()
    low, middle, high = (float(np.mean(part)) for part in np.moveaxis(answers - free, 2, 0))
    assert max(abs(low), abs(middle), abs(high)) < 0.5  # of noise with a deviation of 1: they are the same quantiles


@pytest.mark.parametrize("weighted", [False, True])
def test_steps_end_at_the_quantile(weighted: bool) -> None:
    draw = np.random.default_rng(0)
    labels = draw.exponential(size=4000).astype(np.float32)
    weights = np.where(labels > 1.0, 3.0, 1.0).astype(np.float32) if weighted else None
    ones = np.ones(len(labels), dtype=np.int64)
    cells = Cells(labels[:, None], labels, weights, ones, {}, {0: 1})
    for level in (0.05, 0.5, 0.95):
        steps, answer = open_steps(Goal("quantile", level), cells), np.zeros(len(labels))
        for _ in range(60):
            slope, curve = steps.at(answer)
            answer = answer - 0.3 * slope.sum() / curve.sum()
        wanted = np.quantile(labels, level, weights=weights, method="inverted_cdf")
        assert answer[0] == pytest.approx(wanted, abs=0.02)


def test_names_of_past_static_and_feature_columns_are_placed() -> None:
    fitted = learn("lightgbm", {"visits": 1, "size": -1, "lag3": 1, "price": -1}, relative=True)
    found = place_monotone(fitted.spec, fitted.inputs, panel=panel(), view=fitted.view)
    names = {fitted.inputs.names[place]: way for place, way in found.items()}
    wanted = {"past0": 1, "past0_relative": 1, "static0": -1, "lag3": 1, "known0": -1, "known0_relative": -1}
    assert names == wanted | {f"known0_over_season{k}": -1 for k in (1, 2)}


@pytest.mark.parametrize(
    ("monotone", "options", "message"),
    [
        ({"pric": -1}, {}, "no column or feature of lightgbm.monotone is called 'pric'. Did you mean 'price'"),
        ({"town": 1}, {}, "'town' is text, which neither rises nor falls"),
        ({"price": 2}, {}, r"gives each column 1 \(rises\) or -1 \(falls\); got price: 2"),
        (
            {"price": -1},
            {"loss": "quantile"},
            "needs loss=mean: with quantile it sets leaves anew.*lightgbm or xgboost",
        ),
    ],
)
def test_directions_without_a_meaning_are_refused(
    monotone: dict[str, int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        learn("catboost" if options else "lightgbm", monotone, **options)


def test_what_can_not_be_held_says_so() -> None:
    with pytest.raises(ConfigError, match="random_forest can't be held to rise or to fall"):
        build_spec("random_forest", {"monotone": {"price": -1}, "loss": "mean"})
