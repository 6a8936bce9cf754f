"""Value at risk of assets and portfolios: the laws that hold for any sample, the parts of a whole, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import tidewright as tw
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.risk.historical import Historical

Floats = NDArray[np.float64]
NAMES = ("AAPL", "XOM", "JPM")
WEIGHTS = np.array([0.5, 0.3, 0.2])
ANY: list[tuple[str, dict[str, Any]]] = [
    ("historical", {}),
    ("historical", {"horizon_by": "root of time"}),
    ("normal", {}),
    ("t", {}),
    ("t", {"degrees": 4.0}),
    ("cornish_fisher", {}),
    ("cornish_fisher", {"moments": "matched"}),
    ("monte_carlo", {"draws": 5000}),
    ("monte_carlo", {"draws": 5000, "distribution": "t"}),
    ("extreme_value", {}),
    ("extreme_value", {"model": "ewma"}),
    ("filtered_historical", {"model": "ewma"}),
]
SAMPLES = arrays(np.float64, st.tuples(st.integers(20, 60), st.just(2)), elements=st.floats(-0.5, 0.5, width=32))


def draw(rows: int = 1000, *, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return np.asarray(0.0005 + 0.006 * rng.standard_t(8, (rows, 1)) + 0.008 * rng.standard_t(8, (rows, 3)))


def measure(returns: Floats, **options: Any) -> Any:
    return tw.value_at_risk(returns, assets=NAMES, **options)


@given(SAMPLES, st.sampled_from([0.8, 0.9, 0.95]))
def test_the_historical_shortfall_is_subadditive_and_no_less_than_the_var(sample: Floats, confidence: float) -> None:
    tail = Historical(confidence)
    both = tail.measure(sample, loadings=np.ones((2, 1)))
    each = tail.measure(sample)
    assert both.es[0] <= each.es.sum() + 1e-12
    assert (each.es >= each.var).all()
    assert both.es[0] >= both.var[0]


@given(SAMPLES, st.floats(0.1, 10.0), st.floats(-0.2, 0.2))
def test_historical_risk_grows_with_the_position_and_falls_by_what_is_sure(
    sample: Floats, scale: float, sure: float
) -> None:
    plain, moved = Historical(0.9).measure(sample), Historical(0.9).measure(scale * sample + sure)
    assert moved.var == pytest.approx(scale * plain.var - sure, abs=1e-12)
    assert moved.es == pytest.approx(scale * plain.es - sure, abs=1e-12)


@settings(max_examples=30)
@given(SAMPLES, st.floats(-1.0, 2.0))
@example(np.full((40, 2), 0.46875), -0.5321668008623904)  # outcomes that differ by rounding alone
def test_the_parts_of_historical_risk_sum_to_the_whole(sample: Floats, first: float) -> None:
    weights = np.array([first, 1.0 - first])
    whole = Historical(0.9).measure(sample, loadings=weights[:, None])
    var, es = Historical(0.9).split(sample, weights=weights)
    assert weights @ var == pytest.approx(whole.var[0], abs=1e-9)
    assert weights @ es == pytest.approx(whole.es[0], abs=1e-12)


@pytest.mark.parametrize(("method", "options"), ANY)
def test_the_laws_hold_for_every_method(method: str, options: dict[str, Any]) -> None:
    returns = draw()
    found = measure(returns, method=method, confidence=0.99, weights=WEIGHTS, incremental=True, **options)
    assert (found.es >= found.var).all()
    whole = found.portfolio
    assert whole.component_var.sum() == pytest.approx(whole.var, rel=1e-9)
    assert whole.component_es.sum() == pytest.approx(whole.es, rel=1e-9)
    assert whole.component_var == pytest.approx(WEIGHTS * whole.marginal_var)
    assert whole.es >= whole.var
    without = measure(returns, method=method, confidence=0.99, weights=tw.Weights(NAMES, [0.5, 0.3, 0.0], "", net=0.8),
                      **options)  # fmt: skip
    assert whole.incremental_var[2] == pytest.approx(whole.var - without.portfolio.var, abs=1e-9)
    assert whole.incremental_es[2] == pytest.approx(whole.es - without.portfolio.es, abs=1e-9)
    alone = measure(returns, method=method, confidence=0.99, weights=[0.0, 1.0, 0.0], **options)
    assert alone.portfolio.var == pytest.approx(found.var[1], rel=1e-7)


@pytest.mark.parametrize(("method", "options"), [one for one in ANY if one[0] != "monte_carlo"])
def test_other_orders_of_assets_and_scales_change_nothing_else(method: str, options: dict[str, Any]) -> None:
    returns, order = draw(), [2, 0, 1]
    found = measure(returns, method=method, confidence=0.99, weights=WEIGHTS, **options)
    turned = tw.value_at_risk(
        returns[:, order], assets=[NAMES[k] for k in order], method=method, confidence=0.99, weights=WEIGHTS[order],
        **options,
    )  # fmt: skip
    assert turned.var == pytest.approx(found.var[order], rel=1e-9)
    assert turned.portfolio is not None
    assert turned.portfolio.component_es == pytest.approx(found.portfolio.component_es[order], rel=1e-6)
    half = measure(returns / 2, method=method, confidence=0.99, **options)
    assert half.var == pytest.approx(found.var / 2, rel=1e-6)
    assert half.es == pytest.approx(found.es / 2, rel=1e-6)


CLOSED = [one for one in ANY if one[0] in ("normal", "cornish_fisher")]


@pytest.mark.parametrize(("method", "options"), CLOSED)
def test_marginal_risk_is_the_derivative(method: str, options: dict[str, Any]) -> None:
    returns, step = draw(), 1e-5
    found = measure(returns, method=method, horizon=3, weights=WEIGHTS, **options).portfolio
    for asset in range(3):
        nudge = step * np.eye(3)[asset]
        up, down = (
            measure(
                returns, method=method, horizon=3, weights=tw.Weights(NAMES, w, "", net=w.sum()), **options
            ).portfolio
            for w in (WEIGHTS + nudge, WEIGHTS - nudge)
        )
        assert found.marginal_var[asset] == pytest.approx((up.var - down.var) / (2 * step), rel=1e-6)
        assert found.marginal_es[asset] == pytest.approx((up.es - down.es) / (2 * step), rel=1e-6)


def test_the_parts_of_a_sample_are_near_those_of_the_normal_that_it_came_from() -> None:
    rng = np.random.default_rng(0)
    returns = rng.multivariate_normal([0.001, 0, 0], np.diag([1e-4, 4e-4, 9e-4]) + 1e-4, 20_000)
    sample, normal = (measure(returns, method=method, weights=WEIGHTS).portfolio for method in ("historical", "normal"))
    assert sample.component_var == pytest.approx(normal.component_var, rel=0.08)
    assert sample.component_es == pytest.approx(normal.component_es, rel=0.03)


def test_a_record_of_weights_is_taken_by_name_and_may_be_short() -> None:
    returns = draw()
    hedged = tw.Weights(("XOM", "JPM", "AAPL"), [-0.5, 0.2, 0.5], "by hand", net=0.2)
    found = measure(returns, weights=hedged)
    assert found.portfolio.weights.tolist() == [0.5, -0.5, 0.2]
    assert found.portfolio.var < found.var.min()


def test_the_record_is_frozen_and_says_what_it_is() -> None:
    found = measure(draw(), horizon=2, confidence=0.99, weights=WEIGHTS)
    assert (found.method, found.confidence, found.horizon, found.horizon_by, found.bars) == (
        "historical",
        0.99,
        2,
        "blocks",
        1000,
    )
    assert found.as_dict()["XOM"] == (found.var[1], found.es[1])
    assert any("line through the outcomes" in note for note in found.notes)
    with pytest.raises(ValueError, match="read-only"):
        found.var[0] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        found.portfolio.component_var[0] = 0.0


def test_what_is_hardly_known_or_impossible_is_noted() -> None:
    assert any("2.5 outcomes are expected beyond" in n for n in measure(draw(250), confidence=0.99).notes)
    wild = measure(draw() * 8, method="normal", horizon=100, confidence=0.99)
    assert any("above its whole value (3 such)" in note for note in wild.notes)
    cut = measure(draw() * 8, method="monte_carlo", confidence=0.99, draws=20_000, distribution="t", degrees=2.1)
    assert any("cut there" in note for note in cut.notes)
    assert cut.var.max() <= 1.0


PRICES = 100 * np.cumprod(1 + draw(300), axis=0)
HOLED = np.where(np.arange(900).reshape(300, 3) == 100, np.nan, draw(300))
BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "prices": (PRICES, {}, "look like prices"),
    "NaN": (HOLED, {}, "return of 'XOM' at row 33 is nan"),
    "percent": (draw(300), {"confidence": 95}, r"below 1; got 95. For 95 % pass 0.95"),
    "tail": (draw(300), {"confidence": 0.05}, r"got 0.05. For a tail of 0.05 pass 0.95"),
    "one": (draw(300), {"confidence": 1.0}, "probability above 0.5 and below 1; got 1.0"),
    "in percent": (100 * draw(300), {}, r"at least -1, or NaN .*; divide percent by 100"),
    "huge": (1e60 * np.abs(draw(300)), {}, "look like prices|divide percent"),
    "weights of text": (draw(300), {"weights": ["a", "b", "c"]}, "weights hold something that is no number"),
    "weights of another": (draw(300), {"weights": {"IBM": 1.0}}, "weights name 'IBM', which is not among the assets"),
    "no risk": (draw(300), {"weights": tw.Weights(NAMES, [0, 0, 0], "", net=0.0), "method": "t"}, "has no risk"),
    "text": (draw(300), {"confidence": "0.95"}, "got '0.95'"),
    "sum": (draw(300), {"weights": [0.5, 0.3, 0.3]}, r"weights sum to 1.1, not to one. Divide .* net=1.1"),
    "count": (draw(300), {"weights": [0.5, 0.5]}, r"weights have the shape \(2,\) for 3 assets"),
    "NaN weight": (draw(300), {"weights": [0.5, np.nan, 0.5]}, "weight of 'XOM' is nan"),
    "names": (draw(300), {"weights": tw.Weights(("AAPL", "XOM", "IBM"), WEIGHTS, "")}, "'IBM' stands in the w"),
    "horizon": (draw(300), {"horizon": 20}, r"300 bars hold 15 blocks of 20, of which 0.75 .* Bring 400 bars"),
    "few": (draw(50), {"confidence": 0.99}, r"0.5 are expected beyond a confidence of 0.99.* Bring 100 bars"),
    "root": (draw(300), {"horizon": 301, "method": "normal"}, "301 bars is longer than the 300 bars"),
    "few filtered": (draw(60), {"confidence": 0.99, "method": "filtered_historical"}, "Bring 100 bars"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_refused_in_words(case: str) -> None:
    returns, options, words = BAD[case]
    with pytest.raises(AllocationError, match=words):
        measure(returns, **options)


def test_options_that_can_t_be_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"no method is called 'historic'. Did you mean 'historical'"):
        measure(draw(), method="historic")
    with pytest.raises(ConfigError, match="pass weights too"):
        measure(draw(), incremental=True)
    with pytest.raises(ConfigError, match="horizon is a whole number"):
        measure(draw(), horizon=0)
    with pytest.raises(ConfigError, match="draws is a whole number from 1000 to 10000000"):
        measure(draw(), method="monte_carlo", draws=100, confidence=0.99)
    with pytest.raises(ConfigError, match="a number above 2"):
        measure(draw(), method="monte_carlo", distribution="t", degrees=2.0)
    with pytest.raises(ConfigError, match="no horizon_by is called 'root'"):
        measure(draw(), horizon=2, horizon_by="root")
    with pytest.raises(ConfigError, match="a share above 0"):
        measure(draw(), method="extreme_value", threshold=0.9)


def test_stale_prices_have_no_t_and_no_pareto() -> None:
    returns = draw()
    returns[:900, 1] = 0.0
    with pytest.raises(AllocationError, match="most returns of 'XOM' are the same value"):
        measure(returns, method="t")
    returns[:, 1] = np.where(np.arange(1000) < 500, -0.01, 0.01)
    with pytest.raises(AllocationError, match="largest losses of 'XOM' are all the same"):
        measure(returns, method="extreme_value", confidence=0.99)


@pytest.mark.parametrize(("method", "options"), ANY)
def test_without_its_only_asset_a_portfolio_has_no_risk(method: str, options: dict[str, Any]) -> None:
    found = tw.value_at_risk(
        draw()[:, :1], assets=["A"], method=method, confidence=0.99, weights=[1.0], incremental=True, **options
    ).portfolio
    assert found is not None
    assert found.incremental_var == pytest.approx([found.var])
    assert found.incremental_es == pytest.approx([found.es])
