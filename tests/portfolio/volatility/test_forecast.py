"""Forecasts: by formula, by paths, and what can't be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tidewright as tw
from tests.portfolio.volatility.worlds import garch_returns, name
from tidewright.errors import ConfigError
from tidewright.portfolio.volatility import VolatilityFit
from tidewright.portfolio.volatility.shapes import draw_shocks, mean_size, share_of_losses


@pytest.fixture(scope="module")
def fit() -> VolatilityFit:
    return tw.fit_volatility(garch_returns(600, assets=2), assets=name(2), distribution="t")


def test_a_garch_forecast_goes_to_its_long_run_level_by_its_persistence(fit: VolatilityFit):
    mu, omega, alpha, beta, nu = fit.parameters[:, 0]
    variance = fit.forecast(horizon=2000).variance[:, 0]
    level = omega / (1.0 - alpha - beta)
    shock = fit.residuals[-1, 0] * fit.volatility[-1, 0]
    first = omega + alpha * shock**2 + beta * fit.volatility[-1, 0] ** 2
    wanted = level + (first - level) * fit.persistence[0] ** np.arange(2000)
    np.testing.assert_allclose(variance, wanted, rtol=1e-9)
    assert fit.persistence[0] == pytest.approx(alpha + beta)
    assert nu > 2.0
    assert abs(mu) < 0.01


@pytest.mark.parametrize("method", ["analytic", "simulation", "bootstrap"])
def test_a_forecast_holds_variance_volatility_and_the_sum_of_bars(fit: VolatilityFit, method: Any):
    forecast = fit.forecast(horizon=4, method=method, paths=500, levels=[0.1, 0.5])
    assert forecast.variance.shape == (4, 2)
    np.testing.assert_allclose(forecast.volatility**2, forecast.variance)
    np.testing.assert_allclose(forecast.cumulated[-1] ** 2, forecast.variance.sum(axis=0))
    assert list(forecast.quantiles) == ([] if method == "analytic" else [0.1, 0.5])
    for low, middle in [tuple(forecast.quantiles.values())] if forecast.quantiles else []:
        np.testing.assert_allclose(low[0], forecast.volatility[0])  # of the next bar all paths say the same
        assert (low[1:] < middle[1:]).all()
        assert not middle.flags.writeable


def test_paths_are_those_of_their_seed(fit: VolatilityFit):
    made: dict[str, Any] = {"horizon": 3, "method": "simulation", "paths": 200}
    one, same, other = (fit.forecast(**made, seed=seed).variance for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one[1:] != other[1:]).all()
    assert fit.forecast(**{**made, "paths": 100}, seed=1).variance[2, 0] != one[2, 0]
    assert fit.forecast(**made, seed=1).notes == ("200 paths from the seed 1",)


@pytest.mark.parametrize("model", ["egarch", "tarch"])
def test_what_has_no_formula_says_so_and_names_what_there_is(model: Any):
    fit = tw.fit_volatility(garch_returns(300), assets=["A"], model=model)
    assert fit.forecast(horizon=1).variance.shape == (1, 1)
    words = (
        f'{model} has no analytic forecast beyond one step; got horizon=2. Ask for method="simulation" or method="boot'
    )
    with pytest.raises(ConfigError, match=words):
        fit.forecast(horizon=2)
    drawn = fit.forecast(horizon=1, method="simulation", paths=10)
    np.testing.assert_allclose(drawn.variance, fit.forecast(horizon=1).variance, rtol=1e-12)


def test_an_ewma_forecast_is_flat():
    fit = tw.fit_volatility(garch_returns(300), assets=["A"], model="ewma")
    last = 0.94 * fit.volatility[-1, 0] ** 2 + 0.06 * (fit.residuals[-1, 0] * fit.volatility[-1, 0]) ** 2
    np.testing.assert_allclose(fit.forecast(horizon=3).variance[:, 0], last)


def test_a_bootstrap_moves_assets_together_as_they_did():
    draw = np.random.default_rng(0)
    shared = draw.standard_normal((500, 1))
    returns = 0.01 * (0.9 * shared + 0.3 * draw.standard_normal((500, 2)))
    fit = tw.fit_volatility(returns, assets=name(2))
    for method, wanted in (("bootstrap", np.corrcoef(returns.T)[0, 1]), ("simulation", 0.0)):
        paths = fit.simulate(horizon=3, paths=4000, method=method)
        assert paths.shape == (4000, 3, 2)
        assert np.corrcoef(paths[:, 2].T)[0, 1] == pytest.approx(wanted, abs=0.05)
    assert paths.std() == pytest.approx(returns.std(), rel=0.1)


@pytest.mark.parametrize(("distribution", "shape"), [("normal", ()), ("t", (6.0,)), ("skewt", (7.0, -0.3))])
def test_shocks_have_the_moments_that_formulas_take(distribution: Any, shape: tuple[float, ...]):
    shocks = draw_shocks(distribution, shape, size=(400_000,), draw=np.random.default_rng(0))
    assert shocks.mean() == pytest.approx(0.0, abs=0.005)
    assert shocks.var() == pytest.approx(1.0, abs=0.015)
    assert (shocks**2)[shocks < 0].sum() / shocks.size == pytest.approx(share_of_losses(distribution, shape), abs=0.01)
    assert np.abs(shocks).mean() == pytest.approx(mean_size(distribution, shape), abs=0.005)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"horizon": 0}, "horizon is a whole number from 1"),
        ({"horizon": 1, "method": "exact"}, "no method is called 'exact'"),
        ({"horizon": 1, "method": "simulation", "paths": 0}, "paths is a whole number"),
        ({"horizon": 1, "method": "simulation", "seed": -1}, "seed is a whole number"),
        ({"horizon": 1, "method": "simulation", "levels": [1.5]}, "levels is a list of numbers from 0 to 1"),
    ],
)
def test_a_forecast_that_cant_be_is_told(fit: VolatilityFit, asked: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        fit.forecast(**asked)
    if "method" in asked and asked["method"] == "exact":
        with pytest.raises(ConfigError, match="no method is called 'analytic'"):
            fit.simulate(horizon=1, method="analytic")  # type: ignore[arg-type]  # what the test is about
