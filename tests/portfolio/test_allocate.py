"""Allocation rules, against the paper's numbers, its algorithm written out plainly, and their laws."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidewright.portfolio import RULES, equal_weights, hrp_weights, inverse_variance_weights

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)


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
@given(SEEDS, st.sampled_from(sorted(RULES)))
def test_permuting_the_assets_permutes_the_weights(seed: int, rule: str) -> None:
    returns = draw_returns(seed)
    order = np.random.default_rng(seed + 1).permutation(7)
    decide = RULES.load(rule)
    straight = decide(returns, assets=name_assets(7)).as_dict()
    permuted = decide(returns[:, order], assets=[name_assets(7)[i] for i in order]).as_dict()
    assert permuted == pytest.approx(straight, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(sorted(RULES)), st.integers(1, 12), st.integers(2, 40))
def test_weights_are_not_negative_and_sum_to_one(seed: int, rule: str, assets: int, rows: int) -> None:
    weights = RULES.load(rule)(draw_returns(seed, rows=rows, assets=assets), assets=name_assets(assets))
    assert np.all(weights.values >= 0)
    assert weights.values.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights.method == rule


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e3))
def test_the_scale_of_returns_does_not_move_hrp(seed: int, scale: float) -> None:
    returns = draw_returns(seed)
    returns -= 0.5 * np.abs(returns).max()  # negative throughout, or scaled returns might pass for prices
    straight = hrp_weights(returns, assets=name_assets(7)).values
    np.testing.assert_allclose(hrp_weights(returns * scale, assets=name_assets(7)).values, straight, rtol=1e-7)


def test_one_asset_gets_everything() -> None:
    returns = [[0.01], [-0.02], [0.03]]
    for rule in RULES:
        assert RULES.load(rule)(returns, assets=("only",)).as_dict() == {"only": 1.0}


def test_two_copies_of_an_asset_share_its_money() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(0, 0.01, (2, 400))
    weights = hrp_weights(np.column_stack([one, one, other]), assets=("A", "A too", "B")).as_dict()
    assert weights["A"] + weights["A too"] == pytest.approx(weights["B"], rel=0.2)


def test_inverse_variance_is_the_closed_form() -> None:
    returns = draw_returns(5)
    inverse = 1 / returns.var(axis=0, ddof=1)
    ours = inverse_variance_weights(returns, assets=name_assets(7)).values
    np.testing.assert_allclose(ours, inverse / inverse.sum(), rtol=1e-12)


def test_equal_weights_check_the_returns_that_they_are_given() -> None:
    assert equal_weights(assets=("A", "B")).as_dict() == {"A": 0.5, "B": 0.5}
    with pytest.raises(ValueError, match="return of 'B' at row 1 is nan"):
        equal_weights([[0.1, 0.2], [0.0, float("nan")]], assets=("A", "B"))
