"""The capacity curve: less for more money, and nothing else than the ledgers of each amount."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidewright.portfolio import Costs, backtest_weights, capacity

Floats = NDArray[np.float64]
MONEY = [1e5, 1e6, 1e7, 1e8, 1e9]
NAMES = ("A", "B", "C")


def world() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    closes = 50 * np.exp(np.cumsum(rng.normal(0.001, 0.01, (300, 3)), axis=0))
    targets = rng.dirichlet(np.ones(3), 300)
    targets[np.arange(300) % 5 != 4] = np.nan
    return {
        "targets": targets,
        "prices": closes,
        "times": np.datetime64("2020-01-01") + np.arange(300),
        "assets": NAMES,
        "volumes": rng.uniform(0.5e6, 1.5e6, (300, 3)),
    }


def test_more_money_earns_less_of_itself_and_each_point_is_its_own_ledger() -> None:
    costs = Costs(1, 1, impact=1.0, max_participation=0.1)
    curve = capacity(**world(), costs=costs, money=MONEY, periods_per_year=252.0)
    assert np.all(np.diff(curve.sharpe[:3]) < 0.0)
    assert np.all(np.diff(curve.cost_drag[:3]) > 0.0)
    assert curve.unfilled[0] == 0.0
    assert curve.unfilled[-1] > 0.5
    alone = backtest_weights(**world(), costs=costs, initial_cash=1e7)
    figures = alone.summary(periods_per_year=252.0)
    assert curve.sharpe[2] == pytest.approx(figures["sharpe"], rel=1e-9)
    assert curve.cagr[2] == pytest.approx(figures["cagr"], rel=1e-9)
    assert curve.cost_drag[2] == pytest.approx(figures["cost_drag"], rel=1e-9)
    assert any(note.startswith("1,000,000,000: ") and "unfilled" in note for note in curve.notes)


def test_the_limit_is_where_the_curve_crosses_a_sharpe_ratio() -> None:
    curve = capacity(**world(), costs=Costs(1, 1, impact=1.0), money=MONEY[:4], periods_per_year=252.0)
    assert curve.limit(sharpe=float(curve.sharpe[1])) == pytest.approx(1e6, rel=1e-9)
    middle = curve.limit(sharpe=float(curve.sharpe[1:3].mean()))
    assert middle == pytest.approx(np.sqrt(1e6 * 1e7), rel=1e-9)
    assert curve.limit(sharpe=-1e9) == np.inf
    assert curve.limit(sharpe=1e9) == 0.0


def test_a_curve_that_could_only_be_flat_or_is_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="no participation, so that every amount of money earns the same"):
        capacity(**world(), costs=Costs(1, 1), money=MONEY, periods_per_year=252.0)
    with pytest.raises(ValueError, match="one or more amounts, each more than the one before"):
        capacity(**world(), costs=Costs(1, 1, impact=1.0), money=[1e6, 1e5], periods_per_year=252.0)
