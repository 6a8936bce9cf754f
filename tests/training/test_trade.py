"""Forecasts of returns that are traded: what is decided at t earns nothing before t + 2, and nothing after is read."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout, without_test
from tidewright.data.task import Task
from tidewright.errors import ConfigError, DataError
from tidewright.metrics.returns import sharpe
from tidewright.models.spec import Naive
from tidewright.training.evaluate import Evaluation, evaluate, join_evaluations
from tidewright.training.fit import fit
from tidewright.training.trade import Trading, buy_and_hold, trade_forecasts

TASK = Task(3)
FREE = Trading(fee_bps=0.0, half_spread_bps=0.0)


def to_panel(returns: np.ndarray) -> Panel:
    days = pl.date_range(pl.date(2020, 1, 1), pl.date(2030, 1, 1), eager=True)[: len(returns)]
    parts = [pl.DataFrame({"asset": f"a{k}", "day": days, "r": column}) for k, column in enumerate(returns.T)]
    return Panel.from_table(pl.concat(parts), series="asset", time="day", target="r", frequency="1d")


@cache
def make_returns() -> np.ndarray:
    return np.random.default_rng(0).normal(0.0, 0.01, (400, 4))


def make_split(panel: Panel, *, stride: int = 2) -> Split:
    return split_holdout(panel, TASK, validation=100, test=100, stride=stride)


def forecast(panel: Panel, split: Split, values: Any, *, task: Task = TASK) -> Evaluation:
    """The evaluation of a model that says `values(cutoffs, series)` [N, H], its quantiles 0.02 apart."""
    fitted = fit(Naive(), panel=panel, split=without_test(split), task=task)
    plain = evaluate(fitted, panel=panel, split=split, cutoffs=split.validation)
    said = values(plain.windows.cutoffs, plain.windows.series)
    levels = np.linspace(-0.01, 0.01, len(task.quantiles))
    return evaluate(
        fitted, panel=panel, split=split, cutoffs=split.validation, said=said[:, :, None] + levels[None, None, :]
    )


def know(panel: Panel, *steps: int, ahead: int = 3) -> Any:
    """The true returns of some steps, and 0 for the others."""
    first = int(panel.positions[0])
    table = panel.target.reshape(panel.n_series, -1).T

    def values(cutoffs: np.ndarray, series: np.ndarray) -> np.ndarray:
        said = np.zeros((len(cutoffs), ahead))
        for step in steps:
            said[:, step - 1] = table[cutoffs - first + step, series]
        return said

    return values


def test_the_account_is_the_one_kept_by_hand() -> None:
    panel = to_panel(make_returns())
    split = make_split(panel)
    said = know(panel, 2, 3)
    earned = trade_forecasts(forecast(panel, split, said), panel=panel, trading=FREE)
    first, returns = int(panel.positions[0]), make_returns()
    cutoffs = split.validation.positions - first
    expected = []
    for place, cutoff in enumerate(cutoffs):
        held = np.sign(returns[cutoff + 2] + returns[cutoff + 3]) / 4
        days = returns[cutoff + 2 : cutoff + 4]
        equity = 1 + (held * (np.cumprod(1 + days, axis=0) - 1)).sum(axis=1)
        expected += [equity[0] - 1, equity[1] / equity[0] - 1]
        assert earned.positions[2 * place] - first == cutoff + 2
    np.testing.assert_allclose(earned.returns, expected, atol=1e-15)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_what_is_bought_once_and_held_earns_as_it_does_by_hand_over_the_same_bars(stride: int) -> None:
    panel = to_panel(make_returns())
    split = make_split(panel, stride=stride)
    said = forecast(panel, split, know(panel, 2))
    held = buy_and_hold(said, panel=panel, trading=FREE)
    np.testing.assert_array_equal(held.positions, trade_forecasts(said, panel=panel).positions)
    bars = make_returns()[held.positions - int(panel.positions[0])]
    worth = np.cumprod(1 + bars, axis=0).mean(axis=1)
    np.testing.assert_allclose(np.cumprod(1 + held.returns), worth, rtol=1e-12)
    paid = buy_and_hold(said, panel=panel, trading=Trading(fee_bps=10.0, half_spread_bps=0.0))
    assert (paid.turnover[0], paid.turnover[1:].max()) == (1.0, 0.0)
    assert 1 + paid.returns[0] == pytest.approx((1 + held.returns[0]) * 0.999)


def test_knowing_the_future_that_a_position_earns_pays_and_its_opposite_costs() -> None:
    panel = to_panel(make_returns())
    split = make_split(panel)
    for sign in (1.0, -1.0):
        known = know(panel, 2, 3)
        earned = trade_forecasts(forecast(panel, split, lambda c, s: sign * known(c, s)), panel=panel)  # noqa: B023
        assert sign * sharpe(earned.returns, periods_per_year=365.25) > 8


def test_the_step_before_a_position_is_filled_is_no_part_of_the_decision() -> None:
    panel = to_panel(make_returns())
    split = make_split(panel)
    known, noise = know(panel, 2, 3), np.random.default_rng(1)

    def guess(cutoffs: np.ndarray, series: np.ndarray) -> np.ndarray:
        said = known(cutoffs, series)
        said[:, 0] = noise.normal(size=len(said))
        return said

    one, other = (trade_forecasts(forecast(panel, split, f), panel=panel) for f in (known, guess))
    np.testing.assert_array_equal(one.returns, other.returns)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_nothing_after_a_bar_changes_what_was_earned_until_it(stride: int) -> None:
    returns = make_returns()
    panel = to_panel(returns)
    split = make_split(panel, stride=stride)
    said = forecast(panel, split, know(panel, 2, 3)).forecast
    place = int(split.validation.positions[5]) + 3
    changed = returns.copy()
    changed[place - int(panel.positions[0]) + 1 :] = np.random.default_rng(2).normal(0, 0.05, (1, 4))
    accounts = []
    for one in (panel, to_panel(changed)):
        evaluation = forecast(one, split, lambda c, s: said[:, :, 0] + 0.01)
        accounts.append(trade_forecasts(evaluation, panel=one))
    before = accounts[0].positions <= place
    assert before.sum() >= 5
    np.testing.assert_array_equal(accounts[0].returns[before], accounts[1].returns[before])
    assert not np.array_equal(accounts[0].returns, accounts[1].returns)


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_nothing_after_the_last_label_is_read(stride: int) -> None:
    panel = to_panel(make_returns())
    split = make_split(panel, stride=stride)
    last = int(split.validation.positions[-1]) + TASK.horizon
    said = forecast(panel, split, know(panel, 2, 3))
    whole, cut = (trade_forecasts(said, panel=one) for one in (panel, panel.until(last)))
    np.testing.assert_array_equal(whole.returns, cut.returns)
    assert whole.positions[-1] <= last
    assert np.array_equal(whole.positions, np.arange(whole.positions[0], whole.positions[-1] + 1))


def test_each_fold_is_an_account_of_its_own() -> None:
    panel = to_panel(make_returns())
    split = make_split(panel)
    first = split.validation.first
    parts = [replace(split, validation=Cutoffs(first + k, first + k + 20, 2)) for k in (0, 40)]
    folds = [forecast(panel, one, know(panel, 2, 3)) for one in parts]
    alone = [trade_forecasts(one, panel=panel) for one in folds]
    both = trade_forecasts(join_evaluations(folds), panel=panel)
    np.testing.assert_array_equal(both.returns, np.concatenate([one.returns for one in alone]))
    np.testing.assert_array_equal(both.positions, np.concatenate([one.positions for one in alone]))
    assert both.turnover[len(alone[0].returns)] == 1.0  # the entry is paid again


def test_every_option_of_trading_changes_what_is_earned() -> None:
    panel = to_panel(make_returns())
    split = make_split(panel)
    said = forecast(panel, split, know(panel, 3))
    base = trade_forecasts(said, panel=panel)
    changes: list[dict[str, Any]] = [{"rule": "rank"}, {"rule": "size"}, {"sides": "long"}]
    changes += [{"fee_bps": 20.0}, {"half_spread_bps": 20.0}]
    found = [trade_forecasts(said, panel=panel, trading=Trading(**one)).returns for one in changes]
    assert all(not np.array_equal(one, base.returns) for one in found)
    assert found[3] == pytest.approx(base.returns - 0.0019 * base.turnover, abs=4e-5)
    assert found[3].mean() < base.returns.mean()


def test_size_holds_less_where_the_forecast_is_less_sure() -> None:
    panel = to_panel(make_returns())
    split = make_split(panel)
    said = forecast(panel, split, know(panel, 2, 3))
    middle = said.scored.point[:, :, None]
    fitted = fit(Naive(), panel=panel, split=without_test(split), task=TASK)
    wide = middle + 10 * (said.forecast - middle)
    unsure = evaluate(fitted, panel=panel, split=split, cutoffs=split.validation, said=wide)
    one, other = (trade_forecasts(e, panel=panel, trading=Trading(rule="size")) for e in (said, unsure))
    assert other.turnover.sum() < one.turnover.sum() / 2


def test_a_horizon_of_one_step_and_prices_are_refused() -> None:
    panel = to_panel(make_returns())
    task = Task(1)
    split = split_holdout(panel, task, validation=100, test=100)
    said = forecast(panel, split, lambda c, s: np.zeros((len(c), 1)), task=task)
    with pytest.raises(ConfigError, match=r"Ask for a horizon of 2 or more"):
        trade_forecasts(said, panel=panel)
    prices = to_panel(100 * np.cumprod(1 + make_returns(), axis=0))
    split = make_split(prices)
    with pytest.raises(DataError, match="these look like prices"):
        trade_forecasts(forecast(prices, split, lambda c, s: np.ones((len(c), 3))), panel=prices)
