"""The permutation test of a signal: exact, one bar later, after costs, and right in worlds of noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tidewright.errors import AllocationError
from tidewright.portfolio import Costs, permutation_test

ROWS = 160


def persistent(generator: np.random.Generator, rows: int = ROWS, width: int = 1) -> np.ndarray:
    """Positions that change side about every 15 bars."""
    steps = generator.normal(size=(rows + 29, width))
    return np.sign(np.stack([np.convolve(one, np.ones(30), "valid") for one in steps.T], axis=1))


def keep_by_hand(signal: np.ndarray, returns: np.ndarray, rate: float) -> float:
    """The Sharpe ratio a period of a signal that earns one bar later, bar by bar."""
    net, before = [], np.zeros(signal.shape[1])
    for bar in range(len(signal) - 1):
        net.append(signal[bar] @ returns[bar + 1] - rate * np.abs(signal[bar] - before).sum())
        before = signal[bar]
    return float(np.mean(net) / np.std(net, ddof=1))


def test_the_value_is_the_account_kept_by_hand() -> None:
    generator = np.random.default_rng(0)
    signal, returns = persistent(generator, width=3) / 3, generator.normal(0.0, 0.01, (ROWS, 3))
    costs = Costs(fee_bps=3.0, half_spread_bps=2.0)
    found = permutation_test(signal, returns, costs=costs)
    assert found.value == pytest.approx(keep_by_hand(signal, returns, 0.0005), rel=1e-12)
    assert found.rows == ROWS - 1


def test_all_shifts_give_the_exact_p_value() -> None:
    generator = np.random.default_rng(1)
    signal, returns = persistent(generator), generator.normal(0.001, 0.01, (ROWS, 1))
    found = permutation_test(signal, returns, costs=Costs(5.0, 0.0))
    shifted = [
        keep_by_hand(np.append(np.roll(signal[:-1], step, axis=0), [[0.0]], axis=0), returns, 0.0005)
        for step in range(ROWS - 1)
    ]
    assert found.null == pytest.approx(shifted[1:], rel=1e-9)
    assert found.p_value == np.mean(np.array(shifted) >= shifted[0] - 1e-12)
    assert found.notes == ("all 158 shifts were taken",)


def test_information_coefficients_are_scipys() -> None:
    generator = np.random.default_rng(2)
    signal, returns = generator.normal(size=(40, 6)), generator.normal(0.0, 0.01, (40, 6))
    expected = np.mean([stats.spearmanr(signal[t], returns[t + 1]).statistic for t in range(39)])
    assert permutation_test(signal, returns, statistic="ic").value == pytest.approx(expected, rel=1e-9)
    alone = permutation_test(signal[:, 0], returns[:, 0], statistic="ic").value
    assert alone == pytest.approx(stats.spearmanr(signal[:-1, 0], returns[1:, 0]).statistic, rel=1e-9)


@pytest.mark.parametrize("scheme", ["shift", "blocks"])
@pytest.mark.parametrize("statistic", ["sharpe", "ic"])
def test_noise_is_called_skill_in_one_world_of_twenty(scheme: str, statistic: str) -> None:
    alarms, worlds = 0, 200
    for world in range(worlds):
        generator = np.random.default_rng(world)
        signal, returns = persistent(generator), generator.normal(0.001, 0.01, (ROWS, 1))
        block = 40 if scheme == "blocks" else None
        found = permutation_test(signal, returns, scheme=scheme, statistic=statistic, block=block, draws=99, seed=world)
        alarms += found.p_value <= 0.05
    assert alarms / worlds <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / worlds)


@pytest.mark.parametrize("scheme", ["shift", "blocks"])
@pytest.mark.parametrize("statistic", ["sharpe", "ic"])
def test_a_signal_that_knows_is_found(scheme: str, statistic: str) -> None:
    generator = np.random.default_rng(3)
    returns = generator.normal(0.0, 0.01, (300, 5))
    knows = np.append(returns[1:], returns[:1], axis=0) + generator.normal(0.0, 0.04, (300, 5))
    assert permutation_test(knows, returns, scheme=scheme, statistic=statistic).p_value == pytest.approx(
        1 / 300, abs=0.003
    )


def test_always_long_in_a_rising_market_is_no_timing() -> None:
    returns = np.random.default_rng(4).normal(0.003, 0.01, 300)
    assert permutation_test(np.ones(300), returns).p_value == 1.0


def test_rows_before_the_signal_begins_are_left_out_and_told() -> None:
    generator = np.random.default_rng(5)
    signal, returns = persistent(generator), generator.normal(0.0, 0.01, (ROWS, 1))
    late = signal.copy()
    late[:10] = np.nan
    found = permutation_test(late, returns)
    assert found.value == permutation_test(signal[10:], returns[10:]).value
    assert "the first 10 rows have no signal" in found.notes


def test_every_option_changes_the_answer() -> None:
    generator = np.random.default_rng(6)
    signal, returns = persistent(generator, rows=400), generator.normal(0.0, 0.01, (400, 1))
    usual = permutation_test(signal, returns, draws=199, seed=0)
    assert permutation_test(signal, returns, draws=199, seed=1).null.tolist() != usual.null.tolist()
    assert permutation_test(signal, returns, draws=300).null.size == 300
    assert permutation_test(signal, returns, costs=Costs(50.0, 0.0)).value < usual.value
    blocks = permutation_test(signal, returns, scheme="blocks", block=50)
    assert blocks.null.std() != permutation_test(signal, returns, scheme="blocks").null.std()
    assert not blocks.null.flags.writeable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal": np.zeros(ROWS)}, "takes no position at all"),
        ({"signal": np.ones(10), "returns": np.zeros(10)}, "9 rows of a signal can't be tested"),
        ({"returns": np.ones(ROWS - 1)}, "Align them"),
        ({"returns": np.where(np.arange(ROWS) == 9, np.nan, 0.01)}, "the returns of row 9 lack a number"),
        ({"statistic": "mean"}, "statistic is 'mean'"),
        ({"scheme": "rows"}, "scheme is 'rows'"),
        ({"statistic": "ic", "costs": Costs(1.0, 1.0)}, "has no costs"),
        ({"block": 5}, "moves the whole signal"),
        ({"scheme": "blocks", "block": 100}, "nowhere to go"),
        ({"draws": 5}, "draws is 5"),
        ({"signal": np.ones((ROWS, 2)), "returns": np.zeros((ROWS, 2)), "statistic": "ic"}, "over 2 assets"),
    ],
)
def test_what_can_t_be_tested_is_told(change: dict, message: str) -> None:
    given = {"signal": np.ones(ROWS), "returns": np.full(ROWS, 0.01), **change}
    with pytest.raises(AllocationError, match=message):
        permutation_test(given.pop("signal"), given.pop("returns"), **given)
