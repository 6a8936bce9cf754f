"""HERC, NCO and risk budgets: against skfolio and SciPy, and what their definitions say."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tidewright as tw
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio import (
    Covariance,
    estimate_covariance,
    herc_weights,
    nco_weights,
    risk_budget_weights,
    risk_contributions,
    risk_parity_weights,
)
from tidewright.portfolio.allocate.budget import solve_budgets
from tidewright.portfolio.allocate.nco import least_variance

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
SIZES = [(8, 120), (30, 300), (60, 400)]


def name_assets(count: int) -> tuple[str, ...]:
    return tuple(f"asset {number}" for number in range(count))


def draw_returns(seed: int, *, assets: int = 8, rows: int = 120) -> Floats:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, assets))
    return (common + rng.normal(size=(rows, assets))) * rng.uniform(0.004, 0.03, size=assets)


def ask_skfolio(estimator: str, returns: Floats, **options: Any) -> Floats:
    import skfolio.optimization

    table = pd.DataFrame(returns, columns=list(name_assets(returns.shape[1])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(getattr(skfolio.optimization, estimator)(**options).fit(table).weights_)


@pytest.mark.parametrize(("assets", "rows"), SIZES)
def test_herc_is_that_of_skfolio(assets: int, rows: int) -> None:
    returns = draw_returns(assets, assets=assets, rows=rows)
    theirs = ask_skfolio("HierarchicalEqualRiskContribution", returns)
    ours = herc_weights(returns, assets=name_assets(assets))
    np.testing.assert_allclose(ours.values, theirs, rtol=1e-9)


@pytest.mark.parametrize(("assets", "rows"), SIZES)
def test_nco_is_that_of_skfolio_within_its_solver(assets: int, rows: int) -> None:
    returns = draw_returns(assets, assets=assets, rows=rows)
    theirs = ask_skfolio("NestedClustersOptimization", returns, cv="ignore")
    ours = nco_weights(returns, assets=name_assets(assets))
    np.testing.assert_allclose(ours.values, theirs, atol=5e-4)


@pytest.mark.parametrize(("assets", "rows"), SIZES)
def test_risk_budgets_are_those_of_skfolio_within_its_solver(assets: int, rows: int) -> None:
    from skfolio import RiskMeasure

    returns, names = draw_returns(assets, assets=assets, rows=rows), name_assets(assets)
    variance = {"risk_measure": RiskMeasure.VARIANCE}
    theirs = ask_skfolio("RiskBudgeting", returns, **variance)
    np.testing.assert_allclose(risk_parity_weights(returns, assets=names).values, theirs, atol=2e-5)
    budgets = dict(zip(names, np.random.default_rng(1).dirichlet(np.ones(assets)).tolist(), strict=True))
    theirs = ask_skfolio("RiskBudgeting", returns, risk_budget=budgets, **variance)
    ours = risk_budget_weights(returns, assets=names, budgets=budgets)
    np.testing.assert_allclose(ours.values, theirs, atol=2e-4)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 25), st.floats(0.0, 8.0))
def test_every_asset_carries_its_budget_of_the_risk(seed: int, assets: int, decades: float) -> None:
    rng = np.random.default_rng(seed)
    covariance = estimate_covariance(draw_returns(seed, assets=assets), assets=name_assets(assets))
    budgets = 10.0 ** -rng.uniform(0.0, decades, assets)
    budgets /= budgets.sum()
    values = solve_budgets(covariance.values, budgets=budgets)
    parts = values * (covariance.values @ values)
    np.testing.assert_allclose(parts / parts.sum(), budgets, rtol=1e-6)
    assert values.min() > 0.0


def test_risk_parity_without_correlation_is_one_over_the_deviation() -> None:
    deviation = np.array([0.1, 0.2, 0.4])
    covariance = Covariance(values=np.diag(deviation**2), assets=("A", "B", "C"), method="by hand")
    weights = risk_parity_weights(None, assets=("A", "B", "C"), covariance=covariance)
    np.testing.assert_allclose(weights.values, (1 / deviation) / (1 / deviation).sum(), rtol=1e-10)
    np.testing.assert_allclose(risk_contributions(weights, covariance), 1 / 3, rtol=1e-10)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 15))
def test_the_least_variance_is_no_higher_than_that_of_its_neighbours(seed: int, assets: int) -> None:
    covariance = estimate_covariance(draw_returns(seed, assets=assets), assets=name_assets(assets)).values
    weights = least_variance(covariance)
    slope = covariance @ weights
    least = float(weights @ slope)
    assert np.all(weights >= 0)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(slope[weights > 0], least, rtol=1e-8)  # the conditions of Karush, Kuhn and Tucker
    assert np.all(slope >= least * (1 - 1e-8))


def test_two_groups_are_told_apart_and_share_the_risk() -> None:
    rng = np.random.default_rng(0)
    heads = rng.normal(0, 0.01, (1000, 2))
    returns = heads[:, [0, 0, 0, 1, 1]] + rng.normal(0, 0.003, (1000, 5))
    for method in ("herc", "nco"):
        weights = tw.allocate(returns, assets=name_assets(5), method=method, clusters=2)
        assert weights.notes[-1] in ("2 clusters of 3, 2 assets", "2 clusters of 2, 3 assets")
        assert weights.values[:3].sum() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("method", ["herc", "nco"])
@pytest.mark.parametrize(
    "options", [{"covariance": "ewma"}, {"distance": "columns"}, {"linkage": "single"}, {"clusters": 5}]
)
def test_every_option_moves_the_weights(method: str, options: dict[str, Any]) -> None:
    returns, names = draw_returns(3, assets=14), name_assets(14)
    usual = tw.allocate(returns, assets=names, method=method).values
    assert not np.allclose(tw.allocate(returns, assets=names, method=method, **options).values, usual, rtol=1e-3)


@pytest.mark.parametrize("method", ["risk_parity", "nco"])
def test_a_singular_sample_is_repaired_with_a_note(method: str) -> None:
    weights = tw.allocate(draw_returns(1, assets=20, rows=10), assets=name_assets(20), method=method)
    assert weights.notes[0].startswith("repaired to positive definite by clip: 11 of 20")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "risk_budget came without budgets"),
        ({"budgets": [0.5, 0.5]}, "budgets are a list; they are shares of the risk by asset's name"),
        ({"budgets": {"A": 1.0}}, "the asset 'B' has no budget"),
        ({"budgets": {"A": 0.5, "B": 0.3, "C": 0.2}}, "the asset 'C' has a budget but no returns"),
        ({"budgets": {"A": 1.0, "B": 0.0}}, "risk budget of 'B' is 0; each is above zero"),
        ({"budgets": {"A": 0.5, "B": float("nan")}}, "risk budget of 'B' is nan"),
        ({"budgets": {"A": 0.5, "B": "half"}}, "budgets hold something that is no number"),
        ({"budgets": {"A": 0.5, "B": 0.6}}, r"risk budgets sum to 1\.1, not to one"),
    ],
)
def test_budgets_that_can_not_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        tw.allocate(draw_returns(0, assets=2), assets=("A", "B"), method="risk_budget", **options)


def test_more_clusters_than_assets_are_refused() -> None:
    with pytest.raises(ConfigError, match="clusters is a whole number from 1 to 8; got 9"):
        herc_weights(draw_returns(0), assets=name_assets(8), clusters=9)
