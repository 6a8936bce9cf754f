"""Rolling value at risk: each bar from the bars strictly before it, the same figures as one call a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tidewright as tw
from tidewright.errors import AllocationError, ConfigError, FallbackWarning
from tidewright.portfolio.risk.historical import Historical
from tidewright.portfolio.risk.normal import Normal

Floats = NDArray[np.float64]
NAMES = ("A", "B", "C")


def draw(rows: int = 400, *, seed: int = 0, digits: int = 9) -> Floats:
    return np.asarray((np.random.default_rng(seed).standard_t(4, (rows, 3)) / 100).round(digits))


def roll(returns: Floats, **options: Any) -> Any:
    return tw.rolling_var(returns, assets=NAMES, **options)


@pytest.mark.parametrize("method", ["historical", "normal"])
@pytest.mark.parametrize(("window", "confidence"), [(40, 0.9), (100, 0.99), (250, 0.95)])
def test_each_bar_is_the_window_strictly_before_it(method: Any, window: int, confidence: float) -> None:
    returns = draw(digits=3)  # many ties
    found = roll(returns, window=window, confidence=confidence, method=method)
    tail = Historical(confidence) if method == "historical" else Normal(confidence)
    assert np.isnan(found.var[:window]).all()
    assert np.isnan(found.es[:window]).all()
    for bar in range(window, len(returns)):
        alone = tail.measure(returns[bar - window : bar])
        assert found.var[bar] == pytest.approx(alone.var, abs=1e-14)
        assert found.es[bar] == pytest.approx(alone.es, abs=1e-14)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(12, 60), st.sampled_from([0.6, 0.8, 0.9]), st.integers(0, 3))
def test_any_window_has_the_figures_of_a_sort(seed: int, window: int, confidence: float, digits: int) -> None:
    returns = np.random.default_rng(seed).normal(0, 1, (120, 3)).round(digits) / 10
    found = roll(returns, window=window, confidence=confidence)
    for bar in range(window, 120, 7):
        alone = Historical(confidence).measure(returns[bar - window : bar])
        assert np.array_equal(found.var[bar], alone.var)
        assert found.es[bar] == pytest.approx(alone.es, abs=1e-15)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("historical", {}),
        ("normal", {}),
        ("t", {"every": 40, "degrees": 5.0}),
        ("filtered_historical", {"model": "ewma", "every": 40}),
    ],
)
def test_nothing_at_or_after_a_bar_changes_a_bit_of_it(method: Any, options: dict[str, Any]) -> None:
    returns, cut = draw(300), 171
    other = returns.copy()
    other[cut:] = draw(300, seed=1)[cut:] * 5
    first, second = (roll(one, window=100, method=method, **options) for one in (returns, other))
    assert np.array_equal(first.var[: cut + 1], second.var[: cut + 1], equal_nan=True)
    assert np.array_equal(first.es[: cut + 1], second.es[: cut + 1], equal_nan=True)
    assert not np.array_equal(first.var[cut + 1 :], second.var[cut + 1 :])


@pytest.mark.parametrize("method", ["historical", "normal", "t"])
def test_a_missing_return_leaves_the_bars_whose_window_it_is_in(method: Any) -> None:
    returns = draw(300)
    returns[:30, 0] = np.nan
    returns[150, 1] = np.nan
    found = roll(returns, window=50, method=method, **({"degrees": 5.0} if method == "t" else {}))
    there = np.isfinite(found.var)
    assert np.array_equal(np.flatnonzero(there[:, 0]), np.arange(80, 300))
    assert np.array_equal(np.flatnonzero(~there[:, 1]), np.append(np.arange(50), np.arange(151, 201)))
    assert there[50:, 2].all()
    clean = roll(np.nan_to_num(returns), window=50, method=method,
                 **({"degrees": 5.0} if method == "t" else {}))  # fmt: skip
    assert np.array_equal(found.var[there], clean.var[there])


def test_one_outlier_leaves_no_trace_when_it_is_gone() -> None:
    returns = draw(400)
    wild = returns.copy()
    wild[150] = 1e5
    first, second = (roll(one, window=100, method="normal") for one in (returns, wild))
    gone = slice(251, None)
    assert first.var[gone] == pytest.approx(second.var[gone], rel=1e-9)


def test_other_methods_are_held_until_they_are_estimated_anew() -> None:
    returns = draw(260)
    found = roll(returns, window=100, method="t", every=60)
    once = tw.value_at_risk(returns[160 - 100 : 160], assets=NAMES, method="t")
    assert (found.var[160:220] == once.var).all()
    assert "estimated anew every 60 bars" in found.notes
    held = roll(returns, window=100, every=60)
    assert (held.var[100:160] == roll(returns, window=100).var[100]).all()


def test_filtered_simulation_follows_the_volatility_of_each_bar() -> None:
    returns = draw(400)
    returns[300:] *= 5.0
    found = roll(returns, window=250, method="filtered_historical", model="ewma", every=100)
    for bar in (250, 350):  # at a fit it is one call's figure
        once = tw.value_at_risk(returns[bar - 250 : bar], assets=NAMES, method="filtered_historical", model="ewma")
        assert found.var[bar] == pytest.approx(once.var, rel=1e-10)
    assert (found.var[330] > 2 * found.var[299]).all()  # between two fits
    assert (roll(returns, window=250).var[330] < 2 * found.var[299]).all()


def test_a_fit_that_fails_leaves_its_bars_and_is_told() -> None:
    returns = draw(160)
    returns[:, 1] *= 1e-120
    with pytest.warns(FallbackWarning, match="2 fits failed"):
        found = roll(returns, window=100, method="filtered_historical", model="ewma", every=30)
    assert np.isnan(found.var[:, 1]).all()
    assert np.isfinite(found.var[100:, [0, 2]]).all()
    assert "the first of 'B' at row 100" in found.notes[-1]
    with pytest.warns(FallbackWarning, match="6 fits failed"):
        none = roll(1e-120 * draw(160), window=100, method="filtered_historical", model="ewma", every=30)
    assert np.isnan(none.var).all()


def test_a_window_that_the_method_refuses_costs_the_asset_its_bars_and_is_told() -> None:
    returns = draw(200)
    returns[120, 1] = -0.9
    options: dict[str, Any] = {"window": 100, "method": "cornish_fisher", "moments": "matched", "every": 10}
    with pytest.warns(FallbackWarning, match="'B' at row 130: 'B' has skewness"):
        found = roll(returns, **options)
    assert np.isnan(found.var[130:, 1]).all()
    assert np.isfinite(found.var[100:, [0, 2]]).any()


def test_bad_input_is_refused_in_words() -> None:
    with pytest.raises(AllocationError, match="400 bars leaves none of the 400 bars"):
        roll(draw(), window=400)
    with pytest.raises(AllocationError, match=r"of 50 bars 0.5 are expected beyond .*='normal'"):
        roll(draw(), window=50, confidence=0.99)
    with pytest.raises(AllocationError, match="look like prices"):
        roll(np.cumprod(1 + draw(), axis=0) * 50, window=100)
    with pytest.raises(AllocationError, match="return of 'B' at row 7 is inf"):
        roll(np.where(np.arange(1200).reshape(400, 3) == 22, np.inf, draw()), window=100)
    with pytest.raises(AllocationError, match=r"For 95 % pass 0\.95"):
        roll(draw(), window=100, confidence=95)
    with pytest.raises(ConfigError, match="no option is called 'horizon_by'"):
        roll(draw(), window=100, horizon_by="blocks")
    with pytest.raises(ConfigError, match="no option is called 'draws'"):
        roll(draw(), window=100, method="filtered_historical", draws=5000)
    with pytest.raises(ConfigError, match="every is a whole number"):
        roll(draw(), window=100, every=0)
