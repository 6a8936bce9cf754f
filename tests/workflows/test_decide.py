"""From forecasts to weights and their account: no look-ahead, every decision tilted, every option live."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

import tidewright as tw
from tidewright.data.forecast import tabulate
from tidewright.data.market import to_returns
from tidewright.data.panel import Panel
from tidewright.data.splits import Split, split_holdout
from tidewright.data.task import Task
from tidewright.data.wide import to_wide
from tidewright.models.build import build_spec
from tidewright.models.fitted import Fitted
from tidewright.training.compare import Leaderboard
from tidewright.training.evaluate import Evaluation, evaluate
from tidewright.training.fit import fit
from tidewright.workflows.decide import decide
from tidewright.workflows.result import Decision
from tidewright.workflows.settings import DecideSettings

DAYS, STOCKS = 240, ("A", "B", "C", "D", "E")
TASK = Task(horizon=3)
SETTINGS = DecideSettings(decide_every=5, lookback=30)


@cache
def make_prices() -> pl.DataFrame:
    """Five stocks whose returns persist, so that a ridge orders them with skill."""
    rng = np.random.default_rng(0)
    returns = np.zeros((DAYS, len(STOCKS)))
    for day in range(1, DAYS):
        returns[day] = 0.7 * returns[day - 1] + 0.01 * rng.standard_normal(len(STOCKS))
    prices = 100.0 * np.cumprod(1.0 + returns, axis=0)
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(DAYS)]
    parts = [pl.DataFrame({"stock": name, "day": days, "price": prices[:, n]}) for n, name in enumerate(STOCKS)]
    return pl.concat(parts)


def read(table: pl.DataFrame) -> tuple[Panel, Panel]:
    prices = Panel.from_table(table, series="stock", time="day", target="price")
    return to_returns(prices), prices


@cache
def world() -> tuple[Panel, Panel, Split, Fitted, Evaluation]:
    panel, prices = read(make_prices())
    split = split_holdout(panel, TASK)
    fitted = fit(build_spec("ridge"), panel=panel, split=split, task=TASK)
    validation = evaluate(fitted, panel=panel, split=split, cutoffs=split.validation)
    return panel, prices, split, fitted, validation


def board(*, beat: bool) -> Leaderboard:
    return Leaderboard("mae", (), "naive", "net", beat, "because")


def make_decision(
    panel: Panel | None = None,
    prices: Panel | None = None,
    *,
    settings: DecideSettings = SETTINGS,
    beat: bool = True,
    trials: int = 5,
    fitted: Fitted | None = None,
) -> Decision:
    own, stocks, split, ridge, validation = world()
    return decide(
        panel or own,
        prices or stocks,
        split=split,
        board=board(beat=beat),
        fitted=fitted or ridge,
        validation=validation,
        settings=settings,
        trials=trials,
    )


def test_a_forecast_that_beat_its_floor_moves_the_weights_at_every_decision() -> None:
    decision = make_decision()
    plain, tilted = (s.ledger for s in decision.strategies if s.name != "equal weight")
    assert decision.used_forecast
    fills = np.flatnonzero(plain.turnover)
    assert len(fills) > 5
    assert (np.abs(plain.positions[fills] - tilted.positions[fills]).max(axis=1) > 0).all()


def test_forecasts_also_move_the_weights_where_the_first_decision_waits_for_its_lookback() -> None:
    _, _, split, _, _ = world()
    assert split.test is not None
    settings = replace_settings(lookback=split.test.first + 12)  # more returns than there are before the test
    plain, tilted = (s.ledger for s in make_decision(settings=settings).strategies if s.name != "equal weight")
    fills = np.flatnonzero(plain.turnover)
    assert len(fills) >= 2
    assert (np.abs(plain.positions[fills] - tilted.positions[fills]).max(axis=1) > 0).all()


def test_a_point_forecast_without_widths_moves_the_weights_too() -> None:
    panel, _, split, _, _ = world()
    task = Task(horizon=3, quantiles=(0.5,))
    point = fit(build_spec("ridge"), panel=panel, split=split, task=task)
    decision = make_decision(fitted=point)
    assert decision.used_forecast
    assert decision.weights.values.sum() == pytest.approx(1.0, abs=1e-12)


def test_no_forecast_moves_a_weight_where_no_model_beat_its_floor() -> None:
    decision = make_decision(beat=False)
    assert [s.name for s in decision.strategies] == ["equal weight", "HRP"]
    assert not decision.used_forecast


def test_the_risk_of_the_next_bar_is_that_of_the_next_weights() -> None:
    panel, _, _, _, _ = world()
    decision = make_decision()
    returns = to_wide(panel).values
    wanted = tw.value_at_risk(returns, assets=STOCKS, weights=decision.weights)
    assert decision.risk is not None
    assert decision.risk.portfolio is not None
    assert wanted.portfolio is not None
    assert decision.risk.bars == len(returns)
    assert decision.risk.portfolio.es == wanted.portfolio.es
    np.testing.assert_array_equal(decision.risk.portfolio.component_es, wanted.portfolio.component_es)


def replace_settings(**options: float) -> DecideSettings:
    return SETTINGS.model_copy(update=options)


def cuts() -> list[int]:
    _, prices, split, _, _ = world()
    assert split.test is not None
    places = np.random.default_rng(1).integers(split.test.first, prices.span[1], 24)
    borders = [split.test.first + step for step in (-1, 0, 1)] + [split.test.last + step for step in (-1, 0, 1)]
    return sorted({*map(int, places), *borders})


@pytest.mark.parametrize("cut", cuts())
def test_prices_after_a_bar_change_no_position_at_or_before_it(cut: int) -> None:
    _, prices, split, _, _ = world()
    assert split.test is not None
    later = prices.positions > cut
    changed = prices.table.with_columns(
        pl.Series("price", np.where(later, 50.0 + 7.0 * np.sin(prices.positions + prices.codes), prices.target))
    )
    known = cut - split.test.first + 1  # ledgers begin at the first cutoff of the test
    for ours, theirs in zip(make_decision().strategies, make_decision(*read(changed)).strategies, strict=True):
        for name in ("positions", "trades", "costs", "cash", "equity"):
            before, after = (getattr(s.ledger, name)[:known] for s in (ours, theirs))
            assert before.tobytes() == after.tobytes(), (ours.name, name)


def test_every_account_balances_and_every_allocation_sums_to_one() -> None:
    decision = make_decision()
    _, prices, split, _, _ = world()
    assert split.test is not None
    closes = prices.target.reshape(len(STOCKS), DAYS).T[split.test.first - prices.span[0] :]
    assert decision.weights.values.sum() == pytest.approx(1.0, abs=1e-12)
    for strategy in decision.strategies:
        ledger = strategy.ledger
        worth = (ledger.positions * closes).sum(axis=1)
        np.testing.assert_allclose(ledger.cash + worth, ledger.equity, rtol=1e-12)
        spent = (ledger.trades * closes).sum(axis=1) + ledger.costs
        np.testing.assert_allclose(np.diff(ledger.cash), -spent[1:], atol=1e-6)  # of a million


def test_a_decision_is_filled_one_bar_after_the_close_that_it_saw() -> None:
    _, prices, split, _, _ = world()
    assert split.test is not None
    ledger = make_decision().strategies[0].ledger
    assert ledger.first_fill == 1
    seen = prices.frequency.times(np.array([split.test.first])).astype("datetime64[us]")[0]
    assert ledger.times[0] == seen


def test_a_million_bought_at_the_fill_pays_the_spread_and_the_fee() -> None:
    free = make_decision(settings=replace_settings(fee_bps=0.0, half_spread_bps=0.0)).strategies[0].ledger
    dear = make_decision(settings=replace_settings(fee_bps=10.0, half_spread_bps=5.0)).strategies[0].ledger
    assert free.costs.sum() == 0.0
    assert dear.costs[1] == pytest.approx(1e6 * 0.0015 / 1.0015, rel=1e-9)


@pytest.mark.parametrize("option", [{"fee_bps": 9.0}, {"half_spread_bps": 9.0}, {"decide_every": 7}, {"lookback": 40}])
def test_every_option_of_the_decision_changes_the_account(option: dict[str, float]) -> None:
    ours, theirs = make_decision(), make_decision(settings=replace_settings(**option))
    assert ours.strategies[1].ledger.equity.tobytes() != theirs.strategies[1].ledger.equity.tobytes()


def test_more_trials_raise_the_hurdle_of_the_sharpe_ratio() -> None:
    few, many = (make_decision(trials=n).strategies[0].deflated for n in (2, 50))
    assert few is not None
    assert many is not None
    assert few.hurdle < many.hurdle
    assert few.probability > many.probability


def test_the_skill_is_measured_on_validation_alone() -> None:
    _, _, _, _, validation = world()
    scored = validation.scored
    reversed_ = replace(
        validation,
        scored=type(scored)(-scored.actual, scored.forecast, levels=scored.levels, series=scored.series),
    )
    panel, prices, split, fitted, _ = world()
    decision = decide(
        panel,
        prices,
        split=split,
        board=board(beat=True),
        fitted=fitted,
        validation=reversed_,
        settings=SETTINGS,
        trials=5,
    )
    assert not decision.used_forecast
    assert "rank IC at most 0" in decision.reason


def test_a_rank_correlation_that_may_be_luck_moves_no_weight() -> None:
    panel, prices, split, fitted, validation = world()
    scored = validation.scored
    noise = np.random.default_rng(2).permutation(scored.forecast)
    lucky = replace(validation, scored=type(scored)(scored.actual, noise, levels=scored.levels, series=scored.series))
    decision = decide(
        panel, prices, split=split, board=board(beat=True), fitted=fitted, validation=lucky, settings=SETTINGS, trials=5
    )
    assert not decision.used_forecast
    assert "may be luck, so they moved no weight" in decision.reason


def test_the_reason_says_what_was_measured_and_what_is_left_of_it() -> None:
    reason = make_decision().reason
    used, mean, error = (float(number) for number in re.findall(r"0\.\d{3}", reason))
    assert used == pytest.approx((1 - (error / mean) ** 2) * mean, abs=2e-3)


def test_the_skill_is_that_of_the_same_forecasts_read_as_a_table() -> None:
    panel, _, _, fitted, validation = world()
    table = tabulate(
        panel, validation.forecast, rows=validation.windows.rows, levels=fitted.task.quantiles, model="ridge"
    )
    wide = to_wide(panel)
    told = {"times": wide.times, "assets": tuple(map(str, panel.series_ids)), "beats_floor": True}
    skill = tw.measure_skill(tw.read_predictions(table), wide.values, **told)
    used, mean, error = (float(number) for number in re.findall(r"0\.\d{3}", make_decision().reason))
    assert (skill.used, skill.mean, skill.error) == pytest.approx((used, mean, error), abs=5.1e-4)
