"""The reality check and the test of superior predictive ability, against arch and in worlds of noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arch.bootstrap import SPA, StationaryBootstrap

from tidewright.errors import AllocationError
from tidewright.metrics.bootstrap import choose_stationary_block
from tidewright.portfolio import pbo, reality_check, spa
from tidewright.portfolio.inference.resample import resample_means
from tidewright.portfolio.inference.superior import _long_run_deviation

WORLDS = 160


def draw_strategies(seed: int, *, rows: int = 250, count: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (rows, count))


def test_many_draws_come_in_pieces_of_the_same_law() -> None:
    values = draw_strategies(0, rows=5000, count=2)
    values[1:] += values[:-1]
    drawn = resample_means(values, block=20, draws=900, generator=np.random.default_rng(0))
    assert drawn.shape == (900, 2)
    assert drawn.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=4 * drawn.std() / 30)
    deviation = _long_run_deviation(values - values.mean(axis=0), block=20) / np.sqrt(5000)
    for piece in (drawn[:300], drawn[600:]):
        assert piece.std(axis=0) == pytest.approx(deviation, rel=0.15)


def test_the_usual_block_is_the_longest_of_politis_and_whites() -> None:
    values = draw_strategies(1, count=3)
    for row in range(1, 250):
        values[row, 1] += 0.7 * values[row - 1, 1]
    assert spa(values).block == reality_check(values).block == choose_stationary_block(values[:, 1]) > 5


def test_blocks_of_one_are_the_plain_bootstrap() -> None:
    values = draw_strategies(1, rows=400, count=1)
    drawn = resample_means(values, block=1, draws=4000, generator=np.random.default_rng(0))
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.04)


def test_the_long_run_deviation_is_that_of_archs_bootstrap_and_of_ours() -> None:
    values = draw_strategies(2, rows=300, count=4)
    for row in range(1, 300):
        values[row] += 0.5 * values[row - 1]
    ours = _long_run_deviation(values - values.mean(axis=0), block=8)
    theirs = SPA(np.zeros(300), -values, block_size=8)
    theirs._compute_variance()
    assert ours == pytest.approx(np.sqrt(theirs._loss_diff_var), rel=1e-9)
    drawn = resample_means(values, block=8, draws=4000, generator=np.random.default_rng(0))
    assert drawn.std(axis=0) * np.sqrt(300) == pytest.approx(ours, rel=0.05)
    means = StationaryBootstrap(8, values, seed=1).apply(lambda x: x.mean(axis=0), reps=1000)
    assert drawn.std(axis=0) == pytest.approx(means.std(axis=0), rel=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_p_values_are_archs_where_all_deviations_are_one(seed: int) -> None:
    """arch does not studentise its statistic: with equal deviations that makes no difference."""
    values = draw_strategies(seed)
    values[:, 0] += 0.001 * seed
    values[:, 10:] -= 0.004  # for the consistent one these are worse
    values *= 0.01 / values.std(axis=0)
    benchmark = np.random.default_rng(99).normal(0.0, 0.0001, 250)
    excess = (values - benchmark[:, None]) / (values - benchmark[:, None]).std(axis=0)
    theirs = SPA(np.zeros(250), -excess, block_size=6, reps=3000, seed=7)
    theirs.compute()
    found = spa(excess, block=6, draws=4000)
    assert found.lower == pytest.approx(theirs.pvalues["lower"], abs=0.03)
    assert found.p_value == pytest.approx(theirs.pvalues["consistent"], abs=0.03)
    assert found.upper == pytest.approx(theirs.pvalues["upper"], abs=0.03)
    assert found.lower <= found.p_value <= found.upper
    assert reality_check(excess, block=6, draws=4000).p_value == pytest.approx(theirs.pvalues["upper"], abs=0.03)


def test_noise_is_called_skill_in_one_world_of_twenty_and_a_planted_edge_in_most() -> None:
    """20 strategies over 250 bars; the edge is a Sharpe ratio of 3.8 a year."""
    alarms = {"reality check": 0, "spa": 0, "planted": 0}
    for world in range(WORLDS):
        noise = draw_strategies(world)
        alarms["reality check"] += reality_check(noise, draws=139, seed=world).p_value <= 0.05
        alarms["spa"] += spa(noise, draws=139, seed=world).p_value <= 0.05
        noise[:, 3] += 0.0024
        found = spa(noise, draws=139, seed=world)
        alarms["planted"] += found.p_value <= 0.05 and found.best == 3
    allowed = 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / WORLDS)  # 1 % of the time by chance
    assert alarms["reality check"] / WORLDS <= allowed
    assert alarms["spa"] / WORLDS <= allowed
    assert alarms["planted"] / WORLDS > 0.75


def test_hopeless_strategies_hide_an_edge_from_the_reality_check_and_not_from_spa() -> None:
    values = draw_strategies(5, count=1)
    values = values - values.mean() + 0.0017
    hopeless = 10 * draw_strategies(6, count=30) - 0.06
    both = np.concatenate([values, hopeless], axis=1)
    assert spa(both).p_value < 0.03
    assert reality_check(both).p_value > 0.5
    assert spa(both).doubtful == 30


def test_the_benchmark_is_taken_off_and_no_strategy_above_it_is_no_evidence() -> None:
    noise, benchmark = draw_strategies(7), np.random.default_rng(8).normal(0.0, 0.01, 250)
    assert spa(noise, benchmark=benchmark, seed=3) == spa(noise - benchmark[:, None], seed=3)
    below = spa(noise - 0.01)
    assert (below.statistic, below.p_value, below.upper) == (0.0, 1.0, 1.0)
    assert below.excess < 0


def test_a_strategy_that_is_the_benchmark_counts_and_is_told() -> None:
    noise = draw_strategies(9)
    noise[:, 4] = 0.0
    found = spa(noise)
    assert found.strategies == 20
    assert "1 of 20 strategies never differ" in found.notes[-1]


def test_every_option_changes_the_answer() -> None:
    noise = draw_strategies(10)
    for test in (reality_check, spa):
        usual = test(noise)
        assert test(noise, block=20).p_value != usual.p_value
        assert test(noise, draws=500).p_value != usual.p_value
        assert test(noise, seed=1).p_value != usual.p_value
        assert test(noise) == usual


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"returns": np.zeros((5, 2))}, "returns of 5 periods and 2 strategies prove nothing"),
        ({"returns": np.full((50, 2), 0.01)}, "strategy 0 differs from the benchmark by 0.01 in every period"),
        ({"benchmark": np.zeros(49)}, "the benchmark has the shape"),
        ({"block": 0.5}, "block is 0.5"),
        ({"draws": 10}, "draws is 10"),
        ({"returns": np.where(np.arange(100).reshape(50, 2) == 7, np.nan, 0.01)}, "hold nan in row 3, column 1"),
    ],
)
def test_what_can_t_be_tested_is_told(change: dict, message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        spa(**{"returns": draw_strategies(1, rows=50, count=2), **change})


@pytest.mark.parametrize("ask", [reality_check, spa, pbo])
def test_prices_are_no_returns(ask: Any) -> None:
    """The best of rising prices would be skill beyond any doubt."""
    prices = 100.0 * np.cumprod(1.0 + np.random.default_rng(0).normal(0.0, 0.01, (300, 4)), axis=0)
    with pytest.raises(AllocationError, match=r"returns of 'column 0' is above 20%.*look like prices"):
        ask(prices)
