"""Covariances: against scikit-learn, skfolio, PyPortfolioOpt and the formulas, and their laws."""

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
from tidewright.portfolio import COVARIANCES, Covariance, estimate_covariance, repair_covariance

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
METHODS = st.sampled_from(sorted(COVARIANCES))
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((method, {}) for method in sorted(COVARIANCES)),
    ("ledoit_wolf", {"target": "identity"}),
    ("denoised", {"detone": True}),
    ("factor", {"factors": 2}),
]


def name_assets(count: int) -> tuple[str, ...]:
    return tuple(f"asset {number}" for number in range(count))


def draw_returns(seed: int = 0, *, rows: int = 120, assets: int = 8) -> Floats:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, assets))
    return (common + rng.normal(size=(rows, assets))) * rng.uniform(0.004, 0.03, size=assets)


def estimate(returns: Floats, **options: Any) -> Covariance:
    return estimate_covariance(returns, assets=name_assets(returns.shape[1]), **options)


@pytest.mark.parametrize(("rows", "assets"), [(120, 8), (30, 60), (50, 1), (400, 2)])
def test_shrinkage_to_identity_is_that_of_scikit_learn(rows: int, assets: int) -> None:
    from sklearn.covariance import OAS, LedoitWolf

    returns = draw_returns(rows=rows, assets=assets)
    ours = estimate(returns, method="ledoit_wolf", target="identity").values
    np.testing.assert_allclose(ours, LedoitWolf().fit(returns).covariance_, rtol=1e-10, atol=1e-18)
    oas = estimate(returns, method="oas").values
    np.testing.assert_allclose(oas, OAS().fit(returns).covariance_, rtol=1e-10, atol=1e-18)


@pytest.mark.parametrize(("rows", "assets"), [(120, 8), (30, 60)])
def test_shrinkage_to_one_correlation_is_that_of_pyportfolioopt(rows: int, assets: int) -> None:
    from pypfopt.risk_models import CovarianceShrinkage

    returns = draw_returns(3, rows=rows, assets=assets)
    peer = CovarianceShrinkage(pd.DataFrame(returns), returns_data=True, frequency=1)
    peer.S = np.cov(returns.T, ddof=0)  # the paper's; the peer mixes both divisors
    theirs, share = peer._ledoit_wolf_constant_correlation()
    ours = estimate(returns)
    np.testing.assert_allclose(ours.values, theirs, rtol=1e-9, atol=1e-18)
    assert ours.notes == (f"shrunk by {share:.4g} towards constant correlation",)
    np.testing.assert_allclose(ours.volatility(), returns.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize(("seed", "rows", "assets"), [(0, 500, 10), (1, 300, 40), (2, 1000, 100)])
def test_denoising_is_that_of_skfolio(seed: int, rows: int, assets: int) -> None:
    from skfolio.moments import DenoiseCovariance

    returns = draw_returns(seed, rows=rows, assets=assets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = DenoiseCovariance().fit(returns).covariance_
    np.testing.assert_allclose(estimate(returns, method="denoised").values, theirs, rtol=1e-8, atol=1e-16)


def test_denoising_takes_nine_tenths_of_what_noise_alone_makes() -> None:
    returns = np.random.default_rng(5).normal(0, 0.01, (800, 60))
    left = estimate(returns, method="denoised").correlation() - np.eye(60)
    assert (left**2).sum() < 0.1 * ((np.corrcoef(returns.T) - np.eye(60)) ** 2).sum()


def test_detoning_takes_the_market_out_and_says_what_for() -> None:
    plain, detoned = (estimate(draw_returns(), method="denoised", detone=detone) for detone in (False, True))
    assert np.linalg.eigvalsh(detoned.correlation())[-1] < np.linalg.eigvalsh(plain.correlation())[-1]
    assert "not for an optimiser" in detoned.notes[1]
    assert detoned.notes[2].startswith("repaired to positive definite by clip: 1 of 8")


def test_ewma_is_the_recursion_of_riskmetrics() -> None:
    returns = draw_returns(rows=600)
    variance = np.outer(returns[0], returns[0])
    for row in returns[1:]:
        variance = 0.94 * variance + 0.06 * np.outer(row, row)
    np.testing.assert_allclose(estimate(returns, method="ewma").values, variance, rtol=1e-9, atol=1e-16)


def test_the_sample_covariance_is_numpys() -> None:
    returns = draw_returns()
    np.testing.assert_array_equal(estimate(returns, method="sample").values, np.cov(returns.T))


def test_given_factors_are_the_regression_of_each_asset() -> None:
    import statsmodels.api as sm

    returns = draw_returns()
    given_factors = np.random.default_rng(1).normal(0, 0.01, (120, 2)) + returns[:, :2]
    fits = [sm.OLS(column, sm.add_constant(given_factors)).fit() for column in returns.T]
    loadings = np.array([fit.params[1:] for fit in fits])
    theirs = loadings @ np.cov(given_factors.T) @ loadings.T + np.diag([fit.mse_resid for fit in fits])
    ours = estimate(returns, method="factor", factors=given_factors)
    np.testing.assert_allclose(ours.values, theirs, rtol=1e-9, atol=1e-16)
    assert ours.notes[0].startswith("2 given factors explain")


def test_principal_factors_leave_variances_and_the_common_part() -> None:
    returns = draw_returns(rows=4000)
    ours = estimate(returns, method="factor")
    assert ours.notes[0].startswith("2 principal components")
    np.testing.assert_allclose(ours.volatility(), returns.std(axis=0, ddof=1), rtol=1e-12)
    assert np.abs(ours.correlation() - np.corrcoef(returns.T)).max() < 0.25
    everything = estimate(returns, method="factor", factors=8)
    np.testing.assert_allclose(everything.values, np.cov(returns.T), rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from(OPTIONS), st.integers(1, 12), st.integers(3, 40))
def test_every_covariance_is_symmetric_and_positive_definite(
    seed: int, how: tuple[str, dict[str, Any]], assets: int, rows: int
) -> None:
    method, options = how
    if options.get("factors", 0) > assets:
        options = {"factors": assets}
    covariance = estimate(draw_returns(seed, rows=rows, assets=assets), method=method, **options)
    np.testing.assert_allclose(covariance.values, covariance.values.T, rtol=1e-12)
    assert np.linalg.eigvalsh(covariance.correlation())[0] > 1e-9
    assert covariance.method == method


@settings(max_examples=30, deadline=None)
@given(SEEDS, METHODS)
def test_permuting_the_assets_permutes_the_covariance(seed: int, method: str) -> None:
    returns = draw_returns(seed)
    order = np.random.default_rng(seed).permutation(8)
    straight = estimate(returns, method=method).values
    permuted = estimate(returns[:, order], method=method).values
    np.testing.assert_allclose(permuted, straight[np.ix_(order, order)], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("method", sorted(COVARIANCES))
@pytest.mark.parametrize("scale", [1e-6, 0.01, 3.0])
def test_scaling_the_returns_scales_the_covariance(method: str, scale: float) -> None:
    returns = draw_returns()
    straight, scaled = (estimate(values, method=method) for values in (returns, returns * scale))
    np.testing.assert_allclose(scaled.values / scale / scale, straight.values, rtol=1e-7, atol=1e-12)
    assert scaled.notes == straight.notes


@pytest.mark.parametrize(("method", "options"), [one for one in OPTIONS if one[1]] + [("ewma", {"decay": 0.99})])
def test_every_option_changes_the_covariance(method: str, options: dict[str, Any]) -> None:
    returns = draw_returns(7, assets=12)
    usual = estimate(returns, method=method).values
    changed = {"factors": 5} if method == "factor" else options
    assert not np.allclose(estimate(returns, method=method, **changed).values, usual, rtol=1e-3)


def test_fewer_bars_than_assets_are_repaired_with_a_note_of_how_far() -> None:
    returns = draw_returns(rows=10, assets=20)
    ours = estimate(returns, method="sample")
    assert ours.notes[0].startswith("repaired to positive definite by clip: 11 of 20 eigenvalues")
    np.testing.assert_allclose(ours.values, np.cov(returns.T), rtol=0, atol=1e-6 * np.cov(returns.T).max())
    np.testing.assert_allclose(ours.volatility(), returns.std(axis=0, ddof=1), rtol=1e-12)


def test_higham_reaches_the_nearest_correlation_of_his_paper() -> None:
    broken = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    nearest = repair_covariance(broken, assets=("A", "B", "C"), method="higham")
    published = np.array([[1.0, 0.7607, 0.1573], [0.7607, 1.0, 0.7607], [0.1573, 0.7607, 1.0]])
    np.testing.assert_allclose(nearest.values, published, atol=5e-5)
    clipped = repair_covariance(broken, assets=("A", "B", "C"))
    assert np.linalg.norm(clipped.values - broken) > np.linalg.norm(nearest.values - broken)
    assert "by higham" in nearest.notes[0]
    assert "by clip" in clipped.notes[0]


def test_a_repair_is_that_of_skfolio_and_leaves_what_is_sound() -> None:
    from skfolio.utils.stats import cov_nearest

    rng = np.random.default_rng(4)
    deviation = rng.uniform(0.01, 0.05, 15)
    noise = np.corrcoef(rng.normal(size=(15, 10))) + 0.2 * rng.normal(size=(15, 15))
    broken = np.clip((noise + noise.T) / 2, -1, 1)
    np.fill_diagonal(broken, 1.0)
    broken *= np.outer(deviation, deviation)
    for method in ("clip", "higham"):
        ours = repair_covariance(broken, assets=name_assets(15), method=method)  # type: ignore[arg-type]
        theirs = cov_nearest(broken, higham=method == "higham")
        np.testing.assert_allclose(ours.correlation(), theirs / np.outer(deviation, deviation), atol=1e-6)
    again = repair_covariance(ours.values, assets=name_assets(15))
    assert again.notes == ()
    np.testing.assert_array_equal(again.values, ours.values)


def test_assets_are_found_by_name_in_any_order() -> None:
    covariance = estimate(draw_returns(assets=3))
    other = covariance.order(("asset 2", "asset 0"))
    np.testing.assert_array_equal(other.values, covariance.values[np.ix_([2, 0], [2, 0])])
    assert other.assets == ("asset 2", "asset 0")
    with pytest.raises(AllocationError, match=r"no asset 'gold' \(1 such of 2\); it has asset 0, asset 1, asset 2"):
        covariance.order(("asset 0", "gold"))


def test_a_covariance_keeps_its_own_read_only_copy() -> None:
    source = np.eye(2)
    covariance = Covariance(values=source, assets=("A", "B"), method="by hand")
    source[0, 0] = 9.0
    assert covariance.values[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        covariance.values[0, 0] = 2.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 0.5]], r"have the shape \(1, 2\)"),
        ([[1.0, np.nan], [0.0, 1.0]], "covariance of 'A' and 'B' is nan"),
        ([[1.0, 0.5], [0.2, 1.0]], "'A' and 'B' is 0.5, that of 'B' and 'A' 0.2. A covariance is symmetric"),
        ([[1.0, 0.0], [0.0, 0.0]], "variance of 'B' is 0; it must be above zero"),
        ([[1.0, 1.0], [1.0, 1.0]], "not positive definite.* Mend it with repair_covariance"),
        ([["x", 1.0], [1.0, 1.0]], "covariances hold something that is no number"),
        (np.eye(3), "3 columns came with 2 asset names"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused(values: Any, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        Covariance(values=values, assets=("A", "B"), method="by hand")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "ledoit_wolff"}, "no covariance is called 'ledoit_wolff'. Did you mean 'ledoit_wolf'"),
        ({"target": "unity"}, "target of ledoit_wolf is constant_correlation or identity; got 'unity'"),
        ({"method": "ewma", "decy": 0.9}, "no option of ewma is called 'decy'. Did you mean 'decay'"),
        ({"method": "ewma", "decay": 1.0}, "decay is a number above 0 and below 1 .*; got 1.0"),
        ({"method": "ewma", "decay": "slow"}, "decay is a number above 0 and below 1 .*; got 'slow'"),
        ({"method": "denoised", "detone": "no"}, "detone is True or False; got 'no'"),
        ({"method": "factor", "factors": True}, "factors is True; it is a whole number, a table"),
        ({"method": "factor", "factors": 9}, "factors is 9; of 8 assets there are 1 to 8 components"),
        ({"method": "factor", "factors": np.ones((120, 1))}, "1 factors can't be told apart in 120 rows"),
        ({"method": "factor", "factors": np.full((120, 1), np.nan)}, "factor 0 is nan in row 0"),
        ({"method": "factor", "factors": np.ones((3, 1))}, "3 rows of factor returns came with 120"),
        ({"method": "sample", "repair": "hope"}, "a repair is clip or higham; got 'hope'"),
    ],
)
def test_options_that_can_not_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((AllocationError, ConfigError), match=message):
        estimate(draw_returns(), **options)


def test_returns_that_can_not_be_used_are_refused_by_name() -> None:
    returns = draw_returns(assets=2)
    for wrong, message in ((np.nan, "return of 'asset 1' at row 3 is nan"), (np.inf, "is inf")):
        with pytest.raises(AllocationError, match=message):
            estimate(np.where(np.arange(240).reshape(120, 2) == 7, wrong, returns))
    with pytest.raises(AllocationError, match="these look like prices"):
        estimate(100.0 + returns)
    with pytest.raises(AllocationError, match="too far from 1 to be squared"):
        estimate(returns * 1e300)


def test_the_public_name_is_the_function() -> None:
    ours = tw.covariance(draw_returns(assets=2), assets=("A", "B"))
    assert isinstance(ours, tw.Covariance)
    assert ours.method == "ledoit_wolf"
