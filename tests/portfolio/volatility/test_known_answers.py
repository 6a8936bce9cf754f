"""Published and independent figures: the GARCH benchmark of DEM/GBP, the S&P 500, a simulated model, arch itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arch import arch_model
from arch.data import sp500

import tidewright as tw
from tests.portfolio.volatility.worlds import Floats, garch_returns

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
ARCH: dict[str, dict[str, Any]] = {
    "garch": {},
    "gjr": {"o": 1},
    "egarch": {"vol": "EGARCH", "o": 1},
    "tarch": {"o": 1, "power": 1.0},
}


@pytest.fixture(scope="module")
def market() -> Floats:
    closes = sp500.load()["Adj Close"].to_numpy()
    return np.asarray(closes[1:] / closes[:-1] - 1.0)[:, None]


def in_percent(likelihood: float, *, rows: int) -> float:
    return likelihood - rows * math.log(100.0)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not on this machine")
def test_the_garch_benchmark_of_dem_and_gbp_is_met():
    returns = np.loadtxt(DATA / "reference" / "dem2gbp.csv", skiprows=1)[:, None] / 100.0
    fit = tw.fit_volatility(returns, assets=["DEM2GBP"], backcast="sample")
    found = fit.parameters_of("DEM2GBP")
    # Fiorentini, Calzolari and Panattoni 1996; they move the backcast with mu while it is sought, hence mu's distance
    assert found["mu"] * 100.0 == pytest.approx(-0.00619041, abs=2e-5)
    assert found["omega"] * 1e4 == pytest.approx(0.0107613, rel=1e-4)
    assert found["alpha[1]"] == pytest.approx(0.153134, rel=1e-4)
    assert found["beta[1]"] == pytest.approx(0.805974, rel=1e-5)
    assert in_percent(fit.log_likelihood[0], rows=1974) == pytest.approx(-1106.60788, abs=1e-4)


@pytest.mark.parametrize(("model", "wanted"), [("garch", -6936.7185), ("gjr", -6822.8828), ("egarch", -6813.9527)])
def test_the_sp500_has_the_published_log_likelihoods(market: Floats, model: Any, wanted: float):
    fit = tw.fit_volatility(market, assets=["SPX"], model=model)
    assert in_percent(fit.log_likelihood[0], rows=5030) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("model", ARCH)
@pytest.mark.parametrize("distribution", ["normal", "t", "skewt"])
def test_fits_and_forecasts_are_those_of_arch_in_percent(market: Floats, model: Any, distribution: Any):
    returns = market[-1500:]
    ours = tw.fit_volatility(returns, assets=["SPX"], model=model, distribution=distribution)
    theirs = arch_model(100.0 * returns[:, 0], dist=distribution, rescale=False, **ARCH[model]).fit(disp="off")
    assert in_percent(ours.log_likelihood[0], rows=1500) == pytest.approx(theirs.loglikelihood, abs=1e-3)
    np.testing.assert_allclose(ours.volatility[:, 0] * 100.0, theirs.conditional_volatility, rtol=3e-3)
    wanted = theirs.forecast(horizon=1, reindex=False).variance.to_numpy()[0]
    np.testing.assert_allclose(ours.forecast(horizon=1).variance[:, 0] * 1e4, wanted, rtol=3e-3)
    assert [ours.aic[0], ours.bic[0]] == pytest.approx(
        [2 * len(ours.spec.names) - 2 * ours.log_likelihood[0], theirs.bic - 3000 * math.log(100.0)], rel=1e-6
    )


@pytest.mark.parametrize("model", ["garch", "gjr"])
def test_an_analytic_forecast_is_that_of_arch(market: Floats, model: Any):
    ours = tw.fit_volatility(market[-1500:], assets=["SPX"], model=model, p=2, distribution="t")
    theirs = arch_model(100.0 * market[-1500:, 0], dist="t", rescale=False, p=2, **ARCH[model]).fit(disp="off")
    wanted = theirs.forecast(horizon=20, reindex=False).variance.to_numpy()[0]
    np.testing.assert_allclose(ours.forecast(horizon=20).variance[:, 0] * 1e4, wanted, rtol=3e-3)


@pytest.mark.parametrize(
    ("model", "method"), [("tarch", "simulation"), ("egarch", "bootstrap"), ("egarch", "simulation")]
)
def test_paths_expect_what_paths_of_arch_do(market: Floats, model: Any, method: Any):
    ours = tw.fit_volatility(market[-1500:], assets=["SPX"], model=model)
    theirs = arch_model(100.0 * market[-1500:, 0], rescale=False, **ARCH[model]).fit(disp="off")
    made = {"horizon": 10, "method": method, "simulations": 20_000, "random_state": np.random.RandomState(1)}
    wanted = theirs.forecast(**made, reindex=False).variance.to_numpy()[0]
    found = ours.forecast(horizon=10, method=method, paths=20_000).variance[:, 0] * 1e4
    np.testing.assert_allclose(found, wanted, rtol=0.04)


def test_a_simulated_garch_is_recovered():
    fit = tw.fit_volatility(garch_returns(20_000), assets=["A"])
    found = fit.parameters_of("A")
    assert found["alpha[1]"] == pytest.approx(0.08, abs=0.01)
    assert found["beta[1]"] == pytest.approx(0.9, abs=0.015)
    assert found["omega"] == pytest.approx(2e-6, rel=0.25)
    assert found["mu"] == pytest.approx(0.0005, abs=0.00015)
    assert fit.residuals.std() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("distribution", ["normal", "skewt"])
def test_the_formula_of_gjr_and_its_paths_agree_also_where_shocks_lean(market: Floats, distribution: Any):
    fit = tw.fit_volatility(market, assets=["SPX"], model="gjr", distribution=distribution)
    drawn = fit.forecast(horizon=10, method="simulation", paths=200_000)
    np.testing.assert_allclose(fit.forecast(horizon=10).variance, drawn.variance, rtol=0.01)
