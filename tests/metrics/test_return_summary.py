"""`summarise`: intervals by the stationary bootstrap, and where a year's periods come from."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from arch.bootstrap import optimal_block_length

import tidewright as tw
from tidewright.errors import ConfigError, DataError
from tidewright.metrics.bootstrap import choose_stationary_block, draw_stationary

RETURNS = np.random.default_rng(3).normal(0.001, 0.02, 300)


def test_relative_figures_come_only_with_a_benchmark() -> None:
    alone = tw.summarise(RETURNS, periods_per_year=52)
    beside = tw.summarise(RETURNS, periods_per_year=52, benchmark=RETURNS[::-1])
    assert set(beside.values) - set(alone.values) == {
        name for name, one in tw.RETURN_METRICS.items() if one.of == "benchmark"
    }
    assert "beta" not in alone.values
    assert alone.intervals == {}
    assert "sharpe" in str(alone)


def test_the_interval_of_a_mean_is_that_of_theory_where_returns_are_independent() -> None:
    found = tw.summarise(RETURNS, periods_per_year=1, intervals=0.9, block=1, draws=4000)
    interval, error = found.intervals["mean_return"], RETURNS.std() / math.sqrt(300)
    assert interval.low == pytest.approx(RETURNS.mean() - 1.645 * error, abs=0.08 * error)
    assert interval.high == pytest.approx(RETURNS.mean() + 1.645 * error, abs=0.08 * error)
    assert (interval.level, interval.draws) == (0.9, 4000)


def test_dependent_returns_have_longer_blocks_and_wider_intervals() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.01, 1500)
    moving = np.convolve(noise, np.ones(12), mode="valid")
    found = tw.summarise(moving, periods_per_year=252, intervals=0.9, draws=300)
    short = tw.summarise(moving, periods_per_year=252, intervals=0.9, draws=300, block=1)
    assert found.block > 12
    assert "Politis" in found.notes[1]
    wide, narrow = (one.intervals["mean_return"] for one in (found, short))
    assert wide.high - wide.low > 2.0 * (narrow.high - narrow.low)


@pytest.mark.parametrize("memory", [0.3, 0.9, -0.5])
def test_the_block_is_that_of_arch(memory: float) -> None:
    noise = np.random.default_rng(5).normal(size=1200)
    for t in range(1, noise.size):
        noise[t] += memory * noise[t - 1]
    assert choose_stationary_block(noise) == pytest.approx(optimal_block_length(noise).iloc[0, 0], rel=1e-6)


def test_a_block_is_one_for_what_does_not_vary_or_is_short() -> None:
    assert choose_stationary_block([0.01] * 50) == 1.0
    assert choose_stationary_block([0.1, 0.2, 0.3]) == 1.0


def test_resamples_are_runs_of_neighbours_of_the_mean_length() -> None:
    drawn = draw_stationary(200, block=10, draws=500, generator=np.random.default_rng(0))
    breaks = np.mean(np.diff(drawn, axis=1) % 200 != 1)
    assert breaks == pytest.approx(1 / 10, abs=0.005)
    assert np.bincount(drawn.ravel(), minlength=200).std() < 0.2 * 500
    with pytest.raises(ConfigError, match="mean length of at least 1"):
        draw_stationary(5, block=0.5, draws=1, generator=np.random.default_rng(0))


def test_returns_and_benchmark_are_resampled_together() -> None:
    found = tw.summarise(2.0 * RETURNS, periods_per_year=52, benchmark=RETURNS, intervals=0.9, draws=50)
    assert found.intervals["beta"].low == pytest.approx(2.0)
    assert found.intervals["beta"].high == pytest.approx(2.0)


def test_a_seed_gives_the_same_bits_and_another_one_others() -> None:
    one, same, other = (
        tw.summarise(RETURNS, periods_per_year=52, intervals=0.8, draws=50, seed=seed).intervals["sharpe"]
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_a_panel_says_how_many_periods_a_year_has() -> None:
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 10, 26), eager=True)
    table = pl.DataFrame({"id": ["a"] * 300, "day": days, "r": RETURNS})
    panel = tw.Panel.from_table(table, series="id", time="day", target="r", frequency="1d")
    assert tw.summarise(panel)["sharpe"] == tw.summarise(RETURNS, periods_per_year=365.2425)["sharpe"]
    two = tw.Panel.from_table(
        pl.concat([table, table.with_columns(id=pl.lit("b"))]), series="id", time="day", target="r", frequency="1d"
    )
    with pytest.raises(DataError, match="2 series"):
        tw.summarise(two)


def test_periods_a_year_are_never_guessed() -> None:
    with pytest.raises(DataError, match="how many periods a year has is not known"):
        tw.summarise(RETURNS)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="confidence between 0 and 1"):
        tw.summarise(RETURNS, periods_per_year=52, intervals=True)
    with pytest.raises(ConfigError, match="confidence between 0 and 1"):
        tw.summarise(RETURNS, periods_per_year=52, intervals=95)
    with pytest.raises(ConfigError, match="at least 2"):
        tw.summarise(RETURNS, periods_per_year=52, intervals=0.9, draws=1)
    with pytest.raises(DataError, match="riskless return of one period"):
        tw.summarise(RETURNS, periods_per_year=52, risk_free=math.nan)
