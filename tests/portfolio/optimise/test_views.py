"""Black and Litterman's mixture of views and equilibrium, against the tables of He and Litterman 1999."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.portfolio.optimise.worlds import draw_returns, name_assets, sample
from tidewright.errors import AllocationError
from tidewright.portfolio import Covariance, Limits, Views, black_litterman, optimise
from tidewright.portfolio.allocate.door import allocate
from tidewright.portfolio.forecasts.predictions import Predictions

LANDS = ("AUS", "CAN", "FRA", "GER", "JAP", "UK", "USA")
MARKET = dict(zip(LANDS, np.array([1.6, 2.2, 5.2, 5.5, 11.6, 12.4, 61.5]) / 100, strict=True))
PRIOR = [3.9, 6.9, 8.4, 9.0, 4.3, 6.8, 7.6]


def paper() -> Covariance:
    below = [
        [0.488], [0.478, 0.664], [0.515, 0.655, 0.861], [0.439, 0.310, 0.355, 0.354],
        [0.512, 0.608, 0.783, 0.777, 0.405], [0.491, 0.779, 0.668, 0.653, 0.306, 0.652],
    ]  # fmt: skip
    correlation = np.eye(7)
    for row, values in enumerate(below, start=1):
        correlation[row, :row] = correlation[:row, row] = values
    deviation = np.array([16.0, 20.3, 24.8, 27.1, 21.0, 20.0, 18.7]) / 100
    return Covariance(correlation * np.outer(deviation, deviation), LANDS, "He and Litterman")


GERMANY = np.array([0.0, 0.0, -5.2 / 17.6, 1.0, 0.0, -12.4 / 17.6, 0.0])  # against the rest of Europe


def views(*more: Any) -> Views:
    picks = np.array([GERMANY, *(one[0] for one in more)])
    values = [0.05, *(one[1] for one in more)]
    return Views(LANDS, picks, values, [0.05 * 0.021298684, *(0.05 * one[2] for one in more)], market=MARKET)


def test_the_tables_of_he_and_litterman_come_out() -> None:
    none = black_litterman(Views(LANDS, np.zeros((0, 7)), np.zeros(0), np.zeros(0), market=MARKET), covariance=paper())
    np.testing.assert_allclose(none.mean * 100, PRIOR, atol=0.05)
    np.testing.assert_array_equal(none.mean, none.prior)
    for found, mean, weights in (
        (views(), [4.3, 7.6, 9.3, 11.0, 4.5, 7.0, 8.1], [1.5, 2.1, -4.0, 35.4, 11.0, -9.5, 58.6]),
        (
            views((np.array([0, 1.0, 0, 0, 0, 0, -1]), 0.03, 0.017)),
            [4.4, 8.7, 9.5, 11.2, 4.6, 7.0, 7.5],
            [1.5, 41.9, -3.4, 33.6, 11.0, -8.2, 18.8],
        ),
    ):
        after = black_litterman(found, covariance=paper())
        np.testing.assert_allclose(after.mean * 100, mean, atol=0.051)
        held = np.linalg.solve(2.5 * after.covariance.values, after.mean)
        np.testing.assert_allclose(held * 100, weights, atol=0.051)


def test_without_limits_the_optimiser_holds_what_the_paper_holds() -> None:
    free = Limits(long_only=False, net=(None, None))
    weights = allocate(None, assets=LANDS, method="black_litterman", covariance=paper(), views=views(), limits=free)
    np.testing.assert_allclose(weights.values * 100, [1.5, 2.1, -4.0, 35.4, 11.0, -9.5, 58.6], atol=0.051)
    assert weights.method == "black_litterman"
    assert "1 views on the equilibrium, tau 0.05, risk aversion 2.5" in weights.notes


def test_certain_views_are_what_is_expected_and_vague_ones_nothing() -> None:
    sure = Views.from_forecasts([0.1, np.nan, 0.05], uncertainty=[0.0, 0.0, 0.0], assets=("USA", "UK", "JAP"))
    after = black_litterman(sure, covariance=paper())
    assert after.mean[[6, 4]] == pytest.approx([0.1, 0.05], abs=1e-12)
    vague = Views.from_forecasts([0.5], uncertainty=[1e6], assets=("USA",), market=MARKET)
    np.testing.assert_allclose(black_litterman(vague, covariance=paper()).mean * 100, PRIOR, atol=0.05)
    assert "the equilibrium is of equal ones" in after.notes[1]


def test_views_move_every_method_that_expects_and_their_options_are_live() -> None:
    names, returns = name_assets(5), draw_returns(0, assets=5)
    told = Views.from_forecasts([0.01, np.nan, 0.0, np.nan, -0.01], uncertainty=np.full(5, 0.01), assets=names)
    base = optimise(returns, assets=names, method="max_sharpe", views=told).weights.values
    for change in ({"tau": 0.5}, {"risk_aversion": 10.0}, {"market": {names[0]: 1.0}}, {"prior": returns.mean(axis=0)}):
        other = Views(names, told.picks, told.values, told.variances, **change)
        assert (
            np.abs(optimise(returns, assets=names, method="max_sharpe", views=other).weights.values - base).max() > 1e-3
        )
    with pytest.raises(AllocationError, match="min_variance has no use for views"):
        optimise(returns, assets=names, views=told)


def test_predictions_are_views_with_their_errors_and_what_is_between_these() -> None:
    made = np.array(["2024-01-01"], dtype="datetime64[D]")
    quantiles = np.array([[[[-0.02, 0.01, 0.04]], [[np.nan] * 3], [[-0.01, -0.01 + 0.0, 0.03]]]])
    said = Predictions("m", name_assets(3), made, made[:, None] + 1, np.array([0.1, 0.5, 0.9]), quantiles)
    covariance = sample(draw_returns(2, assets=3))
    plain = said.views()
    ours = Views.from_predictions(said)
    same = Views.from_forecasts(
        [0.01, np.nan, -0.01], uncertainty=[plain.errors[0], 1, plain.errors[1]], assets=name_assets(3)
    )
    one, other = (black_litterman(views, covariance=covariance).mean for views in (ours, same))
    np.testing.assert_allclose(one, other, rtol=1e-12)
    week = Predictions(
        "m", name_assets(3), made, made[:, None] + np.arange(1, 6), said.levels, quantiles.repeat(5, axis=2)
    )
    views = Views.from_predictions(week)
    np.testing.assert_array_equal(views.picks, 5 * np.eye(2))
    np.testing.assert_allclose(views.values, 5 * ours.values)
    related = np.array([[1, 0, 0.9], [0, 1, 0], [0.9, 0, 1.0]])
    for change in ({"weight": 0.1}, {"correlation": related}):
        moved = black_litterman(Views.from_predictions(said, **change), covariance=covariance).mean
        assert np.abs(moved - one).max() > 1e-7
    with pytest.raises(AllocationError, match="not finite, symmetric or positive"):
        Views(("A", "B"), np.eye(2), np.zeros(2), np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_cash_s_rate_is_in_the_equilibrium_and_the_views() -> None:
    covariance = sample(draw_returns(1, assets=4))
    sure = Views.from_forecasts([0.02, np.nan, np.nan, np.nan], uncertainty=np.zeros(4), assets=covariance.assets)
    after = black_litterman(sure, covariance=covariance, risk_free=0.01)
    assert after.mean[0] == pytest.approx(0.02)
    none = Views(covariance.assets, np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    low, high = (black_litterman(none, covariance=covariance, risk_free=rate).mean for rate in (0.0, 0.01))
    np.testing.assert_allclose(high - low, 0.01)


def test_views_that_can_t_be_meant_are_refused() -> None:
    two = ("A", "B")
    both = Covariance(np.eye(2), two, "x")
    for bad, message in (
        ({"picks": [[1.0]], "values": [1.0], "variances": [1.0]}, "1 columns came with 2 asset names"),
        ({"picks": [[1.0, 0.0]], "values": [], "variances": [1.0]}, "1 rows of picks came with 0 values"),
        ({"picks": [[1.0, 0.0]], "values": [1.0], "variances": [-1.0]}, "variance of a view is below zero"),
        ({"picks": [[1.0, 0.0]], "values": [1.0], "variances": [np.inf]}, "is infinite: it says nothing"),
        ({"picks": [[1.0, 0.0]], "values": [1.0], "variances": [1.0], "tau": 0.0}, "tau is 0.0"),
    ):
        with pytest.raises(AllocationError, match=message):
            Views(two, **bad)
    twice = Views(two, [[1.0, 0.0], [2.0, 0.0]], [1.0, 2.0], [0.0, 0.0])
    with pytest.raises(AllocationError, match="two certain views are about the same portfolio"):
        black_litterman(twice, covariance=both)
    with pytest.raises(AllocationError, match="a view is about 'C', which is not among the assets"):
        black_litterman(Views(("C",), [[1.0]], [1.0], [1.0]), covariance=both)
    with pytest.raises(AllocationError, match="the market holds 'C'"):
        black_litterman(Views(two, [[1.0, 0.0]], [1.0], [1.0], market={"C": 1.0}), covariance=both)
    with pytest.raises(AllocationError, match="give one finite return an asset"):
        black_litterman(Views(two, [[1.0, 0.0]], [1.0], [1.0], prior=[1.0]), covariance=both)
