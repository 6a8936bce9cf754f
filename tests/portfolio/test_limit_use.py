"""Which limits bind."""

from __future__ import annotations

import numpy as np
import pytest

import tidewright as tw
from tidewright.portfolio.limits.use import use_limits

ASSETS = ("A", "B", "C", "D")
WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])


def test_what_nobody_wrote_is_not_told_and_what_somebody_wrote_is() -> None:
    assert use_limits(tw.Limits(), WEIGHTS, assets=ASSETS) == ()
    (one,) = use_limits(tw.Limits.parse("long only", "net = 1"), WEIGHTS, assets=ASSETS)
    assert (one.words, one.binds) == ("net = 1", True)


def test_each_limit_has_its_value_its_bound_and_the_assets_at_it() -> None:
    limits = tw.Limits.parse(
        "0.1 <= each <= 0.4",
        "leverage <= 1.2",
        "turnover <= 0.4",
        "names <= 4",
        "min position >= 0.05",
        "Tech <= 0.75",
        groups={"A": "Tech", "B": "Tech"},
    )
    found = {one.words: one for one in use_limits(limits, WEIGHTS, assets=ASSETS, previous=np.full(4, 0.25))}
    told = {words: (round(one.value, 9), one.bound, one.binds) for words, one in found.items()}
    assert told["leverage <= 1.2"] == (1.0, 1.2, False)
    assert told["turnover <= 0.4"] == (0.4, 0.4, True)
    assert told["names <= 4"] == (4.0, 4.0, True)
    assert told["min position >= 0.05"] == (0.1, 0.05, False)
    assert told["Tech <= 0.75"] == (0.7, 0.75, False)
    each = [one for one in use_limits(limits, WEIGHTS, assets=ASSETS) if "each" in one.words]
    assert [one.assets for one in each] == [("D",), ("A",)]
    assert [one.bound for one in each] == [0.1, 0.4]


def test_a_tracking_error_is_that_of_the_covariance() -> None:
    limits = tw.Limits.parse("tracking error <= 0.02 a period", benchmark=dict.fromkeys(ASSETS, 0.25))
    assert use_limits(limits, WEIGHTS, assets=ASSETS) == ()
    (one,) = use_limits(limits, WEIGHTS, assets=ASSETS, covariance=np.eye(4) * 0.01)
    assert one.value == pytest.approx(0.1 * np.sqrt(((WEIGHTS - 0.25) ** 2).sum()))
    assert one.binds
