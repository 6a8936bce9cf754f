"""No two models of the catalog are one under two names: identical scores fail here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl

from tests.conformance.networks import QUICK, TASK, make_panel, make_split, make_view, small_spec
from tests.worlds import answers_slowly, quick_options
from tidewright.data.panel import Panel
from tidewright.data.splits import thin
from tidewright.metrics.accuracy import score
from tidewright.models.build import build_spec
from tidewright.models.spec import COMPOSED, MODELS
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit

SMALL = {
    "lightgbm": {"rounds": 10},
    "xgboost": {"rounds": 10},
    "catboost": {"rounds": 10},
    "random_forest": {"trees": 4},
    "extra_trees": {"trees": 4},
    "svr": {"most_rows": 200},
    "elastic_net": {"penalties": (0.01,)},
}


@cache
def score_of(name: str) -> tuple[float, ...]:
    """Mean absolute error, pinball loss and coverage on the test part."""
    panel, split = make_panel(name), make_split(name)
    assert split.test is not None
    if answers_slowly(name):
        panel, split = with_zeros(panel), thin(split, most=4)
    spec = build_spec(name, SMALL[name]) if name in SMALL else small_spec(name)
    spec = build_spec(name, quick_options(name)) if answers_slowly(name) else spec
    fitted = fit(spec, panel=panel, split=split, task=TASK, view=make_view(name), train=QUICK, season=7)
    scored = evaluate(fitted, panel=panel, split=split, cutoffs=split.test, season=7).scored
    return tuple(score(scored, ["mae", "pinball", "coverage"]).values())


def with_zeros(panel: Panel) -> Panel:
    """The panel with two days of three without demand: models of intermittent demand are one where there is none."""
    sold = np.where(panel.positions % 3 == 0, panel.target, 0.0 * panel.target)
    return replace(panel, table=panel.table.with_columns(pl.Series("sold", sold).fill_nan(None)))


def find_twins(scores: Mapping[str, tuple[float, ...]]) -> list[tuple[str, str]]:
    """The pairs of models with the same scores, to the last bit."""
    names = list(scores)
    return [(a, b) for place, a in enumerate(names) for b in names[place + 1 :] if scores[a] == scores[b]]


def test_two_names_with_identical_scores_are_found() -> None:
    assert find_twins({"a": (1.0, 2.0), "b": (1.0, 2.5), "c": (1.0, 2.0)}) == [("a", "c")]


def test_every_model_of_the_catalog_has_scores_of_its_own() -> None:
    scores = {name: score_of(name) for name in MODELS if name not in COMPOSED}
    assert all(np.isfinite(found[0]) for found in scores.values())
    assert find_twins(scores) == []
