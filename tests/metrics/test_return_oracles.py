"""Figures of returns beside empyrical-reloaded, quantstats and statsmodels, where the definitions agree."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import tidewright as tw
from tidewright.metrics.returns import RETURN_METRICS

PER_YEAR = 252
draw = np.random.default_rng(11)
MARKET = 0.0004 + 0.011 * draw.standard_t(4, size=1500)
RETURNS = 0.0001 + 0.7 * MARKET + 0.006 * draw.standard_normal(1500)


def ours(name: str, **more: Any) -> float:
    return RETURN_METRICS[name].measure(RETURNS, periods_per_year=PER_YEAR, benchmark=MARKET, **more)


@pytest.fixture(scope="module", name="empyrical")
def load_empyrical() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("empyrical")


@pytest.fixture(scope="module", name="quantstats")
def load_quantstats() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("quantstats.stats")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("total_return", "cum_returns_final"),
        ("cagr", "annual_return"),
        ("volatility", "annual_volatility"),
        ("sharpe", "sharpe_ratio"),
        ("sortino", "sortino_ratio"),
        ("calmar", "calmar_ratio"),
        ("omega", "omega_ratio"),
        ("tail_ratio", "tail_ratio"),
    ],
)
def test_a_figure_is_that_of_empyrical(empyrical: Any, name: str, theirs: str) -> None:
    assert ours(name) == pytest.approx(float(getattr(empyrical, theirs)(RETURNS)), rel=1e-9)


def test_empyrical_gives_a_drawdown_as_a_negative_number(empyrical: Any) -> None:
    assert ours("max_drawdown") == pytest.approx(-empyrical.max_drawdown(RETURNS), rel=1e-12)


def test_beta_is_empyricals_and_alpha_is_before_compounding(empyrical: Any) -> None:
    assert ours("beta") == pytest.approx(empyrical.beta(RETURNS, MARKET), rel=1e-9)
    compounded = empyrical.alpha(RETURNS, MARKET)
    assert (1.0 + ours("alpha") / PER_YEAR) ** PER_YEAR - 1.0 == pytest.approx(compounded, rel=1e-9)


def test_capture_is_empyricals_without_annualisation(empyrical: Any) -> None:
    """Theirs annualises each side first: over daily gains that is a ratio of numbers without a meaning."""
    assert ours("up_capture") == pytest.approx(empyrical.up_capture(RETURNS, MARKET, period="yearly"), rel=1e-9)
    assert ours("down_capture") == pytest.approx(empyrical.down_capture(RETURNS, MARKET, period="yearly"), rel=1e-9)


def test_the_tail_is_within_the_two_order_statistics_around_empyricals_interpolated_one(empyrical: Any) -> None:
    ordered = np.sort(RETURNS)
    assert ours("value_at_risk") == -ordered[75]  # the 76th of 1,500: 95 % of losses are no larger
    risk = tw.value_at_risk(np.asarray(RETURNS)[:, None], assets=["A"], confidence=0.95)
    assert ours("value_at_risk") == risk.var[0]
    assert -ordered[75] <= -empyrical.value_at_risk(RETURNS, cutoff=0.05) <= -ordered[74]
    assert ours("expected_shortfall") == pytest.approx(-ordered[:75].mean(), rel=1e-12)
    assert ours("expected_shortfall") == pytest.approx(-empyrical.conditional_value_at_risk(RETURNS, 0.05), rel=1e-9)


def test_figures_are_those_of_quantstats(quantstats: Any) -> None:
    dated = pd.Series(RETURNS, index=pd.bdate_range("2015-01-01", periods=RETURNS.size))
    market = pd.Series(MARKET, index=dated.index)
    assert ours("sharpe") == pytest.approx(quantstats.sharpe(dated, periods=PER_YEAR), rel=1e-9)
    assert ours("sortino") == pytest.approx(quantstats.sortino(dated, periods=PER_YEAR), rel=1e-9)
    assert ours("omega") == pytest.approx(quantstats.omega(dated), rel=1e-9)
    assert ours("payoff") == pytest.approx(quantstats.payoff_ratio(dated), rel=1e-9)
    assert ours("cagr") == pytest.approx(quantstats.cagr(dated, periods=PER_YEAR), rel=1e-9)
    # theirs is a period's, and the root of the mean over n - 1
    assert ours("information_ratio") / math.sqrt(PER_YEAR) == pytest.approx(
        quantstats.information_ratio(dated, market), rel=1e-9
    )
    assert ours("ulcer_index") == pytest.approx(quantstats.ulcer_index(dated) * math.sqrt(1499 / 1500), rel=1e-6)


def test_the_line_and_its_errors_are_those_of_least_squares() -> None:
    free = 0.0001
    fit = sm.OLS(RETURNS - free, sm.add_constant(MARKET - free)).fit()
    found = [ours(name, risk_free=free) for name in ("alpha", "beta", "alpha_error", "beta_error")]
    scale = [PER_YEAR, 1.0, PER_YEAR, 1.0]
    assert found == pytest.approx(np.array([*fit.params, *fit.bse]) * scale, rel=1e-9)


def test_skew_and_kurtosis_are_scipys() -> None:
    from scipy import stats

    assert ours("skew") == pytest.approx(stats.skew(RETURNS), rel=1e-9)
    assert ours("kurtosis") == pytest.approx(stats.kurtosis(RETURNS, fisher=False), rel=1e-9)
