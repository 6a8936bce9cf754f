"""Figures about returns, against published numbers, closed forms and plain loops."""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.errors import DataError
from tidewright.metrics.returns import (
    RETURN_METRICS,
    cagr,
    calmar,
    downside_deviation,
    hit_rate,
    max_drawdown,
    sharpe,
    sortino,
    total_return,
    volatility,
)

BACON = Path(__file__).parents[2].parent / "shared" / "data" / "reference" / "portfolio_bacon.csv"
RETURNS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60)


@pytest.mark.skipif(not BACON.is_file(), reason="the shared reference data are not on this machine")
def test_downside_deviation_of_bacons_portfolio_is_the_published_one() -> None:
    with BACON.open() as file:
        returns = [float(row[1]) for row in list(csv.reader(file))[1:]]
    assert len(returns) == 24
    assert downside_deviation(returns, minimum=0.005) == pytest.approx(0.0255, abs=5e-5)
    # the mean of the 24 excess returns is 0.4 %, so that the ratio of one month follows
    assert sortino(returns, periods_per_year=1, minimum=0.005) == pytest.approx(0.004 / 0.025537, rel=1e-4)


@given(RETURNS)
def test_sharpe_agrees_with_the_standard_library(returns: list[float]) -> None:
    spread = statistics.stdev(returns)
    ours = sharpe(returns, periods_per_year=12, risk_free=0.001)
    if spread < 1e-12:
        return
    theirs = (statistics.fmean(returns) - 0.001) / spread * math.sqrt(12)
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)


def plain_drawdown(returns: list[float]) -> float:
    wealth, peak, worst = 1.0, 1.0, 0.0
    for value in returns:
        wealth *= 1.0 + value
        peak = max(peak, wealth)
        worst = max(worst, 1.0 - wealth / peak)
    return worst


@given(RETURNS)
def test_drawdown_depth_agrees_with_a_plain_loop(returns: list[float]) -> None:
    assert max_drawdown(returns).depth == pytest.approx(plain_drawdown(returns), abs=1e-12)


@given(RETURNS)
def test_a_drawdown_lies_between_its_peak_and_its_recovery(returns: list[float]) -> None:
    worst = max_drawdown(returns)
    wealth = np.concatenate(([1.0], np.cumprod(1.0 + np.array(returns))))
    assert 0 <= worst.peak <= worst.trough <= len(returns)
    assert wealth[worst.trough] == pytest.approx(wealth[worst.peak] * (1.0 - worst.depth), rel=1e-9)
    if worst.recovered is None:
        assert np.all(wealth[worst.trough :] < wealth[worst.peak])
        assert worst.recovery is None
        assert worst.length == len(returns) - worst.peak
    else:
        assert wealth[worst.recovered] >= wealth[worst.peak]
        assert np.all(wealth[worst.peak + 1 : worst.recovered] < wealth[worst.peak])


def test_a_loss_in_the_first_period_is_a_drawdown_from_the_start() -> None:
    worst = max_drawdown([-0.5, 0.1])
    assert (worst.depth, worst.peak, worst.trough, worst.recovered, worst.length) == (0.5, 0, 1, None, 2)


def test_wealth_that_never_falls_has_no_drawdown_and_no_calmar() -> None:
    worst = max_drawdown([0.1, 0.0, 0.1])
    assert (worst.depth, worst.length, worst.recovery) == (0.0, 0, 0)
    assert math.isnan(calmar([0.1, 0.0, 0.1], periods_per_year=12))


def test_growth_of_a_constant_return_has_its_closed_form() -> None:
    assert total_return([0.01] * 12) == pytest.approx(1.01**12 - 1, rel=1e-12)
    assert cagr([0.01] * 24, periods_per_year=12) == pytest.approx(1.01**12 - 1, rel=1e-12)
    assert cagr([0.1, -1.0], periods_per_year=12) == -1.0


def test_returns_without_variation_have_no_sharpe_and_no_sortino() -> None:
    constant = [0.01 + 1e-16 * (k % 2) for k in range(30)]
    assert math.isnan(sharpe(constant, periods_per_year=252))
    assert math.isnan(sharpe([0.0] * 30, periods_per_year=252))
    assert math.isnan(sortino(constant, periods_per_year=252))


def test_one_return_has_no_volatility_and_no_sharpe() -> None:
    assert math.isnan(volatility([0.1], periods_per_year=12))
    assert math.isnan(sharpe([0.1], periods_per_year=12))


def test_downside_deviation_averages_over_all_periods() -> None:
    assert downside_deviation([0.1, 0.1, 0.1, -0.2]) == pytest.approx(0.2 / 2, rel=1e-12)


def test_a_flat_period_is_not_a_hit() -> None:
    assert hit_rate([0.0, 0.0, 0.1, -0.1]) == 0.25


def test_annualisation_scales_with_the_root_of_the_periods() -> None:
    returns = [0.01, -0.02, 0.03, 0.01]
    for ratio in (sharpe, sortino, volatility):
        assert ratio(returns, periods_per_year=48) == pytest.approx(2 * ratio(returns, periods_per_year=12), rel=1e-12)


def test_every_listed_metric_has_a_unit_a_direction_and_a_live_formula() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.01])
    market = [0.02, -0.01, 0.01, 0.03]
    assert {"volatility", "max_drawdown", "drawdown_length"} <= {
        metric.name for metric in RETURN_METRICS.values() if metric.direction == "lower"
    }
    for metric in RETURN_METRICS.values():
        if metric.of != "ledger":
            found = metric.measure(returns, periods_per_year=12, risk_free=0.001, benchmark=market)
            assert math.isfinite(found), metric.name
        assert metric.unit
        assert metric.formula


def test_the_risk_free_rate_moves_sharpe_and_sortino_in_the_list() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.01])
    moved = {
        name
        for name, metric in RETURN_METRICS.items()
        if metric.of == "returns"
        and metric.measure(returns, periods_per_year=12)
        != metric.measure(returns, periods_per_year=12, risk_free=0.001)
    }
    assert moved == {"sharpe", "sortino", "omega"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.5])
def test_an_impossible_return_is_named_by_its_row(value: float) -> None:
    with pytest.raises(DataError, match=r"return of row 2 is .*finite fraction of at least -1"):
        sharpe([0.1, 0.2, value], periods_per_year=12)


@pytest.mark.parametrize("returns", [[], [[0.1, 0.2]]])
def test_returns_of_another_shape_are_refused(returns: list[object]) -> None:
    with pytest.raises(DataError, match="have the shape"):
        total_return(returns)  # type: ignore[arg-type]


@pytest.mark.parametrize("periods", [0.0, -252.0, math.nan])
def test_periods_per_year_must_be_above_zero(periods: float) -> None:
    with pytest.raises(DataError, match="periods_per_year is"):
        volatility([0.1, 0.2], periods_per_year=periods)
