"""The deflated Sharpe ratio after a count of trials, their returns or a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import AllocationError
from tidewright.metrics.selection import Overfitting
from tidewright.portfolio import deflated_sharpe, sample_sharpe
from tidewright.tuning.account import Account
from tidewright.tuning.goals import Trading
from tidewright.tuning.ranges import IntRange
from tidewright.tuning.space import SearchSpace
from tidewright.tuning.tune import tune
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


def test_a_search_has_counted_its_own_trials(tmp_path: Path) -> None:
    days = pl.date_range(pl.date(2022, 1, 1), pl.date(2023, 6, 1), eager=True)
    moves = np.random.default_rng(3).normal(0.0, 0.01, (3, len(days)))
    rows = [pl.DataFrame({"asset": f"a{k}", "day": days, "r": one}) for k, one in enumerate(moves)]
    panel = Panel.from_table(pl.concat(rows), series="asset", time="day", target="r", frequency="1d")
    task = Task(horizon=2)
    study = tune(
        SearchSpace("damped", {"model.recent": IntRange(2, 14)}),
        panel=panel,
        split=split_holdout(panel, task),
        task=task,
        model="damped",
        trials=4,
        metric="sharpe",
        trading=Trading(rule="sign"),
        ledger=tmp_path,
    )
    assert study.account is not None
    assert deflate(RETURNS, study=study).deflated.trials == study.account.effective
    with pytest.raises(AllocationError, match="kept no account"):
        deflate(RETURNS, study=replace(study, account=None))
