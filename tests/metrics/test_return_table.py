"""The table of figures of returns: by hand, by law, and its page."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tidewright as tw
from tidewright.errors import DataError, UnknownNameError
from tidewright.metrics.returns import RETURN_METRICS, Sample, find_return_metric, list_drawdowns
from tidewright.metrics.returns.definitions import write_definitions

PAGE = Path(__file__).parents[2] / "docs" / "backtest.md"
PLAIN = [name for name, one in RETURN_METRICS.items() if one.of == "returns"]
BESIDE = [name for name, one in RETURN_METRICS.items() if one.of == "benchmark"]
PATHS = {"max_drawdown", "calmar", "average_drawdown", "ulcer_index", "drawdown_length", "average_drawdown_length"}
PATHS |= {"drawdown_recovery", "average_recovery"}
HISTORIES = arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(3, 30)), elements=st.floats(-0.25, 0.25, width=32)
)


def measure(name: str, returns: object, **more: object) -> float:
    return RETURN_METRICS[name].measure(returns, **{"periods_per_year": 12.0, **more})  # type: ignore[arg-type]


def test_drawdowns_by_hand() -> None:
    """Wealth 1, 1.1, 0.88, 0.99, 1.1, 1.1, 0.55, 1.2, 1.08: half lost once, a fifth before, a tenth open at the end."""
    wealth = np.array([1.0, 1.1, 0.88, 0.99, 1.1, 1.1, 0.55, 1.2, 1.08])
    returns = wealth[1:] / wealth[:-1] - 1.0
    found = list_drawdowns(returns)
    assert [(one.peak, one.trough, one.recovered) for one in found] == [(1, 2, 4), (5, 6, 7), (7, 8, None)]
    assert [one.depth for one in found] == pytest.approx([0.2, 0.5, 0.1])
    assert [one.length for one in found] == [3, 2, 1]
    assert [one.recovery for one in found] == [2, 1, None]
    assert measure("average_drawdown", returns) == pytest.approx(0.8 / 3)
    assert measure("drawdown_length", returns) == 3
    assert measure("average_drawdown_length", returns) == 2
    assert measure("drawdown_recovery", returns) == 1
    assert measure("average_recovery", returns) == 1.5
    below = [0.0, 0.2, 0.1, 0.0, 0.0, 0.5, 0.0, 0.1]
    assert measure("ulcer_index", returns) == pytest.approx(math.sqrt(sum(x * x for x in below) / 8))


def test_wealth_that_never_falls_has_drawdowns_of_nothing() -> None:
    flat = [0.1, 0.0, 0.2]
    assert [measure(name, flat) for name in ("average_drawdown", "drawdown_length", "average_drawdown_length")] == [
        0
    ] * 3
    assert math.isnan(measure("drawdown_recovery", flat))
    assert math.isnan(measure("average_recovery", flat))


@settings(max_examples=60, deadline=None)
@given(HISTORIES)
def test_many_histories_at_once_have_the_figures_of_each(histories: np.ndarray) -> None:
    benchmark = np.roll(histories, 1, axis=1)
    many = Sample(histories, 12.0, 0.001, benchmark)
    for name in [*PLAIN, *BESIDE]:
        each = [
            measure(name, one, risk_free=0.001, benchmark=other)
            for one, other in zip(histories, benchmark, strict=True)
        ]
        np.testing.assert_allclose(RETURN_METRICS[name].compute(many), each, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.25, 0.25, width=32), min_size=3, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_periods_moves_only_figures_of_the_path(returns: list[float], random: object) -> None:
    other = list(returns)
    random.shuffle(other)  # type: ignore[attr-defined]
    for name in PLAIN:
        if name not in PATHS:
            assert measure(name, other) == pytest.approx(measure(name, returns), rel=1e-6, abs=1e-9, nan_ok=True), name


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.125, 0.125, width=32), min_size=3, max_size=30), st.sampled_from([0.5, 2.0]))
def test_larger_bets_move_risk_alike_and_leave_ratios(returns: list[float], scale: float) -> None:
    market = np.linspace(-0.05, 0.06, len(returns))
    bets = scale * np.array(returns)
    for name in ("mean_return", "volatility", "value_at_risk", "expected_shortfall", "beta", "alpha", "beta_error"):
        one, other = (measure(name, r, benchmark=market) for r in (returns, bets))
        assert other == pytest.approx(scale * one, rel=1e-6, abs=1e-9), name
    if np.std(returns) > 1e-6:
        for name in ("sharpe", "skew", "kurtosis", "hit_rate"):
            assert measure(name, bets) == pytest.approx(measure(name, returns), rel=1e-6), name


def test_a_benchmark_beside_itself() -> None:
    returns = np.random.default_rng(0).normal(0.001, 0.02, 200)
    found = tw.summarise(returns, periods_per_year=52, benchmark=returns, risk_free=0.0003)
    assert found["beta"] == pytest.approx(1.0, rel=1e-12)
    assert found["alpha"] == pytest.approx(0.0, abs=1e-12)
    assert found["tracking_error"] == 0.0
    assert math.isnan(found["information_ratio"])
    assert found["up_capture"] == pytest.approx(1.0)
    assert found["down_capture"] == pytest.approx(1.0)


def test_what_a_figure_is_undefined_for_gives_nan_and_no_warning() -> None:
    gains, one = [0.1, 0.2, 0.1], [0.1]
    assert [name for name in ("sortino", "omega", "payoff", "calmar") if not math.isnan(measure(name, gains))] == []
    for name in ("volatility", "sharpe", "skew", "kurtosis"):
        assert math.isnan(measure(name, one)), name
    for name in BESIDE:
        if name not in ("tracking_error", "information_ratio", "up_capture"):
            assert math.isnan(measure(name, gains, benchmark=[0.01] * 3)), name
    assert math.isnan(measure("up_capture", gains, benchmark=[-0.01] * 3))


def test_a_total_loss_is_a_figure_like_any_other() -> None:
    found = tw.summarise([0.1, -1.0, 0.2], periods_per_year=12)
    assert (found["total_return"], found["cagr"], found["max_drawdown"]) == (-1.0, -1.0, 1.0)
    assert found["calmar"] == -1.0


def test_every_definition_says_what_it_is() -> None:
    for one in RETURN_METRICS.values():
        assert one.formula
        assert one.source
        if "std" in one.formula:
            assert one.ddof is not None, one.name
        if one.unit == "fraction a year":
            assert one.annual != "no", one.name
    assert find_return_metric("beta").direction == "none"
    with pytest.raises(UnknownNameError, match="Did you mean 'sharpe'"):
        find_return_metric("sharp")


def test_relative_figures_need_a_benchmark_of_the_same_periods() -> None:
    with pytest.raises(DataError, match="needs the benchmark's returns"):
        measure("beta", [0.1, 0.2])
    with pytest.raises(DataError, match="2 returns came with 3 of the benchmark"):
        measure("beta", [0.1, 0.2], benchmark=[0.1, 0.2, 0.3])
    with pytest.raises(DataError, match="benchmark return of row 1 is nan"):
        measure("beta", [0.1, 0.2], benchmark=[0.1, math.nan])
    with pytest.raises(DataError, match="need a ledger's holdings"):
        measure("turnover", [0.1, 0.2])


def test_the_page_has_the_table_of_definitions() -> None:
    assert write_definitions() in PAGE.read_text(), "print(write_definitions()) and put it into docs/backtest.md"


def test_prices_and_a_riskless_rate_of_a_year_are_refused() -> None:
    returns = np.random.default_rng(0).normal(0.0, 0.01, 300)
    with pytest.raises(DataError, match=r"every one of the 300 returns is above 50%.*look like prices or equity"):
        tw.summarise(100.0 * np.cumprod(1.0 + returns), periods_per_year=252)
    with pytest.raises(DataError, match="look like prices or equity"):
        tw.deflate(100.0 * np.cumprod(1.0 + returns), trials=10)
    with pytest.raises(DataError, match=r"risk_free is 0\.04 a period, that is 1,008% a year\. Divide"):
        tw.summarise(returns, periods_per_year=252, risk_free=0.04)
    assert math.isfinite(tw.summarise(returns, periods_per_year=12, risk_free=0.04)["sharpe"])
