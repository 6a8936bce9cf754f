"""Each method, against known answers, independent solvers and the conditions of an optimum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.portfolio.optimise.worlds import draw_returns, name_assets, pose
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio import CostBasis, Costs, Covariance, Limits, optimise
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise.problem import Problem

PRICES = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "reference" / "pypfopt_stock_prices.csv"
NAMES = name_assets(8)
SECTORS = {name: f"S{number % 3}" for number, name in enumerate(NAMES)}
HELD = np.array([0.3, 0.1, 0.05, 0.15, 0.1, 0.1, 0.1, 0.1])
LIMITED = Limits.parse("each <= 0.3", "S0 <= 0.4", "S1 >= 0.2", "turnover <= 0.6", groups=SECTORS)


def read_fixture() -> tuple[tuple[str, ...], FloatArray, Covariance]:
    """PyPortfolioOpt's own prices: its yearly compound means and yearly sample covariance."""
    table = pl.read_csv(PRICES, infer_schema_length=None, null_values=[""]).drop("date").cast(pl.Float64).to_numpy()
    with PRICES.open() as file:
        names = tuple(file.readline().strip().split(",")[1:])
    import pandas as pd
    from pypfopt import expected_returns, risk_models

    frame = pd.DataFrame(table, columns=list(names))
    mean = expected_returns.mean_historical_return(frame).to_numpy()
    return names, mean, Covariance(risk_models.sample_cov(frame).to_numpy(), names, "sample, a year")


@pytest.mark.skipif(not PRICES.exists(), reason="the reference data are not on this machine")
def test_min_variance_and_max_sharpe_are_those_of_pypfopts_fixture() -> None:
    names, mean, covariance = read_fixture()
    calm = optimise(None, assets=names, covariance=covariance)
    assert mean @ calm.weights.values == pytest.approx(0.1505682, abs=5e-8)
    assert calm.objective**0.5 == pytest.approx(0.1591508, abs=5e-8)
    best = optimise(None, assets=names, method="max_sharpe", covariance=covariance, expected=mean, risk_free=0.02)
    risk = (best.weights.values @ covariance.values @ best.weights.values) ** 0.5
    assert mean @ best.weights.values == pytest.approx(0.3047769, abs=5e-8)
    assert (risk, best.objective) == pytest.approx((0.2216557, 1.2847714), abs=5e-8)


def ask(problem: Problem, held: FloatArray | None) -> tuple[Any, list[Any]]:
    """The limits of LIMITED, written out anew for another modelling language."""
    w = cp.Variable(len(problem.assets))
    first, second = (np.array([SECTORS[name] == sector for name in NAMES], float) for sector in ("S0", "S1"))
    rows = [w >= 0, w <= 0.3, cp.sum(w) == 1, first @ w <= 0.4, second @ w >= 0.2]
    return w, rows if held is None else [*rows, cp.norm1(w - held) <= 0.6]


@pytest.mark.parametrize("seed", range(4))
def test_no_limit_is_broken_and_no_independent_solver_is_better(seed: int) -> None:
    problem = pose(seed, limits=LIMITED, previous=HELD)
    w, rows = ask(problem, HELD)
    root = np.linalg.cholesky(problem.covariance)
    calm = float(cp.Problem(cp.Minimize(cp.sum_squares(1e3 * root.T @ w)), rows).solve(solver="CLARABEL")) / 1e6
    options: dict[str, Any] = {"assets": NAMES, "limits": LIMITED, "previous": HELD}
    found = optimise(draw_returns(seed), **options)
    assert found.objective == pytest.approx(calm, rel=1e-7)
    aimed = optimise(draw_returns(seed), method="max_utility", risk_aversion=4.0, **options)
    useful = 1e4 * (problem.mean @ w) - 2.0 * cp.sum_squares(1e2 * root.T @ w)
    assert aimed.objective == pytest.approx(
        float(cp.Problem(cp.Maximize(useful), rows).solve(solver="CLARABEL")) / 1e4, rel=1e-6
    )
    risk = 1.1 * calm**0.5
    most = cp.Problem(cp.Maximize(1e3 * problem.mean @ w), [*rows, cp.norm(1e3 * root.T @ w) <= 1e3 * risk])
    bold = optimise(draw_returns(seed), method="target_risk", target=risk, **options)
    assert bold.objective == pytest.approx(float(most.solve(solver="CLARABEL")) / 1e3, rel=1e-6)
    same = optimise(draw_returns(seed), method="target_return", target=bold.objective, **options)
    assert same.objective**0.5 == pytest.approx(risk, rel=1e-6)
    for one in (found, aimed, bold, same):
        broken = LIMITED.excess(one.weights.values, assets=NAMES, previous=HELD)
        assert max(broken.values(), default=0.0) < 1e-8
        assert one.status == "Solved"


COSTLY = Costs(fee_bps=10, half_spread_bps=10, impact=0.5, borrow_bps=300)
BASIS = CostBasis(holding=21, volume=np.linspace(2e6, 9e6, 8), equity=1e7, periods_per_year=252)


def cost_of(problem: Problem, w: Any) -> Any:
    """The costs written out for another modelling language."""
    traded = problem.rate * cp.norm1(w - HELD) + problem.impact @ cp.power(cp.abs(w - HELD), 1.5)
    return traded + problem.borrow * cp.sum(cp.neg(w))


@pytest.mark.parametrize("seed", range(3))
def test_max_sharpe_after_costs_with_shorts_is_the_best_there_is(seed: int) -> None:
    """At the best ratio s no portfolio has more than zero of earnings - s * risk (Dinkelbach 1967)."""
    limits = Limits.parse("shorts allowed", "each >= -0.2", "leverage <= 1.6", "turnover <= 0.9",
                          "tracking error <= 0.01 a period", benchmark=dict(zip(NAMES, HELD, strict=True)))  # fmt: skip
    options: dict[str, Any] = {"limits": limits, "previous": HELD, "costs": COSTLY, "basis": BASIS}
    problem = pose(seed, **options)
    found = optimise(draw_returns(seed), assets=NAMES, method="max_sharpe", **options)
    assert found.objective == pytest.approx(problem.earn(found.weights.values) / problem.risk(found.weights.values))
    w, root = cp.Variable(8), np.linalg.cholesky(problem.covariance).T
    rows = [
        w >= -0.2,
        cp.sum(w) == 1,
        cp.norm1(w) <= 1.6,
        cp.norm1(w - HELD) <= 0.9,
        cp.norm(root @ (w - HELD)) <= 0.01,
    ]
    left = 1e3 * (problem.mean @ w - cost_of(problem, w) - found.objective * cp.norm(root @ w))
    assert float(cp.Problem(cp.Maximize(left), rows).solve(solver="CLARABEL")) == pytest.approx(0.0, abs=1e-5)
    assert found.excess < 1e-8


def test_costs_hold_back_trades_and_the_utility_after_them_is_the_best() -> None:
    options: dict[str, Any] = {"previous": HELD, "costs": COSTLY, "basis": BASIS}
    problem = pose(1, **options)
    found = optimise(draw_returns(1), assets=NAMES, method="max_utility", risk_aversion=50.0, **options)
    w, root = cp.Variable(8), np.linalg.cholesky(problem.covariance).T
    gain = 1e4 * (problem.mean @ w - cost_of(problem, w)) - 25 * cp.sum_squares(1e2 * root @ w)
    best = cp.Problem(cp.Maximize(gain), [w >= 0, cp.sum(w) == 1]).solve(solver="CLARABEL")
    assert found.objective == pytest.approx(float(best) / 1e4, rel=1e-6)
    free = optimise(draw_returns(1), assets=NAMES, method="max_utility", risk_aversion=50.0)
    assert np.abs(found.weights.values - HELD).sum() < np.abs(free.weights.values - HELD).sum()


def test_every_part_of_the_costs_moves_the_weights() -> None:
    shorts = Limits.parse("shorts allowed", "each >= -0.3", "leverage <= 2")

    def solve(costs: Costs, basis: CostBasis = BASIS) -> FloatArray:
        return optimise(
            draw_returns(2), assets=NAMES, method="max_utility", risk_aversion=50.0, limits=shorts, previous=HELD,
            costs=costs, basis=basis,
        ).weights.values  # fmt: skip

    free = solve(Costs(0, 0))
    for part in (
        {"fee_bps": 20},
        {"half_spread_bps": 20},
        {"impact": 1},
        {"borrow_bps": 3000},
        {"max_participation": 0.2},
    ):
        assert np.abs(solve(Costs(**{"fee_bps": 0, "half_spread_bps": 0, **part})) - free).max() > 1e-4
    base = solve(COSTLY)
    for change in ({"holding": 5}, {"volume": np.full(8, 1e6)}, {"equity": 5e7}, {"periods_per_year": 12}):
        assert np.abs(solve(COSTLY, replace(BASIS, **change)) - base).max() > 1e-5
    banded = solve(Costs(0, 0, max_participation=0.2))
    assert (np.abs(banded - HELD) <= 0.2 * np.asarray(BASIS.volume) / 1e7 + 1e-8).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_at_the_least_variance_no_move_within_the_limits_lowers_it(seed: int) -> None:
    """The conditions of Karush, Kuhn and Tucker: marginal variance is alike where weights are free, and higher at 0."""
    returns = draw_returns(seed)
    weights = optimise(returns, assets=NAMES).weights.values
    slope = np.cov(returns.T) @ weights
    held, variance = weights > 1e-6, weights @ slope
    np.testing.assert_allclose(slope[held], variance, rtol=1e-5)
    assert (slope[~held] >= variance * (1 - 1e-5)).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["min_variance", "min_cvar", "max_utility"]))
def test_the_order_of_assets_changes_nothing(seed: int, method: str) -> None:
    returns, order = draw_returns(seed), np.random.default_rng(seed).permutation(8)
    options = {"risk_aversion": 3.0} if method == "max_utility" else {}
    straight = optimise(returns, assets=NAMES, method=method, limits=LIMITED, previous=HELD, **options)
    turned = optimise(
        returns[:, order],
        assets=[NAMES[i] for i in order],
        method=method,
        limits=LIMITED,
        previous=HELD[order],
        **options,
    )
    assert turned.objective == pytest.approx(straight.objective, rel=1e-6)
    got, wanted = turned.weights.as_dict(), straight.weights.as_dict()
    assert got == pytest.approx(wanted, abs=1e-3 if method == "min_cvar" else 1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_unit_of_returns_changes_no_weight(scale: float) -> None:
    returns = draw_returns(5)
    covariance, mean = np.cov(returns.T), returns.mean(axis=0)
    for method in ("min_variance", "max_sharpe"):
        expected = {} if method == "min_variance" else {"expected": mean}
        scaled = {} if method == "min_variance" else {"expected": mean * scale}
        one = optimise(None, assets=NAMES, method=method, covariance=Covariance(covariance, NAMES, "x"), **expected)
        other = optimise(
            None, assets=NAMES, method=method, covariance=Covariance(covariance * scale**2, NAMES, "x"), **scaled
        )
        np.testing.assert_allclose(other.weights.values, one.weights.values, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_skfolio_comes_to_the_same(seed: int) -> None:
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.prior import EmpiricalPrior

    returns, tight = draw_returns(seed), {"solver_params": {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12}}
    for method, model in (
        ("min_variance", MeanRisk(max_weights=0.3, **tight)),
        ("max_sharpe", MeanRisk(ObjectiveFunction.MAXIMIZE_RATIO, max_weights=0.3, **tight)),
        (
            "min_cvar",
            MeanRisk(risk_measure=RiskMeasure.CVAR, max_weights=0.3, prior_estimator=EmpiricalPrior(), **tight),
        ),
    ):
        ours = optimise(returns, assets=NAMES, method=method, limits=Limits(each=(None, 0.3)))
        np.testing.assert_allclose(ours.weights.values, model.fit(returns).weights_, atol=1e-3)


def test_fewer_rows_than_assets_are_noted() -> None:
    found = optimise(draw_returns(0)[:7], assets=NAMES)
    assert "7 rows of 8 assets: the sample covariance has portfolios without risk" in found.weights.notes
    calm = optimise(draw_returns(0)[:7], assets=NAMES, covariance="ledoit_wolf")
    assert not any("without risk" in note for note in calm.weights.notes)


def test_cash_earns_the_risk_free_rate() -> None:
    limits = Limits.parse("net <= 1", "net >= 0")
    mean = np.full(8, 1e-3)
    found = optimise(
        draw_returns(3), assets=NAMES, method="target_return", target=6e-4, limits=limits, expected=mean, risk_free=2e-4
    )
    assert found.weights.net == pytest.approx(0.5, abs=1e-6)  # half at 0.1 %, half at 0.02 %


def test_the_ratio_says_nothing_of_the_size_so_the_largest_is_taken() -> None:
    returns = draw_returns(0)
    full = optimise(returns, assets=NAMES, method="max_sharpe")
    cash = optimise(returns, assets=NAMES, method="max_sharpe", limits=Limits.parse("net <= 1", "each <= 0.9"))
    np.testing.assert_allclose(cash.weights.values, full.weights.values, atol=1e-6)
    assert cash.weights.notes[-1].endswith("these weights are the largest")
    hedged = optimise(
        returns, assets=NAMES, method="max_sharpe", limits=Limits.parse("shorts allowed", "net = 0", "leverage <= 2")
    )
    assert hedged.weights.gross == pytest.approx(2.0, abs=1e-8)
    assert hedged.weights.net == pytest.approx(0.0, abs=1e-9)


def test_what_has_no_answer_is_told_in_words() -> None:
    returns = draw_returns(0)
    with pytest.raises(
        AllocationError, match=r"expected to earn more than the risk-free rate of 0.5 a period: the best"
    ):
        optimise(returns, assets=NAMES, method="max_sharpe", risk_free=0.5)
    with pytest.raises(AllocationError, match="leave the size of the weights open"):
        optimise(returns, assets=NAMES, method="max_sharpe", limits=Limits.parse("shorts allowed", "net = 0"))
    for options, message in (
        ({"method": "max_utility"}, "max_utility needs risk_aversion="),
        ({"method": "target_risk", "target": -1.0}, "target risk is -1.0"),
        ({"method": "target_return", "target": np.nan}, "target return is nan"),
        ({"method": "max_utility", "risk_aversion": 0.0}, "risk_aversion is 0.0"),
        ({"method": "min_cvar", "confidence": 95}, "confidence is 95"),
        ({"costs": Costs(1, 1)}, "min_variance has no use for costs"),
        ({"method": "min_cvar", "expected": np.zeros(8)}, "min_cvar has no use for expected"),
        ({"method": "min_cvar", "covariance": "oas"}, "min_cvar weighs scenarios"),
        ({"method": "max_sharpe", "costs": Costs(1, 1)}, "nothing says from what. Pass previous="),
        ({"method": "max_sharpe", "costs": Costs(0, 0, impact=1), "previous": HELD}, "Pass CostBasis"),
        ({"basis": BASIS}, "there are none. Pass costs="),
        ({"limits": Limits(turnover=0.1)}, "'turnover <= 0.1' has nothing to count from"),
        ({"limits": "each <= 0.1"}, "limits is a Limits"),
        ({"previous": {"ZZZ": 0.5}}, "previous holds 'ZZZ', which is not among the assets"),
        ({"previous": HELD[:3]}, "Give the weight of each"),
        ({"method": "max_sharpe", "expected": np.zeros(3)}, "give one return a period for 8 assets"),
        ({"method": "max_sharpe", "expected": np.r_[np.nan, np.zeros(7)]}, "expected return of 'A0' is nan"),
        ({"risk_free": np.inf, "method": "max_sharpe"}, "risk_free is inf"),
    ):
        with pytest.raises(AllocationError, match=message):
            optimise(returns, assets=NAMES, **options)
    with pytest.raises(ConfigError, match=r"no option of min_cvar is called 'confidnce'. Did you mean 'confidence'"):
        optimise(returns, assets=NAMES, method="min_cvar", confidnce=0.9)
    with pytest.raises(ConfigError, match=r"no optimiser is called 'max_sharp'. Did you mean 'max_sharpe'"):
        optimise(returns, assets=NAMES, method="max_sharp")
    with pytest.raises(AllocationError, match="max_sharpe needs expected returns"):
        optimise(None, assets=NAMES, method="max_sharpe", covariance=Covariance(np.eye(8), NAMES, "x"))


@pytest.mark.parametrize(("rows", "columns"), [(100, 500), (200, 500), (10, 20)])
def test_a_gain_without_risk_has_no_sharpe_ratio(rows: int, columns: int) -> None:
    returns = np.random.default_rng(0).normal(0.0005, 0.01, (rows, columns))
    names = [f"a{place}" for place in range(columns)]
    with pytest.raises(AllocationError, match=r"has no risk in this covariance, and .*='ledoit_wolf'"):
        optimise(returns, assets=names, method="max_sharpe")
    assert optimise(returns, assets=names, method="max_sharpe", covariance="ledoit_wolf").objective < 3.0
