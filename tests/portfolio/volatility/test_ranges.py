"""Measured volatility: formulas by hand, laws, and prices that can't be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import tidewright as tw
from tests.portfolio.volatility.worlds import Floats, garch_returns
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.volatility.ranges import RANGES


def draw_bars(
    rows: int, *, assets: int = 2, sigma: float = 0.02, gap: float = 0.01, drift: float = 0.0
) -> list[Floats]:
    """Open, high, low, close of a walk of 400 steps a bar with a gap between bars: a close-to-close variance of
    sigma^2 + gap^2."""
    draw = np.random.default_rng(1)
    steps = draw.normal(drift / 400, sigma / 20, (rows, assets, 400))
    inside = np.cumsum(np.concatenate([np.zeros((rows, assets, 1)), steps], axis=2), axis=2)
    gaps = draw.normal(0.0, gap, (rows, assets))
    opens = np.cumsum(gaps + np.concatenate([np.zeros((1, assets)), inside[:-1, :, -1]]), axis=0)
    parts = (opens, opens + inside.max(axis=2), opens + inside.min(axis=2), opens + inside[:, :, -1])
    return [50.0 * np.exp(part) for part in parts]


def test_realised_volatility_is_that_of_pandas():
    returns = garch_returns(60, assets=2)
    frame = pd.DataFrame(returns)
    found = tw.realised_volatility(returns, window=10, mean="sample", periods_per_year=252)
    np.testing.assert_allclose(found, frame.rolling(10).std() * 252**0.5, rtol=1e-10)
    np.testing.assert_allclose(
        tw.realised_volatility(returns, window=10) ** 2, (frame**2).rolling(10).mean(), rtol=1e-8
    )
    assert np.isnan(tw.realised_volatility(returns, window=61)).all()


@pytest.mark.parametrize("method", [None, *RANGES])
def test_no_bar_sees_a_later_one_and_a_missing_one_is_missing_as_long_as_the_window_holds_it(method: Any):
    bars = draw_bars(40) if method else [garch_returns(40, assets=2)]

    def measure(given: list[Floats]) -> Floats:
        return (
            tw.range_volatility(*given, method=method, window=5) if method else tw.realised_volatility(*given, window=5)
        )

    usual = measure(bars)
    later = [np.concatenate([part[:20], part[20:] * 1.5]) for part in bars]
    np.testing.assert_array_equal(measure(later)[:20], usual[:20])
    spoilt = [part.copy() for part in bars]
    spoilt[0][20, 1] = np.nan
    missing = np.flatnonzero(np.isnan(measure(spoilt)[:, 1]))
    first = 5 if method == "yang_zhang" else 4
    assert missing.tolist() == [*range(first), *range(20, 25)]
    np.testing.assert_array_equal(measure(spoilt)[:, 0], usual[:, 0])
    np.testing.assert_array_equal(measure(spoilt)[25:], usual[25:])


@pytest.mark.parametrize(
    ("method", "gap"), [("parkinson", 0), ("garman_klass", 0), ("rogers_satchell", 0), ("yang_zhang", 1)]
)
def test_ranges_find_the_volatility_of_a_walk(method: Any, gap: int):
    bars = draw_bars(4000, assets=1)
    found = tw.range_volatility(*bars, method=method, window=4000 - gap)[-1, 0]
    # a walk of 400 steps misses a little of its extremes
    assert found == pytest.approx((0.02**2 + gap * 0.01**2) ** 0.5, rel=0.06)


def test_rogers_satchell_and_yang_zhang_allow_for_a_drift():
    bars = draw_bars(4000, assets=1, gap=1e-9, drift=0.03)
    figures = {method: tw.range_volatility(*bars, method=method, window=3999)[-1, 0] for method in RANGES}
    assert figures["parkinson"] > 0.025
    assert figures["rogers_satchell"] == pytest.approx(0.02, rel=0.08)
    assert figures["yang_zhang"] == pytest.approx(0.02, rel=0.06)


def test_a_bar_by_hand():
    opens, highs, lows, closes = (np.array([[value]]) for value in (100.0, 110.0, 95.0, 105.0))
    u, d, c = np.log(1.10), np.log(0.95), np.log(1.05)
    wanted = {
        "parkinson": (u - d) ** 2 / (4 * np.log(2)),
        "garman_klass": 0.5 * (u - d) ** 2 - (2 * np.log(2) - 1) * c**2,
        "rogers_satchell": u * (u - c) + d * (d - c),
    }
    for method, variance in wanted.items():
        found = tw.range_volatility(opens, highs, lows, closes, method=method, window=1, periods_per_year=4)  # type: ignore[arg-type]  # a plain str
        assert found[0, 0] == pytest.approx((4 * variance) ** 0.5)


def test_yang_zhang_by_hand():
    bars = draw_bars(4, assets=1)
    o, h, low, c = (np.log(part[:, 0]) for part in bars)
    share = 0.34 / (1.34 + 4 / 2)
    days = np.mean(((h - c) * (h - o) + (low - c) * (low - o))[1:])
    wanted = np.var(o[1:] - c[:-1], ddof=1) + share * np.var((c - o)[1:], ddof=1) + (1 - share) * days
    assert tw.range_volatility(*bars, method="yang_zhang", window=3)[3, 0] == pytest.approx(wanted**0.5)


@pytest.mark.parametrize(
    ("part", "factor", "words"),
    [
        (0, 1.9, r"the open of 'XOM' at 2020-01-04 is \S+, above its high of"),
        (3, 1.9, r"the close of 'XOM' at 2020-01-04 is \S+, above its high of"),
        (2, 1.9, r"the low of 'XOM' at 2020-01-04 is \S+, above its high of"),
        (
            3,
            0.5,
            r"the low of 'XOM' at 2020-01-04 is \S+, above its close of \S+ \(1 such of 12\). Look whether columns",
        ),
        (0, 0.5, r"above its open of"),
        (1, -1.0, r"the high of 'XOM' at 2020-01-04 is -\S+ \(1 such of 12\). A price is above zero and finite"),
        (2, np.inf, r"the low of 'XOM' at 2020-01-04 is inf"),
    ],
)
def test_prices_that_cant_be_are_told_with_asset_and_date(part: int, factor: float, words: str):
    bars = draw_bars(6)
    bars[part][3, 1] *= factor
    times = np.datetime64("2020-01-01") + np.arange(6)
    with pytest.raises(AllocationError, match=words):
        tw.range_volatility(*bars, method="parkinson", window=2, assets=["AAPL", "XOM"], times=times)


def test_what_is_asked_wrongly_is_told():
    bars = draw_bars(6)
    with pytest.raises(ConfigError, match="Did you mean 'parkinson'"):
        tw.range_volatility(*bars, method="parkinsons", window=2)  # type: ignore[arg-type]  # what the test is about
    with pytest.raises(ConfigError, match="window is a whole number, 2 or more; got 1"):
        tw.range_volatility(*bars, method="yang_zhang", window=1)
    with pytest.raises(ConfigError, match="periods_per_year is a number above 0"):
        tw.realised_volatility(bars[0] / 1e3, window=2, periods_per_year=0)
    with pytest.raises(ConfigError, match="no mean is called 'median'"):
        tw.realised_volatility(bars[0] / 1e3, window=2, mean="median")  # type: ignore[arg-type]  # likewise
    with pytest.raises(AllocationError, match=r"the prices differ in shape: opens \(6, 2\), highs \(5, 2\)"):
        tw.range_volatility(bars[0], bars[1][:5], bars[2], bars[3], method="parkinson", window=2)
    with pytest.raises(AllocationError, match="the return of 'column 0' at row 1 is inf"):
        tw.realised_volatility([[0.0], [np.inf]], window=1)
