"""Studies of what forecasts and positions earn: Sharpe, Sortino and their like, made as large as can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout, walk_back
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError, FitError
from tidewright.features.view import View
from tidewright.metrics.returns import OBJECTIVES, sharpe, sortino
from tidewright.runtime import Runtime, detect_runtime
from tidewright.training.evaluate import evaluate
from tidewright.training.fit import fit
from tidewright.training.positions import PositionFitted, earn_fitted, fit_positions
from tidewright.training.spec import TrainSpec
from tidewright.training.trade import Trading, trade_forecasts
from tidewright.tuning.goals import find_goal
from tidewright.tuning.space import Choice, FloatRange, SearchSpace
from tidewright.tuning.study import Study
from tidewright.tuning.trial import TrialState
from tidewright.tuning.tune import tune

TASK = Task(3)
TREES = SearchSpace("lightgbm", {"model.leaves": Choice((4, 31)), "model.learning_rate": FloatRange(0.02, 0.2)})


def draw_market(signal: float, *, length: int = 500, assets: int = 5) -> np.ndarray:
    """Returns [T, A] whose share `signal` is a slow state that history shows."""
    draw = np.random.default_rng(3)
    state = np.zeros((length, assets))
    for row in range(1, length):
        state[row] = 0.95 * state[row - 1] + math.sqrt(1 - 0.95**2) * draw.standard_normal(assets)
    return 0.01 * (signal * state + math.sqrt(1 - signal**2) * draw.standard_normal((length, assets)))


@dataclass(frozen=True)
class Market:
    panel: Panel
    split: Split

    def search(self, metric: str, **more: Any) -> Study:
        given: dict[str, Any] = {"space": TREES, "model": "lightgbm", "trials": 3, "view": View(10), "ledger": False}
        return tune(**{**given, "panel": self.panel, "split": self.split, "task": TASK, "metric": metric, **more})


@pytest.fixture(scope="module", name="market")
def make_market() -> Market:
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2030, 1, 1), eager=True)
    returns = draw_market(0.5)
    parts = [pl.DataFrame({"asset": f"a{k}", "day": days[: len(one)], "r": one}) for k, one in enumerate(returns.T)]
    panel = Panel.from_table(pl.concat(parts), series="asset", time="day", target="r", frequency="1d")
    return Market(panel, split_holdout(panel, TASK, validation=120, test=100, stride=2))


def test_a_study_of_the_sharpe_ratio_finds_a_planted_signal_and_takes_the_largest(market: Market) -> None:
    study = market.search("sharpe")
    found = [trial.scores["sharpe"] for trial in study.trials]
    assert study.score == max(found) > 2.0
    assert study.best.value == -study.score
    assert study.gain is None
    assert f"best sharpe {study.score:.4g}" in str(study)
    assert study.account is not None
    assert study.account.skill is not None
    assert study.account.skill.deflated.probability > 0.9
    assert study.account.positions == study.account.skill.periods


def test_the_score_is_that_of_the_forecasts_traded_after_costs_and_annualised_by_the_calendar(market: Market) -> None:
    trading = Trading(rule="rank", fee_bps=3.0)
    study = market.search("sortino", trials=1, trading=trading)
    judged = evaluate(study.fitted, panel=market.panel, split=market.split, cutoffs=market.split.validation)
    earned = trade_forecasts(judged, panel=market.panel, trading=trading)
    per_year = market.panel.frequency.periods_per_year
    assert per_year == pytest.approx(365.25, abs=0.01)
    assert study.score == pytest.approx(sortino(earned.returns, periods_per_year=per_year))
    assert study.best.scores["sharpe"] == pytest.approx(sharpe(earned.returns, periods_per_year=per_year))
    assert study.best.scores["turnover"] == pytest.approx(earned.turnover.sum() / 2 * per_year / len(earned.returns))
    assert "mae" in study.best.scores


def test_costs_lower_the_score(market: Market) -> None:
    free, dear = (market.search("sharpe", trials=1, trading=Trading(fee_bps=fee)).score for fee in (0.0, 30.0))
    assert dear < free - 0.5


@pytest.mark.parametrize("metric", [*OBJECTIVES])
def test_any_figure_of_returns_is_an_objective(market: Market, metric: str) -> None:
    study = market.search(
        metric, trials=2, space=SearchSpace("damped", {"model.recent": Choice((5, 3))}), model="damped"
    )
    figures = [trial.scores[metric] for trial in study.trials]
    best = max(figures) if OBJECTIVES[metric].direction == "higher" else min(figures)
    assert study.score == pytest.approx(best)
    assert find_goal(metric).unit == OBJECTIVES[metric].unit


def test_whatever_the_test_part_holds_the_score_is_the_same(market: Market) -> None:
    last = int(market.split.validation.positions[-1]) + TASK.horizon
    table = market.panel.table.with_columns(
        pl.when(pl.Series(market.panel.positions > last)).then(pl.col("r") * -7).otherwise(pl.col("r")).alias("r")
    )
    changed = Panel.from_table(table, series="asset", time="day", target="r", frequency="1d")
    assert not np.array_equal(changed.target, market.panel.target)
    one, other = (Market(panel, market.split).search("sharpe", trials=2) for panel in (market.panel, changed))
    assert [trial.scores for trial in one.trials] == [trial.scores for trial in other.trials]


def test_positions_are_searched_by_what_they_earn(market: Market, tmp_path: Path) -> None:
    space = SearchSpace("feedforward", {"train.learning_rate": Choice((5e-3, 1e-4))})
    train = TrainSpec(loss="sharpe", epochs=4, learning_rate=5e-3, batch_size=64)
    trading = Trading(sides="long", fee_bps=2.0)
    study = market.search(
        "sharpe", space=space, model="feedforward", train=train, trading=trading, trials=2, ledger=tmp_path
    )
    fitted: Any = study.fitted
    assert isinstance(fitted, PositionFitted)
    assert fitted.sides == "long"
    account = earn_fitted(fitted, panel=market.panel, cutoffs=market.split.validation, costs=trading.costs)
    assert study.score == pytest.approx(sharpe(account.returns, periods_per_year=365.25), rel=1e-4)
    assert study.score == max(trial.scores["sharpe"] for trial in study.trials)
    assert study.account is not None
    assert study.account.trials == 2


def test_positions_have_no_score_of_forecasts(market: Market) -> None:
    space = SearchSpace("feedforward", {"train.learning_rate": Choice((5e-3, 1e-4))})
    train = TrainSpec(loss="sharpe", epochs=1, batch_size=64)
    with pytest.raises(FitError, match="learned positions forecast nothing, so they have no mae"):
        market.search("mae", space=space, model="feedforward", train=train, trials=1)


def test_positions_compute_with_what_a_trial_is_given(market: Market) -> None:
    """`tidewright tune` says what networks compute with, whatever a space has them learn."""
    asked: list[int] = []

    def choose() -> Runtime:
        asked.append(1)
        return detect_runtime("cpu", 1)

    space = SearchSpace("feedforward", {"train.loss": Choice(("quantile", "sharpe"))})
    train = TrainSpec(epochs=1, steps=2, batch_size=64)
    study = market.search(
        "sharpe", space=space, model="feedforward", train=train, trials=2, searcher="grid", runtime=choose
    )
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    assert {trial.parameters["train.loss"] for trial in study.trials} == {"quantile", "sharpe"}
    assert len(asked) >= 2


def test_prices_and_a_horizon_of_one_are_refused_before_anything_is_learned(market: Market) -> None:
    def learn(*_: Any, **__: Any) -> Any:
        raise AssertionError("it has learned")

    table = market.panel.table.with_columns(r=100.0 + market.panel.table["r"].fill_null(0.0))
    prices = Panel.from_table(table, series="asset", time="day", target="r", frequency="1d")
    with pytest.raises(DataError, match="these look like prices"):
        market.search("sharpe", panel=prices, learn=learn)
    with pytest.raises(ConfigError, match="Ask for a horizon of 2 or more"):
        tune(
            TREES, panel=market.panel, split=split_holdout(market.panel, Task(1)), task=Task(1), model="lightgbm",
            trials=1, metric="sharpe", learn=learn, ledger=False,
        )  # fmt: skip


def test_a_score_of_zero_is_a_value_and_a_strategy_without_positions_has_none(market: Market) -> None:
    """Forecasts of nothing hold nothing: a return of 0.0 is the score, and a ratio of it there is none."""

    class Nothing:
        def __init__(self, fitted: Any) -> None:
            self.spec, self.view, self.task, self.history = fitted.spec, fitted.view, fitted.task, ()

        def predict(self, windows: Any) -> np.ndarray:
            return np.zeros((len(windows), TASK.horizon, len(TASK.quantiles)))

    def learn(spec: Any, **given: Any) -> Any:
        return Nothing(fit(spec, **given))

    given: dict[str, Any] = {"space": SearchSpace("damped", {"model.recent": Choice((3, 4))}), "model": "damped"}
    study = market.search("total_return", trials=2, learn=learn, **given)
    assert [trial.value for trial in study.trials] == [0.0, 0.0]
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    assert study.score == 0.0
    assert "best total_return 0 " in str(study)
    with pytest.raises(FitError, match="sharpe on validation is nan, no score"):
        market.search("sharpe", trials=2, learn=learn, **given)


def test_positions_are_judged_on_every_fold_in_the_order_of_time(market: Market) -> None:
    space = SearchSpace("feedforward", {"train.learning_rate": Choice((5e-3, 1e-4))})
    train = TrainSpec(loss="sharpe", epochs=2, learning_rate=5e-3, batch_size=64)
    study = market.search("sharpe", space=space, model="feedforward", train=train, trials=1, folds=2)
    per_year = market.panel.frequency.periods_per_year
    earned = []
    for fold in walk_back(market.split, folds=2):
        fitted: Any = fit_positions(study.spec, panel=market.panel, split=fold, view=study.view, train=study.train)
        account = earn_fitted(fitted, panel=market.panel, cutoffs=fold.validation, costs=Trading().costs)
        earned.append(account.returns)
    assert study.score == pytest.approx(sharpe(np.concatenate(earned), periods_per_year=per_year), rel=1e-4)
    assert study.account is not None
    assert study.account.positions == sum(len(one) for one in earned)
