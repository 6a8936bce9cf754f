"""The deflated Sharpe ratio after a count of trials, their returns or a study."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tidewright.errors import AllocationError
from tidewright.metrics.selection import Overfitting
from tidewright.portfolio import deflated_sharpe, sample_sharpe
from tidewright.tuning.account import Account
from tidewright.workflows.deflate import deflate

RETURNS = np.random.default_rng(0).normal(0.001, 0.01, 500)
NAN = float("nan")
ACCOUNT = Account(
    metric="sharpe",
    study="s",
    number=3,
    studies=2,
    trials=60,
    distinct=50,
    effective=12.5,
    compared=60,
    positions=500,
    score=1.0,
    corrected=0.5,
    overfitting=Overfitting(NAN, 16, 0, 60),
)


def test_a_number_of_trials_is_the_plain_formula() -> None:
    found = deflate(RETURNS, trials=40)
    expected = deflated_sharpe(sample_sharpe(RETURNS), trials=40, trial_variance=1 / 499)
    assert found.deflated == expected
    assert deflate(RETURNS, trials=40, trial_variance=0.01).deflated.hurdle > expected.hurdle
    assert deflate(RETURNS, trials=40, risk_free=0.0005).sharpe < found.sharpe


def test_a_study_counts_its_trials_itself() -> None:
    assert deflate(RETURNS, study=ACCOUNT).deflated.trials == 12.5
    assert deflate(RETURNS, study=replace(ACCOUNT, effective=NAN)).deflated.trials == 60.0


def test_returns_of_all_trials_are_counted_as_they_move_together() -> None:
    draws = np.random.default_rng(1).normal(0.0, 0.01, (500, 20))
    assert deflate(RETURNS, trials=draws).deflated.trials > 15
    assert deflate(RETURNS, trials=draws[:, [0] * 20]).deflated.trials == 1.0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "say what was tried"),
        ({"trials": 3, "study": ACCOUNT}, "say what was tried"),
        ({"trials": 0}, "trials is 0"),
        ({"trials": np.zeros((10, 3))}, "500 returns came with trials of 10 periods"),
    ],
)
def test_what_was_tried_is_said_in_one_way(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        deflate(RETURNS, **asked)


def test_returns_that_do_not_vary_have_no_ratio() -> None:
    with pytest.raises(AllocationError, match="the 50 returns don't vary"):
        deflate([0.01] * 50, trials=2)
