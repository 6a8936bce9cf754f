"""What a winner used stands on the page, for a model that says so and for no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.report.pages import read_page
from tests.report.worlds import make_panel, make_result
from tidewright.models.conformal import Conformal
from tidewright.report.about_interpretation import tell_interpretation
from tidewright.report.html import render_report
from tidewright.training.spec import TrainSpec
from tidewright.workflows.result import RunResult


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run whose winner is a Temporal Fusion Transformer that has hardly learned."""
    ran = make_result(
        make_panel(series=2, rows=200),
        folder=tmp_path_factory.mktemp("run"),
        models=("tft",),
        train=TrainSpec(epochs=1, steps=2, batch_size=32),
    )
    return replace(ran, leaderboard=replace(ran.leaderboard, winner="tft"))


def test_the_page_shows_variables_and_attention_of_a_winner_that_says_what_it_used(result: RunResult) -> None:
    page = read_page(render_report(result))
    text = page.sections["interpretation"]
    assert "What tft used" in text
    assert "of what is known up to the cutoff on " in text
    assert {"variables", "variables-by-step", "attention", "attention-map"} <= set(page.figures)
    order = [known["id"] for tag, known in page.tags if tag == "section"]
    assert order.index("errors") < order.index("interpretation") < order.index("tuning")
    shares = [sum(trace["x"]) for trace in page.figures["variables"]["data"]]
    assert shares == pytest.approx([100.0] * len(shares))


def test_what_is_shown_is_of_the_test_windows(result: RunResult) -> None:
    told = tell_interpretation(result)
    assert told is not None
    assert result.split.test is not None
    assert f"over {len(result.split.test) * result.panel.n_series} test windows" in told.lead


def test_a_model_made_conformal_is_read_through(result: RunResult) -> None:
    inner = result.fitted["tft"]
    wrapped = Conformal(inner, np.zeros((7, 3)), "cqr", "width")
    told = tell_interpretation(replace(result, fitted={**result.fitted, "tft": wrapped}))
    assert told is not None
    assert told.lead == tell_interpretation(result).lead  # type: ignore[union-attr]


def test_a_run_without_a_test_part_and_a_model_that_says_nothing(result: RunResult) -> None:
    untested = tell_interpretation(replace(result, split=replace(result.split, test=None)))
    assert untested is not None
    assert untested.blocks[0].lines == ("There is no test part to look at.",)  # type: ignore[union-attr]
    assert tell_interpretation(replace(result, leaderboard=replace(result.leaderboard, winner="naive"))) is None
