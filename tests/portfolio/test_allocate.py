"""Allocation rules, against the paper's numbers, its algorithm written out plainly, and their laws."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
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
    RULES,
    Costs,
    Covariance,
    Limits,
    Weights,
    equal_weights,
    estimate_covariance,
    hrp_weights,
    inverse_variance_weights,
    risk_contributions,
)
from tidewright.portfolio.allocate.hrp import bisect
from tidewright.portfolio.allocate.tree import grow_tree, order_leaves

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
REFERENCE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "reference"


HERE = sorted(name for name, entry in RULES.items() if entry.kind in ("hierarchy", "risk", "floor"))


def decide(rule: str, returns: Floats, *, assets: Sequence[str]) -> Weights:
    options = {"budgets": spread_budgets(assets)} if rule == "risk_budget" else {}
    weights: Weights = RULES.load(rule)(returns, assets=assets, **options)
    return weights


def spread_budgets(assets: Sequence[str]) -> dict[str, float]:
    """Budgets of the risk that differ, by the names alone."""
    sizes = {name: 1.0 + len(assets) * float(name.split()[-1] == "1") for name in assets}
    return {name: size / sum(sizes.values()) for name, size in sizes.items()}


def name_assets(count: int) -> tuple[str, ...]:
    return tuple(f"asset {number}" for number in range(1, count + 1))


def draw_returns(seed: int, *, rows: int = 60, assets: int = 7) -> Floats:
    """Returns with clusters, different variances and no ties."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, assets))
    return (factors + rng.normal(size=(rows, assets))) * rng.uniform(0.005, 0.03, size=assets)


def draw_paper_returns() -> Floats:
    """Lopez de Prado's example: five independent columns, and five noisy copies of columns drawn at random.

    He drew the columns with Python 2, where randint(0, 4) was int(5 * random()).
    """
    random.seed(12345)
    state = np.random.RandomState(12345)
    base = state.normal(0, 1, size=(10_000, 5))
    copied = [int(5 * random.random()) for _ in range(5)]
    return np.hstack([base, base[:, copied] + state.normal(0, 0.25, size=(10_000, 5))])


def hrp_by_the_paper(returns: Floats) -> Floats:
    """The paper's steps in plain loops, with its own order of merging assets: the earlier column first."""
    covariance, correlation = np.cov(returns.T), np.corrcoef(returns.T)
    distance = np.sqrt(np.clip((1 - correlation) / 2, 0, None))
    size = len(covariance)
    apart = [[float(np.sqrt(((distance[i] - distance[j]) ** 2).sum())) for j in range(size)] for i in range(size)]
    clusters: dict[int, list[int]] = {i: [i] for i in range(size)}
    for new in range(size, 2 * size - 1):
        pairs = [(a, b) for a in clusters for b in clusters if a < b]
        a, b = min(pairs, key=lambda pair: min(apart[i][j] for i in clusters[pair[0]] for j in clusters[pair[1]]))
        clusters[new] = clusters.pop(a) + clusters.pop(b)
    weights = np.ones(size)

    def variance(items: list[int]) -> float:
        part = covariance[np.ix_(items, items)]
        inverse = 1 / np.diag(part)
        inverse /= inverse.sum()
        return float(inverse @ part @ inverse)

    def split(items: list[int]) -> None:
        if len(items) > 1:
            left, right = items[: len(items) // 2], items[len(items) // 2 :]
            share = 1 - variance(left) / (variance(left) + variance(right))
            weights[left] *= share
            weights[right] *= 1 - share
            split(left)
            split(right)

    split(clusters[2 * size - 2])
    return weights


def test_hrp_gives_the_weights_of_the_paper() -> None:
    percent = [6.9994, 7.5922, 10.8389, 19.0291, 9.7199, 10.1915, 6.6189, 9.0959, 7.1239, 12.7903]
    weights = hrp_weights(draw_paper_returns(), assets=name_assets(10))
    np.testing.assert_allclose(weights.values * 100, percent, rtol=0, atol=5e-5)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_hrp_agrees_with_the_paper_written_out_when_columns_stand_by_variance(seed: int) -> None:
    returns = draw_returns(seed)
    returns = returns[:, np.argsort(returns.var(axis=0))]
    ours = hrp_weights(returns, assets=name_assets(7)).values
    np.testing.assert_allclose(ours, hrp_by_the_paper(returns), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(HERE))
def test_permuting_the_assets_permutes_the_weights(seed: int, rule: str) -> None:
    returns = draw_returns(seed)
    order = np.random.default_rng(seed + 1).permutation(7)
    straight = decide(rule, returns, assets=name_assets(7)).as_dict()
    permuted = decide(rule, returns[:, order], assets=[name_assets(7)[i] for i in order]).as_dict()
    assert permuted == pytest.approx(straight, rel=1e-8, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(HERE), st.integers(1, 12), st.integers(3, 40))
def test_weights_are_not_negative_and_sum_to_one(seed: int, rule: str, assets: int, rows: int) -> None:
    weights = decide(rule, draw_returns(seed, rows=rows, assets=assets), assets=name_assets(assets))
    assert np.all(weights.values >= 0)
    assert weights.values.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights.method == rule


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e3), st.sampled_from(HERE))
def test_the_scale_of_returns_moves_no_weight(seed: int, scale: float, rule: str) -> None:
    returns = draw_returns(seed)
    returns -= 0.5 * np.abs(returns).max()  # negative throughout, or scaled returns might pass for prices
    straight = decide(rule, returns, assets=name_assets(7)).values
    scaled = decide(rule, returns * scale, assets=name_assets(7)).values
    np.testing.assert_allclose(scaled, straight, rtol=1e-7, atol=1e-12)


def test_one_asset_gets_everything() -> None:
    returns = [[0.01], [-0.02], [0.03]]
    for rule in HERE:
        assert decide(rule, np.array(returns), assets=("only",)).as_dict() == {"only": 1.0}


def test_two_copies_of_an_asset_share_its_money() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(0, 0.01, (2, 400))
    weights = hrp_weights(np.column_stack([one, one, other]), assets=("A", "A too", "B")).as_dict()
    assert weights["A"] + weights["A too"] == pytest.approx(weights["B"], rel=0.2)


@pytest.mark.parametrize("linkage", ["single", "complete", "average", "ward"])
def test_the_plain_distance_gives_the_weights_of_pyportfolioopt(linkage: Any) -> None:
    from pypfopt import HRPOpt

    returns = draw_returns(11, assets=12)
    returns = returns[:, np.argsort(returns.var(axis=0))]  # the peer's tree takes assets as they stand
    theirs = HRPOpt(pd.DataFrame(returns, columns=list(name_assets(12)))).optimize(linkage_method=linkage)
    ours = hrp_weights(returns, assets=name_assets(12), distance="plain", linkage=linkage)
    assert ours.as_dict() == pytest.approx(dict(theirs), rel=1e-9)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the real data are not on this machine")
def test_the_steps_give_the_weights_that_pyportfolioopt_publishes() -> None:
    """Its prices have gaps, so that its correlations and covariances are of pairs: two matrices, no returns."""
    prices = pd.read_csv(REFERENCE / "pypfopt_stock_prices.csv", index_col=0)
    returns = prices.pct_change(fill_method=None).dropna(how="all")
    order = order_leaves(grow_tree(returns.corr().to_numpy(), distance="plain", linkage="single"))
    ours = pd.Series(bisect(returns.cov().to_numpy()[np.ix_(order, order)]), index=returns.columns[order])
    theirs = pd.read_csv(REFERENCE / "pypfopt_weights_hrp.csv", index_col=0).iloc[:, 0]
    np.testing.assert_allclose(ours[theirs.index], theirs, rtol=1e-9)


def test_contributions_to_risk_are_the_gradient_and_sum_to_one() -> None:
    returns = draw_returns(4)
    covariance = estimate_covariance(returns, assets=name_assets(7))
    weights = Weights(assets=name_assets(7)[::-1], values=np.linspace(-0.3, 0.8, 7) / 1.75, method="by hand")
    shares = risk_contributions(weights, covariance)
    values, matrix = weights.values, covariance.values[::-1, ::-1]
    step = 1e-6 * np.eye(7)
    slope = [np.log((values + h) @ matrix @ (values + h)) - np.log((values - h) @ matrix @ (values - h)) for h in step]
    np.testing.assert_allclose(shares, values * np.array(slope) / 4e-6, atol=1e-7)
    assert shares.sum() == pytest.approx(1.0, abs=1e-12)
    nothing = Weights(assets=name_assets(7), values=np.zeros(7), method="cash", net=0.0)
    with pytest.raises(AllocationError, match="all of the money is in cash"):
        risk_contributions(nothing, covariance)


def test_the_door_gives_what_the_rule_gives() -> None:
    returns = draw_returns(2)
    ours = tw.allocate(returns, assets=name_assets(7), covariance="oas", distance="plain", linkage="ward")
    same = hrp_weights(returns, assets=name_assets(7), covariance="oas", distance="plain", linkage="ward")
    assert ours.as_dict() == same.as_dict()
    assert ours.notes[0] == "covariance oas"
    assert (
        tw.allocate(returns, assets=name_assets(7)).as_dict() == hrp_weights(returns, assets=name_assets(7)).as_dict()
    )


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from(HERE))
def test_limits_are_kept_by_the_nearest_weights_that_keep_them(seed: int, rule: str) -> None:
    returns, names = draw_returns(seed), name_assets(7)
    limits = Limits.parse("each <= 0.22", "0.2 <= calm <= 0.5", groups=dict.fromkeys(names[:3], "calm"))
    needed = {"budgets": spread_budgets(names)} if rule == "risk_budget" else {}
    free = tw.allocate(returns, assets=names, method=rule, **needed).values
    ours = tw.allocate(returns, assets=names, method=rule, limits=limits, **needed)
    assert max(limits.excess(ours.values, assets=names).values(), default=0.0) < 1e-8
    assert ours.method == rule
    if max(limits.excess(free, assets=names).values(), default=0.0) < 1e-8:
        np.testing.assert_array_equal(ours.values, free)
        assert ours.notes[-1] == "the limits hold without a change"
        return
    assert "moved to the nearest weights within the limits" in ours.notes[-1]
    rng = np.random.default_rng(seed)
    others = project_by_rejection(rng, limits=limits, names=names)
    assert np.all(((others - free) ** 2).sum(axis=1) >= ((ours.values - free) ** 2).sum() - 1e-9)
    toward = 0.01 * others + 0.99 * ours.values  # near neighbours too, the set is convex
    assert np.all(((toward - free) ** 2).sum(axis=1) >= ((ours.values - free) ** 2).sum() - 1e-9)


def project_by_rejection(rng: np.random.Generator, *, limits: Limits, names: tuple[str, ...]) -> Floats:
    drawn = rng.dirichlet(np.full(7, 8.0), 400)
    return drawn[[not limits.excess(row, assets=names) for row in drawn]]


def test_limits_that_are_counted_from_what_is_held_are_kept_too() -> None:
    returns, names = draw_returns(5), name_assets(7)
    held = np.full(7, 1 / 7)
    for words in ("turnover <= 0.1", "names <= 3"):
        limits = Limits.parse(words)
        ours = tw.allocate(returns, assets=names, limits=limits, previous=held)
        assert max(limits.excess(ours.values, assets=names, previous=held).values(), default=0.0) < 1e-8
    cash = tw.allocate(returns, assets=names, limits=Limits.parse("net = 0.5"))
    assert cash.net == pytest.approx(0.5)
    with pytest.raises(AllocationError, match=r"'turnover <= 0\.1' has nothing to count from"):
        tw.allocate(returns, assets=names, limits=Limits.parse("turnover <= 0.1"))
    with pytest.raises(AllocationError, match=r"'each <= 0\.1'"):
        tw.allocate(returns, assets=names, limits=Limits.parse("each <= 0.1"))


@pytest.mark.parametrize("options", [{"covariance": "ewma"}, {"distance": "plain"}, {"linkage": "ward"}])
def test_every_option_of_hrp_moves_the_weights(options: dict[str, Any]) -> None:
    returns = draw_returns(8, assets=12)
    usual = tw.allocate(returns, assets=name_assets(12)).values
    assert not np.allclose(tw.allocate(returns, assets=name_assets(12), **options).values, usual, rtol=1e-3)


def test_a_covariance_of_ones_own_needs_no_returns_and_is_met_by_name() -> None:
    covariance = estimate_covariance(draw_returns(2), assets=name_assets(7), method="sample")
    for rule in ("hrp", "inverse_variance"):
        turned = tw.allocate(None, assets=name_assets(7)[::-1], method=rule, covariance=covariance).as_dict()
        assert turned == pytest.approx(tw.allocate(draw_returns(2), assets=name_assets(7), method=rule).as_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "hpr"}, "no allocation rule is called 'hpr'. Did you mean 'hrp'"),
        ({"linkages": "ward"}, "no option of hrp is called 'linkages'. Did you mean 'linkage'"),
        ({"linkage": "median"}, "linkage is single, complete, average, ward; got 'median'"),
        ({"distance": "far"}, "distance is columns or plain; got 'far'"),
        ({"covariance": np.eye(7)}, "covariance is the name of a method or a Covariance; got ndarray"),
        ({"covariance": "smaple"}, "no covariance is called 'smaple'. Did you mean 'sample'"),
        ({"method": "equal", "covariance": "oas"}, "the method equal does not heed covariance.* These do: hrp"),
        ({"views": object()}, "the method hrp does not heed views"),
        ({"previous": np.full(7, 1 / 7)}, "the method hrp does not heed previous"),
        ({"costs": Costs(fee_bps=1, half_spread_bps=1)}, "the method hrp does not heed costs"),
        ({"limits": "each <= 0.1"}, "limits is a Limits, such as"),
        ({"risk_free": 0.01}, "the method hrp does not heed risk_free"),
        ({"covariance": Covariance(values=np.eye(1), assets=("gold",), method="mine")}, "has no asset 'asset 1'"),
    ],
)
def test_what_a_method_can_not_heed_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((AllocationError, ConfigError), match=message):
        tw.allocate(draw_returns(2), assets=name_assets(7), **options)


def test_without_returns_and_covariance_there_is_nothing_to_weigh() -> None:
    with pytest.raises(AllocationError, match="neither returns nor a Covariance"):
        tw.allocate(None, assets=("A", "B"))


def test_inverse_variance_is_the_closed_form() -> None:
    returns = draw_returns(5)
    inverse = 1 / returns.var(axis=0, ddof=1)
    ours = inverse_variance_weights(returns, assets=name_assets(7)).values
    np.testing.assert_allclose(ours, inverse / inverse.sum(), rtol=1e-12)


def test_equal_weights_check_the_returns_that_they_are_given() -> None:
    assert equal_weights(assets=("A", "B")).as_dict() == {"A": 0.5, "B": 0.5}
    with pytest.raises(ValueError, match="return of 'B' at row 1 is nan"):
        equal_weights([[0.1, 0.2], [0.0, float("nan")]], assets=("A", "B"))
