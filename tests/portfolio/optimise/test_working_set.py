"""Many assets solved over a few: the answer is that of the whole program, whatever the limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.portfolio.optimise.worlds import draw_returns, name_assets
from tidewright.portfolio import CostBasis, Costs, Limits, optimise
from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.optimise import solve, working_set

NAMES = name_assets(180)
SECTORS = {name: f"S{number % 6}" for number, name in enumerate(NAMES)}
CASES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "bounds": ("each <= 0.08",),
    "must be held": ("A17 >= 0.02", "A90 = 0.01", "S3 >= 0.3", "S1 <= 0.05"),
    "cash": ("net <= 1", "net >= 0.5", "S0 <= 0.1"),
    "many must be": ("each <= 0.01",),
    "turnover": ("turnover <= 0.3",),
    "turnover, sectors": ("turnover <= 0.8", "S2 >= 0.25", "S4 <= 0.1", "A3 <= 0.004"),
}
HELD = np.linspace(0.0, 2.0, 180) / 180  # the first is not held


def draw_market(seed: int) -> FloatArray:
    """Returns that a market moves, so that few assets are held."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0, 0.01, (260, 1)) * rng.uniform(0.5, 1.5, 180)
    return np.asarray(market + draw_returns(seed, rows=260, assets=180))


@pytest.mark.parametrize("method", ["min_variance", "max_sharpe", "max_utility"])
@pytest.mark.parametrize("case", CASES)
def test_the_working_set_comes_to_the_answer_of_the_whole(
    case: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    returns = draw_market(len(case)) if case != "bounds" else draw_returns(1, rows=260, assets=180)  # few held, or many
    options: dict[str, Any] = {"risk_aversion": 8.0} if method == "max_utility" else {}
    limits = Limits.parse(*CASES[case], groups=SECTORS)
    small = optimise(returns, assets=NAMES, method=method, limits=limits, previous=HELD, **options)
    monkeypatch.setattr(solve, "FEWEST", 10**9)
    whole = optimise(returns, assets=NAMES, method=method, limits=limits, previous=HELD, **options)
    assert small.objective == pytest.approx(whole.objective, rel=1e-8)
    np.testing.assert_allclose(small.weights.values, whole.weights.values, atol=2e-5)
    assert small.excess < 1e-9


@pytest.mark.parametrize("held", [HELD, np.where(np.arange(180) < 3, -0.01, 1.03 / 177)])
def test_with_costs_it_comes_to_the_answer_of_the_whole_too(held: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"method": "max_utility", "risk_aversion": 8.0, "previous": held}
    options |= {"costs": Costs(5, 5), "basis": CostBasis(holding=5)}
    small = optimise(draw_market(3), assets=NAMES, **options)
    monkeypatch.setattr(solve, "FEWEST", 10**9)
    whole = optimise(draw_market(3), assets=NAMES, **options)
    assert small.objective == pytest.approx(whole.objective, rel=1e-8)
    np.testing.assert_allclose(small.weights.values, whole.weights.values, atol=2e-5)


@pytest.mark.parametrize("sentences", [(), ("turnover <= 0.3",)])
def test_what_is_solved_is_a_part(sentences: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    plain = working_set.solve_cones

    def count(*args: Any, **options: Any) -> Any:
        sizes.append(len(options["objective"].quadratic))
        return plain(*args, **options)

    monkeypatch.setattr(working_set, "solve_cones", count)
    monkeypatch.setattr(solve, "solve_cones", lambda *_, **__: pytest.fail("the whole was solved"))
    optimise(draw_market(1), assets=NAMES, limits=Limits.parse(*sentences), previous=HELD)
    assert 1 <= len(sizes) <= 4
    assert max(sizes) < 108
