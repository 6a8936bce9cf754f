"""Each method of value at risk against a closed form, an independent oracle, or an answer worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import tidewright as tw
from tidewright.errors import AllocationError, ConfigError, FitError
from tidewright.portfolio.risk.cornish_fisher import bent_scores, is_quantile, match_parameters
from tidewright.portfolio.risk.extreme_value import fit_pareto
from tidewright.portfolio.risk.reach import compound_blocks
from tidewright.portfolio.risk.student_fit import fit_student

Floats = NDArray[np.float64]


def draw(rows: int = 1000, assets: int = 3, *, degrees: float = 6.0, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    common = rng.standard_t(degrees, (rows, 1))
    return np.asarray(0.0004 + 0.006 * common + 0.008 * rng.standard_t(degrees, (rows, assets)))


def measure(returns: Floats, **options: Any) -> Any:
    return tw.value_at_risk(returns, assets=[f"a{k}" for k in range(returns.shape[1])], **options)


def standardise(values: Floats) -> Floats:
    centred = values - values.mean(axis=0)
    return np.asarray(centred / centred.std(axis=0, ddof=1))


@pytest.mark.parametrize(("confidence", "var", "es"), [(0.95, 1.644854, 2.062713), (0.99, 2.326348, 2.665214)])
def test_the_normal_of_unit_deviation_has_the_published_figures(confidence: float, var: float, es: float) -> None:
    found = measure(standardise(draw()) / 100, confidence=confidence, method="normal")
    assert (100 * found.var).round(6).tolist() == [var] * 3
    assert (100 * found.es).round(6).tolist() == [es] * 3


def test_historical_is_rockafellar_and_uryasevs_fractional_tail() -> None:
    # losses 1 ... 30 %, confidence 0.95: the least z with P(loss <= z) >= 0.95 is the 29th; of the tail's mass of 1.5
    # losses the 30th is one and the 29th a half
    losses = np.random.default_rng(0).permutation(np.arange(1, 31)) / 100
    found = measure(-losses[:, None], confidence=0.95)
    assert found.var[0] == 0.29
    assert found.es[0] == pytest.approx((0.30 + 0.5 * 0.29) / 1.5, rel=1e-14)


def test_historical_where_the_tail_is_whole_is_the_mean_of_the_worst() -> None:
    returns = draw(100, 1)
    found = measure(returns, confidence=0.9)
    worst = np.sort(returns[:, 0])[:10]
    assert found.var[0] == -np.sort(returns[:, 0])[10]  # P(loss <= the 90th smallest) is just 0.9
    assert found.es[0] == pytest.approx(-worst.mean(), rel=1e-13)


def test_the_historical_shortfall_is_the_least_of_rockafellar_and_uryasevs_objective() -> None:
    returns = draw(173, 1)
    losses = -returns[:, 0]
    objective = [z + np.maximum(losses - z, 0).mean() / 0.05 for z in losses]
    found = measure(returns, confidence=0.95)
    assert found.es[0] == pytest.approx(min(objective), rel=1e-12)
    assert found.var[0] == losses[int(np.argmin(objective))]


def test_t_is_scipys_fit_of_greatest_likelihood() -> None:
    returns = draw(800, 2, degrees=4)
    found = fit_student(returns)
    for column in range(2):
        degrees, location, scale = stats.t.fit(returns[:, column])
        assert found.degrees[column] == pytest.approx(degrees, rel=1e-3)
        assert found.location[column] == pytest.approx(location, abs=1e-5)
        assert found.scale[column] == pytest.approx(scale, rel=1e-4)


def test_t_has_the_quantile_and_the_tail_mean_of_scipys() -> None:
    found = measure(draw(400, 1), method="t", confidence=0.975, degrees=5.0)
    fit = fit_student(draw(400, 1), degrees=5.0)
    law = stats.t(5.0, loc=-fit.location[0], scale=fit.scale[0])
    assert found.var[0] == pytest.approx(law.ppf(0.975), rel=1e-10)
    assert found.es[0] == pytest.approx(law.expect(lb=law.ppf(0.975)) / 0.025, rel=1e-6)


def test_t_of_normal_returns_says_that_it_is_nearly_a_normal() -> None:
    normal = np.random.default_rng(1).normal(0, 0.01, (3000, 1))
    found = measure(normal, method="t")
    assert any("no fatter than the normal's" in note for note in found.notes) or found.var[0] == pytest.approx(
        measure(normal, method="normal").var[0], rel=0.02
    )


def test_cornish_fisher_is_the_formula_and_its_tail_the_integral() -> None:
    skew, excess = -0.4, 1.5
    var, es = bent_scores(np.array([skew]), np.array([excess]), confidence=0.99)
    z = stats.norm.ppf(np.array([0.01]))
    by_hand = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
    assert var == pytest.approx(-by_hand, rel=1e-12)
    chances = (np.arange(400_000) + 0.5) / 400_000 * 0.01
    tail = stats.norm.ppf(chances)
    bent = (
        tail + (tail**2 - 1) * skew / 6 + (tail**3 - 3 * tail) * excess / 24 - (2 * tail**3 - 5 * tail) * skew**2 / 36
    )
    assert es[0] == pytest.approx(-bent.mean(), rel=1e-5)


def test_cornish_fisher_takes_the_samples_moments() -> None:
    returns = draw(2000, 1, degrees=12)
    score, _ = bent_scores(
        np.atleast_1d(stats.skew(returns[:, 0])), np.atleast_1d(stats.kurtosis(returns[:, 0])), confidence=0.95
    )
    found = measure(returns, method="cornish_fisher")
    assert found.var == pytest.approx(-returns.mean(axis=0) + score * returns.std(axis=0, ddof=1), rel=1e-12)


def test_the_domain_of_cornish_fisher_is_where_the_quantile_grows() -> None:
    grid = np.linspace(-6, 6, 4001)
    rng = np.random.default_rng(0)
    skews, excesses = rng.uniform(-3, 3, 300), rng.uniform(-2, 12, 300)
    slope = 1 + grid[:, None] * skews / 3 + (grid[:, None] ** 2 - 1) * excesses / 8
    slope -= (6 * grid[:, None] ** 2 - 5) * skews**2 / 36
    assert np.array_equal(is_quantile(skews, excesses), (slope >= 0).all(axis=0))


def test_cornish_fisher_outside_of_its_domain_is_refused_and_matched_moments_reach_further() -> None:
    returns = draw(3000, 1, degrees=2.8)
    assert stats.kurtosis(returns[:, 0]) > 8
    with pytest.raises(AllocationError, match=r"'a0' has skewness .* excess kurtosis .* moments='matched'"):
        measure(returns, method="cornish_fisher", confidence=0.99)
    found = measure(returns, method="cornish_fisher", confidence=0.99, moments="matched")
    bent, sharp = match_parameters(
        np.atleast_1d(stats.skew(returns[:, 0])), np.atleast_1d(stats.kurtosis(returns[:, 0]))
    )
    assert is_quantile(bent, sharp).all()
    assert found.var[0] == pytest.approx(measure(returns, confidence=0.99).var[0], rel=0.25)
    with pytest.raises(AllocationError, match=r"does not grow with the\s+confidence"):
        measure(np.append(returns, [[-0.9]], axis=0), method="cornish_fisher", moments="matched")


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 0.6])
def test_the_pareto_is_scipys_fit_of_greatest_likelihood(shape: float) -> None:
    excess = stats.genpareto.rvs(shape, scale=0.01, size=(400, 1), random_state=np.random.default_rng(3))
    found_shape, found_scale = fit_pareto(np.asarray(excess))
    expected_shape, _, expected_scale = stats.genpareto.fit(excess[:, 0], floc=0)
    assert found_shape[0] == pytest.approx(expected_shape, abs=2e-4)
    assert found_scale[0] == pytest.approx(expected_scale, rel=2e-4)


def test_extreme_value_is_the_formula_of_mcneil_and_frey() -> None:
    returns = draw(2000, 1, degrees=3)
    found = measure(returns, method="extreme_value", confidence=0.995, threshold=0.1)
    losses = np.sort(-returns[:, 0])[::-1]
    level = losses[200]
    shape, _, scale = stats.genpareto.fit(losses[:200] - level, floc=0)
    var = level + scale / shape * ((0.005 / 0.1) ** -shape - 1)
    assert found.var[0] == pytest.approx(var, rel=1e-3)
    assert found.es[0] == pytest.approx((var + scale - shape * level) / (1 - shape), rel=2e-3)
    assert any("200 of 2000 losses (10%)" in note for note in found.notes)


def test_extreme_value_without_enough_peaks_or_inside_of_its_threshold_is_refused() -> None:
    with pytest.raises(AllocationError, match=r"25 independent exceedances .* at least 30 are needed. Bring 300 bars"):
        measure(draw(250), method="extreme_value", confidence=0.99)
    with pytest.raises(AllocationError, match=r"at least 30 are needed. Bring 1500 bars"):
        measure(draw(1000), method="extreme_value", confidence=0.99, horizon=5)
    with pytest.raises(AllocationError, match=r"confidence 0.9 is not beyond a threshold share of 0.1"):
        measure(draw(1000), method="extreme_value", confidence=0.9)


def test_extreme_value_over_a_volatility_model_is_that_of_its_residuals() -> None:
    returns = draw(1000, 1, degrees=5)
    found = measure(returns, method="extreme_value", confidence=0.99, model="ewma")
    fit = tw.fit_volatility(returns, assets=["a0"], model="ewma")
    plain = measure(fit.residuals / 100, method="extreme_value", confidence=0.99)
    ahead = fit.forecast(horizon=1).volatility[0, 0]
    assert found.var[0] == pytest.approx(100 * plain.var[0] * ahead, rel=1e-6)


def test_monte_carlo_of_a_normal_comes_to_the_closed_form() -> None:
    returns = draw()
    weights = np.array([0.5, 0.3, 0.2])
    found = measure(returns, method="monte_carlo", draws=200_000, weights=weights, confidence=0.99)
    closed = measure(returns, method="normal", weights=weights, confidence=0.99)
    assert found.var == pytest.approx(closed.var, rel=0.02)
    assert found.es == pytest.approx(closed.es, rel=0.02)
    assert found.portfolio.es == pytest.approx(closed.portfolio.es, rel=0.02)
    assert found.portfolio.component_var == pytest.approx(closed.portfolio.component_var, rel=0.06)


def test_monte_carlo_of_a_t_has_its_fatter_tail_at_the_same_deviation() -> None:
    returns = draw()
    options: dict[str, Any] = {"method": "monte_carlo", "draws": 100_000, "confidence": 0.99}
    fat = measure(returns, distribution="t", degrees=4.0, **options)
    law = stats.t(4.0, scale=math.sqrt(0.5))
    expected = -returns.mean(axis=0) + law.ppf(0.99) * returns.std(axis=0, ddof=1)
    assert fat.var == pytest.approx(expected, rel=0.03)
    told = measure(draw(degrees=4, rows=4000), distribution="t", **options)
    assert any(note.startswith("t with ") and "composite likelihood" in note for note in told.notes)


def test_monte_carlo_takes_a_covariance_and_a_singular_one_too() -> None:
    returns = draw()
    own = tw.covariance(returns, assets=("a0", "a1", "a2"), method="ledoit_wolf")
    options: dict[str, Any] = {"method": "monte_carlo", "draws": 50_000}
    assert np.array_equal(
        measure(returns, covariance=own, **options).var, measure(returns, covariance=own.values, **options).var
    )
    short = draw(8, 12)
    assert np.isfinite(measure(short, method="monte_carlo").var).all()  # 8 bars of 12 assets have no inverse
    with pytest.raises(AllocationError, match="eigenvalue"):
        measure(returns, covariance=np.array([[1, 2, 0], [2, 1, 0], [0, 0, 1]]) * 1e-4, **options)


def test_filtered_simulation_is_past_shocks_on_the_volatility_to_come() -> None:
    returns = draw(600, 2)
    returns[-20:] *= 4.0
    found = measure(returns, method="filtered_historical", model="ewma")
    fit = tw.fit_volatility(returns, assets=("a0", "a1"), model="ewma")
    outcomes = fit.residuals * fit.forecast(horizon=1).volatility[0]
    assert found.var == pytest.approx(measure(outcomes).var, rel=1e-10)
    assert (found.var > 1.5 * measure(returns).var).all()  # the last days were wild


def test_filtered_simulation_over_a_week_compounds_paths_of_all_assets_together() -> None:
    returns = draw(600, 2)
    weights = np.array([0.5, 0.5])
    found = measure(returns, method="filtered_historical", model="ewma", horizon=5, weights=weights, draws=4000, seed=3)
    again = measure(returns, method="filtered_historical", model="ewma", horizon=5, weights=weights, draws=4000, seed=3)
    other = measure(returns, method="filtered_historical", model="ewma", horizon=5, weights=weights, draws=4000, seed=4)
    assert found.horizon_by == "simulation"
    assert np.array_equal(found.var, again.var)
    assert not np.array_equal(found.var, other.var)
    assert 0.5 * found.var.sum() > found.portfolio.var > 0.5 * found.var.min()


def test_an_asset_without_a_volatility_model_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "tidewright.portfolio.volatility.crew.find_fault", lambda one: "so it is" if one.std() > 0.02 else ""
        )
        with pytest.raises(AllocationError, match=r"'a1' has no volatility model: so it is \(1 such of 2\)"):
            measure(draw(60, 2) * [1.0, 5.0], method="filtered_historical", model="ewma")
    with pytest.raises(FitError, match="'a0': 40 returns are too few"):
        measure(draw(40, 1), method="filtered_historical")


def test_blocks_are_compounded_over_every_stretch() -> None:
    returns = draw(40, 2)
    for bars in (1, 2, 3, 7, 13, 40):
        by_hand = [np.prod(1 + returns[row : row + bars], axis=0) - 1 for row in range(41 - bars)]
        assert compound_blocks(returns, bars=bars) == pytest.approx(np.array(by_hand), rel=1e-12)


def test_a_horizon_is_reached_as_the_method_says() -> None:
    returns = draw(2000, 1, degrees=12)
    blocks = measure(returns, horizon=5)
    assert blocks.horizon_by == "blocks"
    assert blocks.var[0] == measure(compound_blocks(returns, bars=5)).var[0]
    assert "400 of them are independent" in blocks.notes[0]
    root = measure(returns, horizon=4, horizon_by="root of time")
    assert root.var[0] == pytest.approx(2 * measure(returns).var[0], rel=1e-14)
    assert "only nearly so" in root.notes[0]
    normal = measure(returns, method="normal", horizon=10)
    drift, spread = -10 * returns.mean(), math.sqrt(10) * returns.std(ddof=1)
    assert normal.var[0] == pytest.approx(drift + stats.norm.ppf(0.95) * spread, rel=1e-12)
    assert normal.horizon_by == "root of time"
    assert "only nearly so for compounded returns" in normal.notes[0]
    for method in ("t", "cornish_fisher"):
        assert measure(returns, method=method, horizon=4).horizon_by == "root of time"
        by_blocks = measure(returns, method=method, horizon=4, horizon_by="blocks")
        assert by_blocks.var[0] == measure(compound_blocks(returns, bars=4), method=method).var[0]
    paths = measure(returns, method="monte_carlo", horizon=4)
    assert paths.horizon_by == "simulation"
    assert paths.var[0] == pytest.approx(measure(returns, method="normal", horizon=4).var[0], rel=0.05)
    assert measure(returns, method="extreme_value", horizon=4, confidence=0.99).horizon_by == "blocks"


def test_every_option_of_every_method_is_live() -> None:
    returns = draw(1500, 3, degrees=8)
    matrix = np.diag([1e-4, 2e-4, 3e-4])
    cases: dict[tuple[str, str], dict[str, Any]] = {
        ("historical", "horizon_by"): {"horizon_by": "root of time"},
        ("normal", "horizon_by"): {"horizon_by": "blocks"},
        ("normal", "covariance"): {"covariance": matrix},
        ("t", "horizon_by"): {"horizon_by": "blocks"},
        ("t", "degrees"): {"degrees": 3.0},
        ("cornish_fisher", "horizon_by"): {"horizon_by": "blocks"},
        ("cornish_fisher", "moments"): {"moments": "matched"},
        ("monte_carlo", "distribution"): {"distribution": "t"},
        ("monte_carlo", "degrees"): {"distribution": "t", "degrees": 3.0},
        ("monte_carlo", "covariance"): {"covariance": matrix},
        ("monte_carlo", "draws"): {"draws": 5000},
        ("monte_carlo", "seed"): {"seed": 1},
        ("filtered_historical", "model"): {"model": "garch"},
        ("filtered_historical", "draws"): {"model": "ewma", "draws": 5000},
        ("filtered_historical", "seed"): {"model": "ewma", "seed": 1},
        ("extreme_value", "threshold"): {"threshold": 0.15},
    }
    from inspect import signature

    from tidewright.portfolio.risk.plans import PLANS, SHARED

    options = {(m, o) for m, plan in PLANS.items() for o in signature(plan).parameters if o not in SHARED}
    # a model over peaks is tested above; workers give the numbers of one (tests of volatility)
    apart = {("extreme_value", "model"), ("extreme_value", "workers"), ("filtered_historical", "workers")}
    assert options - apart == set(cases)
    for (method, _), given in cases.items():
        plain = {"model": "ewma"} if method == "filtered_historical" else {}
        first = measure(returns, method=method, horizon=3, confidence=0.98, **plain)
        assert not np.array_equal(first.var, measure(returns, method=method, horizon=3, confidence=0.98, **given).var)
    with pytest.raises(ConfigError, match=r"no option is called 'threshold'.*The method is normal"):
        measure(returns, method="normal", threshold=0.1)
    with pytest.raises(ConfigError, match="Leave out one of covariance and horizon_by"):
        measure(returns, method="normal", covariance=matrix, horizon_by="blocks")
    with pytest.raises(ConfigError, match="for one bar; got horizon=2"):
        measure(returns, method="extreme_value", model="ewma", horizon=2)
    with pytest.raises(ConfigError, match="without a model there are none"):
        measure(returns, method="extreme_value", workers=2)
    with pytest.raises(ConfigError, match="degrees belong to distribution='t'"):
        measure(returns, method="monte_carlo", degrees=4.0)
