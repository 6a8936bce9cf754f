"""The weights record and the tilt towards a forecast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.errors import AllocationError
from tidewright.portfolio import Weights, tilt_by_forecast

NAMES = ("A", "B", "C", "D")
BASE = Weights(assets=NAMES, values=np.array([0.1, 0.2, 0.3, 0.4]), method="by hand", notes=("mine",))
NUMBERS = st.lists(st.floats(-0.2, 0.2), min_size=4, max_size=4)
SPREADS = st.lists(st.floats(0.01, 0.5), min_size=4, max_size=4)
FAIR: dict[str, Any] = {"expected": [0.01, 0.02, 0.03, 0.05], "uncertainty": [0.1] * 4, "skill": 0.1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 0.6], r"sum to 1\.1, not to one"),
        ([0.5, float("nan")], "weight of 'B' is nan"),
        ([[0.5, 0.5]], "have the shape"),
        ([0.5, 0.25, 0.25], "3 columns came with 2 asset names"),
    ],
)
def test_values_that_are_no_weights_are_refused(values: Any, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        Weights(assets=("A", "B"), values=np.array(values), method="by hand")


def test_an_asset_that_is_named_twice_is_refused() -> None:
    with pytest.raises(AllocationError, match="'A' is named more than once"):
        Weights(assets=("A", "A"), values=np.array([0.5, 0.5]), method="by hand")


def test_weights_keep_their_own_copy_and_are_read_only() -> None:
    source = np.array([0.5, 0.5])
    weights = Weights(assets=("A", "B"), values=source, method="by hand")
    source[0] = 9.0
    assert weights.as_dict() == {"A": 0.5, "B": 0.5}
    with pytest.raises(ValueError, match="read-only"):
        weights.values[0] = 1.0


@given(NUMBERS, SPREADS)
def test_a_forecast_without_skill_leaves_every_bit_of_the_base(expected: list[float], spread: list[float]) -> None:
    tilted = tilt_by_forecast(BASE, expected=expected, uncertainty=spread, skill=0.0)
    assert tilted.values.tobytes() == BASE.values.tobytes()
    assert tilted.method == BASE.method


@given(NUMBERS, SPREADS, st.floats(0, 1), st.floats(0, 50), st.floats(1, 5))
def test_a_tilt_stays_long_only_and_within_its_multiple(
    expected: list[float], spread: list[float], skill: float, strength: float, most: float
) -> None:
    tilted = tilt_by_forecast(
        BASE, expected=expected, uncertainty=spread, skill=skill, strength=strength, max_multiple=most
    )
    multiple = tilted.values / BASE.values
    assert np.all(tilted.values >= 0)
    assert tilted.values.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.all(multiple <= most * (1 + 1e-12))
    assert np.all(multiple >= (1 - 1e-12) / most)


def test_a_tilt_is_the_written_formula() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.5])
    multiple = np.exp(0.1 * (scores - scores.mean()) / scores.std())
    weights = BASE.values * multiple
    tilted = tilt_by_forecast(BASE, **FAIR)
    np.testing.assert_allclose(tilted.values, weights / weights.sum(), rtol=1e-12)
    assert tilted.method == "by hand+forecast"
    assert tilted.notes[0] == "mine"
    assert "skill 0.1" in tilted.notes[1]


def test_every_option_of_the_tilt_moves_the_weights() -> None:
    wide = {**FAIR, "skill": 0.9}
    usual = tilt_by_forecast(BASE, **wide).values
    assert not np.allclose(tilt_by_forecast(BASE, **wide, strength=0.1).values, usual)
    assert not np.allclose(tilt_by_forecast(BASE, **wide, max_multiple=1.2).values, usual)
    assert not np.allclose(tilt_by_forecast(BASE, **{**wide, "uncertainty": [0.1, 0.1, 0.1, 9.0]}).values, usual)


def test_a_forecast_that_rates_all_alike_leaves_the_base() -> None:
    assert tilt_by_forecast(BASE, expected=[0.02] * 4, uncertainty=[0.1] * 4, skill=0.5) is BASE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"expected": [0.1, float("nan"), 0.1, 0.2]},
            "expected return of 'B' is nan: a signal without a value",
        ),
        ({"expected": [0.1]}, r"expected returns have the shape \(1,\)"),
        ({"uncertainty": [0.1, 0.1, 0.0, 0.1]}, "uncertainty of 'C' is not above zero"),
        ({"skill": -0.1}, "skill is -0.1; .* Pass 0"),
        ({"skill": float("nan")}, "skill is nan"),
        ({"strength": -1.0}, "strength is -1"),
        ({"max_multiple": 0.5}, "max_multiple is 0.5"),
    ],
)
def test_a_tilt_that_can_not_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        tilt_by_forecast(BASE, **{**FAIR, **change})


def test_weights_may_hold_cash_be_short_and_borrow() -> None:
    half = Weights(assets=("A", "B"), values=np.array([0.3, 0.2]), method="by hand", net=0.5)
    assert (half.cash, half.gross) == (0.5, 0.5)
    neutral = Weights(assets=("A", "B"), values=np.array([1.0, -1.0]), method="by hand", net=0.0)
    assert (neutral.cash, neutral.gross) == (1.0, 2.0)
    assert Weights(assets=("A", "B"), values=np.array([1.0, 0.5]), method="by hand", net=1.5).cash == -0.5


def test_weights_that_miss_their_net_are_refused() -> None:
    with pytest.raises(AllocationError, match=r"sum to 0\.5, not to one\. Divide them by their sum, or pass net=0\.5"):
        Weights(assets=("A", "B"), values=np.array([0.3, 0.2]), method="by hand")
    with pytest.raises(AllocationError, match=r"sum to 0\.5, not to the net of 0\.4"):
        Weights(assets=("A", "B"), values=np.array([0.3, 0.2]), method="by hand", net=0.4)
    with pytest.raises(AllocationError, match="net is nan"):
        Weights(assets=("A", "B"), values=np.array([0.3, 0.2]), method="by hand", net=float("nan"))


def test_a_tilt_keeps_the_cash_of_its_base() -> None:
    half = Weights(assets=NAMES, values=BASE.values / 2, method="by hand", net=0.5)
    tilted = tilt_by_forecast(half, **FAIR)
    np.testing.assert_allclose(tilted.values, tilt_by_forecast(BASE, **FAIR).values / 2, rtol=1e-12)
    assert tilted.net == 0.5
    empty = Weights(assets=NAMES, values=np.zeros(4), method="by hand", net=0.0)
    assert tilt_by_forecast(empty, **FAIR) is empty


def test_short_positions_are_not_tilted() -> None:
    short = Weights(assets=NAMES, values=np.array([0.6, 0.6, -0.4, 0.2]), method="by hand")
    with pytest.raises(AllocationError, match="base weight of 'C' is below zero"):
        tilt_by_forecast(short, **FAIR)
