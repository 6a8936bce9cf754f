"""The page says what the winner is worth after all that was tried: three scores side by side."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.report.pages import read_page
from tests.report.worlds import make_result
from tidewright.metrics.selection import Overfitting
from tidewright.report.draw_account import CORRECTED, TEST, VALIDATION, draw_account
from tidewright.report.html import render_report
from tidewright.tuning.account import Account, Earlier
from tidewright.workflows.result import RunResult

ACCOUNT = Account(
    "mase", "run", 3, 2, 41, 39, 12.34, 30, 60, 0.7111, 0.7533, Overfitting(0.22, 16, 12_870, 30, (1.0, 0.5))
)


@pytest.fixture(scope="module", name="result")
def make(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return replace(make_result(folder=tmp_path_factory.mktemp("run")), account=ACCOUNT)


def test_validation_corrected_and_test_stand_side_by_side(result: RunResult) -> None:
    page = read_page(render_report(result))
    test = result.leaderboard.row(result.leaderboard.winner).test["mase"]
    rows = [row for row in page.rows if row[0] == result.leaderboard.winner and len(row) == 4]
    assert len(rows) == 1
    assert [float(cell) for cell in rows[0][1:]] == pytest.approx([0.7111, 0.7533, test], abs=6e-4)
    for words in ("41 trials in 2 studies and runs", "12.3", "30 of them judged", "22", "12,870 ways"):
        assert words in page.sections["leaderboard"], words


def test_the_picture_has_the_three_scores_and_the_tests_interval(result: RunResult) -> None:
    row = result.leaderboard.row(result.leaderboard.winner)
    figure = draw_account(ACCOUNT, test=row.test["mase"], interval=row.interval)
    marks = {trace.name: trace.x[0] for trace in figure.data}
    assert marks == {VALIDATION: 0.7111, CORRECTED: 0.7533, TEST: row.test["mase"]}
    assert row.interval is not None
    bars = next(trace for trace in figure.data if trace.name == TEST).error_x
    assert row.test["mase"] + bars.array[0] == pytest.approx(row.interval.high)


def test_what_can_t_be_corrected_is_undefined_and_says_why(result: RunResult) -> None:
    lone = replace(ACCOUNT, corrected=math.nan, effective=math.nan, reason="there is one trial, so nothing was chosen")
    page = read_page(render_report(replace(result, account=lone)))
    row = next(row for row in page.rows if row[0] == result.leaderboard.winner and len(row) == 4)
    assert row[2] == "undefined"
    assert "The score is not corrected: there is one trial" in page.sections["leaderboard"]
    assert len(draw_account(lone, test=np.nan, interval=None).data) == 1


def test_trials_that_found_the_first_points_are_named_with_the_reason(result: RunResult) -> None:
    earlier = (Earlier("abc", 25, "by mae on the same data"), Earlier("def", 7, "it is of other series", counted=False))
    text = read_page(render_report(replace(result, account=replace(ACCOUNT, earlier=earlier)))).sections["leaderboard"]
    assert "25 trials of study abc, whose best points it began with, are counted, not compared: by mae on the" in text
    assert "7 trials of study def, whose best points it began with, are not counted: it is of other series" in text
    assert "first points" not in read_page(render_report(result)).sections["leaderboard"]


def test_a_run_without_an_account_shows_none(result: RunResult) -> None:
    assert "for having been chosen" not in render_report(replace(result, account=None))
