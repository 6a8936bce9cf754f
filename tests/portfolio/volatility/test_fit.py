"""What a fit promises: failures by name, no look-ahead, laws of scale and order, equal numbers in processes."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidewright as tw
from tests.portfolio.volatility.worlds import Floats, garch_returns, name
from tidewright.errors import AllocationError, ConfigError, FallbackWarning, FitError
from tidewright.portfolio.volatility import MODELS, AssetFitted, VolatilityFit, VolatilitySpec
from tidewright.portfolio.volatility.arch_model import _has_arrived

FAST = ("garch", "egarch", "gjr", "tarch", "ewma")


def spoilt() -> tuple[Floats, dict[str, str]]:
    """Returns of which each column but the first and last has a fault, and what is said of it."""
    returns = garch_returns(400, assets=6)
    returns[:, 1] = 0.001
    returns[7, 2] = np.nan
    returns[300, 3] = np.inf
    returns[:, 4] = 1e250 * returns[:, 4]
    said = {
        "A1": "its return is 0.001 in all 400 rows",
        "A2": "1 of 400 returns are no finite number, the first in row 7",
        "A3": "no finite number, the first in row 300",
        "A4": "beyond what can be computed with",
    }
    return returns, said


@pytest.mark.parametrize("model", ["garch", "ewma"])
def test_an_asset_that_fails_is_named_with_its_reason_and_the_others_are_fitted(model: Any):
    returns, said = spoilt()
    with pytest.warns(FallbackWarning, match=r"NaN stands for what has no volatility model: 'A1': its return is 0.001"):
        fit = tw.fit_volatility(returns, assets=name(6), model=model)
    assert set(fit.failures) == set(said)
    assert all(words in fit.failures[asset] for asset, words in said.items())
    assert fit.converged.tolist() == [True, False, False, False, False, True]
    for values in (fit.parameters, fit.volatility, fit.residuals, fit.forecast(horizon=2).volatility):
        assert np.isnan(values).all(axis=0).tolist() == (~fit.converged).tolist()
        assert np.isfinite(values).all(axis=0).tolist() == fit.converged.tolist()
    alone = tw.fit_volatility(returns[:, [5]], assets=["A5"], model=model)
    np.testing.assert_array_equal(alone.volatility[:, 0], fit.volatility[:, 5])
    with pytest.raises(AllocationError, match=r"'A2' has no model: 1 of 400"):
        fit.parameters_of("A2")
    with pytest.raises(AllocationError, match=r"no asset is called 'B'"):
        fit.parameters_of("B")


def test_a_fit_that_does_not_converge_is_a_failure_in_the_optimisers_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tidewright.portfolio.volatility.arch_model.MOST_STEPS", 2)
    with pytest.raises(
        FitError, match=r"no asset has a volatility model: 'A0': the optimiser did not converge \(flag 9"
    ):
        tw.fit_volatility(garch_returns(300), assets=name(1))


def test_the_call_fails_where_every_asset_does_and_names_them():
    with pytest.raises(FitError, match=r"'A0': 49 returns are too few; a garch model takes 50 at least"):
        tw.fit_volatility(garch_returns(49), assets=name(1))
    with pytest.raises(FitError, match="and 2 more, see failures"):
        tw.fit_volatility(np.zeros((60, 7)), assets=name(7))


def test_a_persistence_of_one_is_told():
    draw = np.random.default_rng(0)
    returns = 0.01 * np.exp(np.linspace(0.0, 4.0, 800)) * draw.standard_normal(800)  # it grows for ever
    fit = tw.fit_volatility(returns[:, None], assets=["X"])
    assert fit.persistence[0] >= 1.0 - 1e-6
    assert fit.notes == (
        "the persistence of 'X' is one: its variance has no level to come back to, and a forecast of it keeps what a "
        "shock left",
    )


@pytest.mark.parametrize("model", FAST)
@given(scale=st.floats(1e-3, 20.0))
@settings(max_examples=4, deadline=None)
def test_returns_times_c_have_volatility_times_c(model: Any, scale: float):
    returns = garch_returns(500)
    one = tw.fit_volatility(returns, assets=["A"], model=model)
    other = tw.fit_volatility(returns * scale, assets=["A"], model=model)
    np.testing.assert_allclose(other.volatility, one.volatility * scale, rtol=1e-4)
    np.testing.assert_allclose(other.residuals, one.residuals, rtol=1e-4, atol=1e-6)
    moved = one.log_likelihood - 500 * np.log(scale)
    np.testing.assert_allclose(other.log_likelihood, moved, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("model", FAST)
def test_another_order_of_assets_gives_the_same_bits_in_that_order(model: Any):
    returns, order = garch_returns(300, assets=4), [2, 0, 3, 1]
    one = tw.fit_volatility(returns, assets=name(4), model=model)
    other = tw.fit_volatility(returns[:, order], assets=[f"A{place}" for place in order], model=model)
    for field in ("parameters", "log_likelihood", "volatility", "residuals"):
        np.testing.assert_array_equal(getattr(other, field), getattr(one, field)[..., order])
    for method in ("simulation", "bootstrap"):
        first, second = (fit.forecast(horizon=3, method=method, paths=50, seed=5) for fit in (one, other))
        np.testing.assert_array_equal(second.variance, first.variance[:, order])


@pytest.mark.parametrize("model", FAST)
def test_what_comes_later_changes_no_volatility_of_a_model_with_fixed_parameters(model: Any):
    returns = garch_returns(1400, assets=2)
    fit = tw.fit_volatility(returns[:1000], assets=name(2), model=model)
    np.testing.assert_allclose(fit.apply(returns[:1000]).volatility, fit.volatility, rtol=1e-8)
    changed = returns.copy()
    changed[1200:] *= -7.0
    one, other = fit.apply(returns), fit.apply(changed)
    np.testing.assert_array_equal(other.volatility[:1201], one.volatility[:1201])
    assert (other.volatility[1201:] != one.volatility[1201:]).all()
    np.testing.assert_array_equal(fit.apply(returns[:1001]).volatility, one.volatility[:1001])
    assert one.notes == other.notes == ()


def test_a_log_variance_that_runs_away_is_held_and_told():
    returns = garch_returns(1000, assets=2)
    fit = tw.fit_volatility(returns, assets=name(2), model="egarch")
    weights = fit.parameters.copy()
    weights[fit.spec.names.index("alpha[1]"), 0] = -0.6  # a large shock lowers the variance, so that the next is larger
    later = replace(fit, parameters=weights).apply(returns)
    (words,) = later.notes
    assert words.startswith("the variance of 'A0' ran away from its model in")
    assert np.isfinite(later.volatility).all()
    np.testing.assert_allclose(later.volatility[:, 1], fit.volatility[:, 1], rtol=1e-8)


def test_an_optimiser_that_says_done_on_a_slope_is_not_believed(monkeypatch: pytest.MonkeyPatch):
    from scipy.optimize import minimize

    def give_up(loss: Any, start: Any, **asked: Any) -> Any:
        answer = minimize(loss, start, **{**asked, "options": {"maxiter": 3}})
        answer.status = 0
        return answer

    monkeypatch.setattr("scipy.optimize.minimize", give_up)
    monkeypatch.setattr("tidewright.portfolio.volatility.arch_model.TIMES", 0)
    with pytest.raises(FitError, match=r"the optimiser did not converge \(flag -1: the likelihood still rose when"):
        tw.fit_volatility(garch_returns(400), assets=name(1), distribution="t")


@pytest.mark.parametrize(
    ("slope", "arrived"),
    [
        ([0.0, 0.0], True),
        ([0.0, 0.9], False),
        ([-0.9, 0.0], False),
        ([0.9, 0.0], True),  # the first is at its lower bound, and the loss grows from there
        ([1.9, -0.9], False),
        ([-0.9, -0.9], False),
    ],
)
def test_a_slope_counts_where_no_limit_holds_it_up(slope: list[float], arrived: bool):
    answer = SimpleNamespace(x=np.array([0.0, 1.0]), jac=np.array([100.0, 1.0]) * slope, fun=1.0)
    bounds = [(0.0, 2.0), (0.0, 2.0)]
    assert _has_arrived(answer, limits=(np.empty((0, 2)), np.empty(0), bounds), rows=1) == arrived
    both = (np.array([[-1.0, -1.0]]), np.array([-1.0]), bounds)  # their sum is 1 at most, as a persistence
    held = SimpleNamespace(x=np.array([0.5, 0.5]), jac=np.array([-9.0, -9.0]), fun=1.0)
    assert _has_arrived(held, limits=both, rows=1)
    assert not _has_arrived(SimpleNamespace(x=held.x, jac=-held.jac, fun=1.0), limits=both, rows=1)


def test_stale_prices_are_told():
    returns = garch_returns(400, assets=2)
    returns[::2, 1] = 0.0
    (note,) = tw.fit_volatility(returns, assets=name(2)).notes
    assert note.startswith("50 % of the returns of 'A1' are exactly 0, as of prices that stand still")


def test_other_returns_that_cant_be_used_fail_as_in_a_fit():
    returns = garch_returns(300, assets=2)
    fit = tw.fit_volatility(returns, assets=name(2))
    returns[299, 0] = np.nan
    with pytest.warns(FallbackWarning, match="'A0': 1 of 300 returns are no finite number, the first in row 299"):
        later = fit.apply(returns, times=np.datetime64("2020-01-01") + np.arange(300))
    assert np.isnan(later.volatility[:, 0]).all()
    np.testing.assert_allclose(later.volatility[:, 1], fit.volatility[:, 1], rtol=1e-12)
    assert later.times is not None
    assert later.converged.tolist() == [False, True]


def test_two_processes_give_the_bits_of_one_and_every_asset_is_heard_of():
    returns = garch_returns(300, assets=5)
    returns[:, 3] = 0.0
    heard: list[AssetFitted] = []
    with pytest.warns(FallbackWarning):
        one = tw.fit_volatility(returns, assets=name(5), model="gjr", callbacks=[heard.append])
    assert [event.done for event in heard] == [1, 2, 3, 4, 5]
    assert [event.asset for event in heard if event.failure] == ["A3"]
    with pytest.warns(FallbackWarning):
        two = tw.fit_volatility(returns, assets=name(5), model="gjr", workers=2, callbacks=[heard.append])
    assert sorted(event.asset for event in heard[5:]) == list(name(5))
    for field in ("parameters", "log_likelihood", "volatility", "residuals", "backcast"):
        np.testing.assert_array_equal(getattr(two, field), getattr(one, field))
    assert two.failures == one.failures


def end(*_: Any) -> None:
    sys.exit(3)


def test_a_worker_that_dies_is_an_error_that_says_what_to_look_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tidewright.portfolio.volatility.crew._begin", end)
    with pytest.raises(FitError, match=r"a worker process ended before its fits were done.*__main__"):
        tw.fit_volatility(garch_returns(100, assets=2), assets=name(2), workers=2)


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "model": ({}, {"model": "egarch"}),
    "distribution": ({}, {"distribution": "t"}),
    "p": ({}, {"p": 2}),
    "o": ({"model": "gjr"}, {"model": "gjr", "o": 2}),
    "q": ({}, {"q": 2}),
    "mean": ({}, {"mean": "zero"}),
    "backcast": ({}, {"backcast": "sample"}),
    "decay": ({"model": "ewma"}, {"model": "ewma", "decay": "fitted"}),
}


def test_every_option_is_tested():
    assert set(OPTIONS) == {field.name for field in fields(VolatilitySpec) if field.init}


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_changes_the_volatility(option: str):
    usual, other = (tw.fit_volatility(garch_returns(400), assets=["A"], **asked) for asked in OPTIONS[option])
    assert not np.array_equal(usual.volatility, other.volatility)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_its_parameters_by_name_and_read_only_arrays(model: Any):
    fit = tw.fit_volatility(garch_returns(300), assets=["A"], model=model)
    assert tuple(fit.parameters_of("A")) == fit.spec.names
    assert fit.parameters.shape == (len(fit.spec.names), 1)
    arrays = [getattr(fit, field.name) for field in fields(VolatilityFit)]
    assert all(not values.flags.writeable for values in arrays if isinstance(values, np.ndarray))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": "grach"}, r"no model is called 'grach'. Did you mean 'garch'\?"),
    "distribution": ({"distribution": "cauchy"}, "no distribution is called 'cauchy'"),
    "mean": ({"mean": "ar"}, "no mean is called 'ar'"),
    "backcast": ({"backcast": "mean"}, "no backcast is called 'mean'"),
    "p": ({"p": 0}, "p is a whole number from 1 to 20; got 0"),
    "o": ({"o": 1}, "garch has no asymmetric lags; got o=1. Ask for gjr, tarch or egarch"),
    "no o": ({"model": "gjr", "o": 0}, "gjr needs asymmetric lags; got o=0"),
    "decay": ({"decay": 0.9}, "decay belongs to the model ewma"),
    "decay of one": ({"model": "ewma", "decay": 1.0}, "decay is below 1"),
    "decay in words": ({"model": "ewma", "decay": "best"}, 'decay is a number above 0 and below 1, or "fitted"'),
    "lags of ewma": ({"model": "ewma", "p": 2}, "ewma has no lags and no distribution"),
    "workers": ({"workers": 0}, "workers is a whole number from 1 to 512; got 0"),
    "callbacks": ({"callbacks": print}, "callbacks is a list of functions"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_option_that_cant_be_is_told(case: str):
    options, words = WRONG[case]
    with pytest.raises(ConfigError, match=words):
        tw.fit_volatility(garch_returns(60), assets=["A"], **options)


@pytest.mark.parametrize(
    ("returns", "words"),
    [
        (100.0 + garch_returns(60), "look like prices"),
        (garch_returns(60)[:, 0], "rows are bars and columns are assets"),
        (np.empty((0, 1)), "there are no rows of returns"),
        (garch_returns(60, assets=2), "2 columns came with 1 asset names"),
    ],
)
def test_a_table_that_is_none_of_returns_is_refused(returns: Any, words: str):
    with pytest.raises(AllocationError, match=words):
        tw.fit_volatility(returns, assets=["A"])
