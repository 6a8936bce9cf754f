"""Why a winner says what it says stands on the page: importance, trees taken apart, and what changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.report.pages import read_page
from tests.report.worlds import NASTY, make_panel, make_result
from tidewright.models.conformal import Conformal
from tidewright.report.about_importance import tell_importance
from tidewright.report.figures import draw_change, draw_importance, draw_tree_parts
from tidewright.report.html import render_report
from tidewright.training.change import CAUSES, Vintage, explain_change
from tidewright.training.explain_trees import explain_trees
from tidewright.training.importance import permutation_importance
from tidewright.workflows.result import RunResult


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run whose winner is lightgbm."""
    panel = make_panel(series=2, rows=240, names=(NASTY,), gap=False)
    ran = make_result(panel, folder=tmp_path_factory.mktemp("run"), models=("lightgbm", "ridge"))
    return replace(ran, leaderboard=replace(ran.leaderboard, winner="lightgbm"))


def test_the_page_says_what_trees_need_and_what_their_columns_add(result: RunResult) -> None:
    html = render_report(result)
    page = read_page(html)
    text = page.sections["importance"]
    assert "Why lightgbm says what it says" in text
    assert "Without sold its MASE over" in text
    names = {"importance", "tree-importance", "tree-parts", "before-and-after", "change"}
    assert names <= set(page.figures)
    order = [known["id"] for tag, known in page.tags if tag == "section"]
    assert order.index("errors") < order.index("importance") < order.index("bundle")
    assert "<script>alert" not in html


def test_another_model_has_its_importance_and_no_trees(result: RunResult) -> None:
    told = tell_importance(replace(result, leaderboard=replace(result.leaderboard, winner="naive")))
    assert told is None  # a floor has its history alone
    untested = tell_importance(replace(result, split=replace(result.split, test=None)))
    assert untested is not None
    assert untested.blocks[0].lines == ("There is no test part to look at.",)  # type: ignore[union-attr]


def test_a_model_made_conformal_is_read_through(result: RunResult) -> None:
    wrapped = Conformal(result.fitted["lightgbm"], np.zeros((7, 3)), "cqr", "width")
    told = tell_importance(replace(result, fitted={**result.fitted, "lightgbm": wrapped}))
    assert told is not None
    assert len(told.blocks) == 3


def test_the_bars_are_the_importances_the_most_important_above(result: RunResult) -> None:
    found = permutation_importance(result.fitted["lightgbm"], panel=result.panel, split=result.split, repeats=2)
    figure = draw_importance(found)
    bars = {text: (x, y) for trace in figure.data for text, x, y in zip(trace.text, trace.x, trace.y, strict=True)}
    assert len(bars) == len(found.features)
    for feature, mean in zip(found.features, found.mean, strict=True):
        assert bars[feature.name][0] == pytest.approx(mean)
    assert max(bars.values(), key=lambda pair: pair[0])[1] == len(bars) - 1
    assert [trace.name for trace in figure.data] == ["target", "known"]


def test_a_forecast_taken_apart_adds_up_to_its_line(result: RunResult) -> None:
    found = explain_trees(
        result.fitted["lightgbm"], panel=result.panel, split=result.split, most=3, background=5, by="feature"
    )
    *bars, line = draw_tree_parts(found, window=1, unit="sold").data
    assert [bar.name for bar in bars][-1].endswith(" others")
    np.testing.assert_allclose(np.sum([bar.y for bar in bars], axis=0), line.y, atol=1e-9)
    np.testing.assert_allclose(line.y, found.forecast[1] - found.base[1], atol=1e-9)


def test_the_bars_of_a_change_are_its_causes_and_add_up_to_its_line(result: RunResult) -> None:
    panel, last = result.panel, result.panel.span[1]
    before, after = Vintage(result.fitted["lightgbm"], panel, last - 2), Vintage(result.fitted["ridge"], panel, last)
    change = explain_change(before, after)
    *bars, line = draw_change(change, series=1, unit="sold").data
    assert [bar.name for bar in bars] == list(CAUSES)
    np.testing.assert_allclose(np.sum([bar.y for bar in bars], axis=0), line.y, atol=1e-9)
    assert len(line.x) == len(change.times)
