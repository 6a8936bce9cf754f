"""The cost model: its laws and what impossible values get."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.errors import AllocationError
from tidewright.portfolio import Costs

VALUES = {"volatility": [0.02, 0.01], "volume": [4e6, 1e6]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"impact": -1.0}, "impact is -1; the coefficient of the square root law is from 0 to 10"),
        ({"impact": float("nan")}, "impact is nan"),
        ({"max_participation": 0.0}, "max_participation is 0; it is a share of a bar's volume above 0 and at most 1"),
        ({"max_participation": 10.0}, "max_participation is 10"),
        ({"borrow_bps": -5.0}, r"borrow_bps is -5, that is -0.05 % a year"),
        ({"borrow_bps": 1e6}, r"borrow_bps is 1e\+06, that is 10000 % a year"),
    ],
)
def test_impossible_terms_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        Costs(fee_bps=0, half_spread_bps=0, **changed)


def test_impact_follows_the_square_root_law() -> None:
    costs = Costs(fee_bps=0, half_spread_bps=0, impact=0.5)
    # a quarter of the volume of the first: 0.5 * 2 % * sqrt(1/4) of 1e6; nothing of the second
    assert costs.charge([1.0, 0.0], equity=1e6, **VALUES) == pytest.approx(5_000.0, rel=1e-12)
    assert costs.charge([-1.0, 0.0], equity=1e6, **VALUES) == pytest.approx(5_000.0, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1.0), st.floats(1.01, 10.0))
def test_impact_grows_by_the_power_of_three_halves_of_the_size(trade: float, times: float) -> None:
    costs = Costs(fee_bps=0, half_spread_bps=0, impact=1.0)
    one = costs.charge([trade, 0.0], equity=1e6, **VALUES)
    assert costs.charge([trade * times, 0.0], equity=1e6, **VALUES) == pytest.approx(one * times**1.5, rel=1e-9)
    assert costs.charge([trade, 0.0], equity=1e6 * times, **VALUES) == pytest.approx(one * times**1.5, rel=1e-9)


def test_impact_without_volumes_is_refused_and_never_left_out() -> None:
    costs = Costs(fee_bps=5, half_spread_bps=0, impact=1.0)
    with pytest.raises(AllocationError, match="impact of 1, which needs the volatility and the volume"):
        costs.charge([0.5, 0.5])
    with pytest.raises(AllocationError, match="a volume above 0 of every asset"):
        costs.charge([0.5, 0.5], volatility=[0.01, 0.01], volume=[1e6, 0.0])


def test_what_a_cost_needs_and_costs_a_year() -> None:
    assert not Costs(5, 5).needs_volume
    assert Costs(5, 5, impact=1.0).needs_volume
    assert Costs(5, 5, max_participation=0.1).needs_volume
    assert Costs(5, 5, borrow_bps=50).borrow_rate == 0.005
