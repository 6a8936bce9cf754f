"""The simulated worlds are what they say: their best error is met by the best forecast and beaten by none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidewright.data.panel import Panel
from tidewright.data.simulate import best_error, fractional_panel, noise_panel, signal_panel
from tidewright.errors import ConfigError


def blocks(panel: Panel, column: str) -> np.ndarray:
    return panel.values(column).reshape(panel.n_series, -1)


def test_white_noise_is_standard_normal_and_remembers_nothing() -> None:
    values = blocks(noise_panel(n_series=200, length=500, seed=1), "value")
    assert abs(values.mean()) < 4 / np.sqrt(values.size)
    assert abs(values.std() - 1) < 4 / np.sqrt(2 * values.size)
    assert abs(np.mean(values[:, 1:] * values[:, :-1])) < 4 / np.sqrt(values.size)


def test_a_walk_moves_by_white_noise() -> None:
    walk = blocks(noise_panel(n_series=5, length=50, seed=1, kind="walk"), "value")
    white = blocks(noise_panel(n_series=5, length=50, seed=1), "value")
    np.testing.assert_allclose(np.diff(walk, axis=1), white[:, 1:], atol=1e-12)


@pytest.mark.parametrize("step", [1, 3, 10])
def test_the_best_forecast_of_the_signal_has_the_best_error(step: int) -> None:
    panel = signal_panel(n_series=400, length=300, seed=2, driver=2.0, static=True)
    level, rows = blocks(panel, "level"), np.arange(300)
    regular = level * (1 + 0.001 * rows) + np.sqrt(2) * np.sin(2 * np.pi * rows / 7) + 2.0 * blocks(panel, "driver")
    rest = blocks(panel, "value") - regular
    error = rest[:, step:] - 0.8**step * rest[:, :-step]
    assert np.sqrt(np.mean(error**2)) == pytest.approx(best_error(step), rel=0.01)
    naive = blocks(panel, "value")
    assert np.sqrt(np.mean((naive[:, step:] - naive[:, :-step]) ** 2)) > 2 * best_error(step)


def test_the_season_and_the_driver_carry_the_variance_that_is_promised() -> None:
    values = {}
    for weight in (0.0, 2.0):
        panel = signal_panel(n_series=300, length=280, seed=3, driver=weight, persistence=0.0)
        values[weight] = np.var(blocks(panel, "value") - blocks(panel, "value").mean(axis=0), axis=0).mean()
    assert values[2.0] - values[0.0] == pytest.approx(4.0, rel=0.05)
    season = np.sqrt(2) * np.sin(2 * np.pi * np.arange(7) / 7)
    assert np.mean(season**2) == pytest.approx(1.0)


@pytest.mark.parametrize("frequency", ["1h", "1d", "b", "1w", "1mo", "1q", "step"])
def test_every_frequency_gives_a_panel_on_its_grid(frequency: str) -> None:
    panel = noise_panel(n_series=2, length=30, seed=0, frequency=frequency)
    assert panel.frequency.name in (frequency, f"1{frequency}")
    assert panel.repairs == ()
    assert len(panel.table) == 60


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    first, again, other = (signal_panel(n_series=3, length=40, seed=s, driver=1.0).table for s in (5, 5, 6))
    assert first.equals(again)
    assert not first.equals(other)


def test_the_columns_are_there_when_they_are_asked_for() -> None:
    bare = signal_panel(n_series=12, length=30, seed=0)
    assert (bare.roles.known, bare.roles.static) == ((), ())
    full = signal_panel(n_series=12, length=30, seed=0, driver=1.0, static=True)
    assert (full.roles.known, full.roles.static) == (("driver",), ("level",))
    assert full.series_ids[0] == "s00"


@pytest.mark.parametrize(
    "options", [{"n_series": 0}, {"length": 1}, {"noise": 0.0}, {"persistence": 1.0}, {"period": 1}]
)
def test_a_world_that_can_t_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="got"):
        signal_panel(**{"n_series": 2, "length": 9, "seed": 0, **options})


def test_unknown_kinds_of_noise_and_steps_that_are_not_ahead_are_refused() -> None:
    with pytest.raises(ConfigError, match="'white' or 'walk'; got 'pink'"):
        noise_panel(n_series=1, length=9, seed=0, kind="pink")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="1 step ahead or more; got 0"):
        best_error(0)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.9])
def test_fractional_noise_has_exactly_its_covariances(hurst: float) -> None:
    values = blocks(fractional_panel(hursts=[hurst] * 8_000, length=5, seed=0), "value")
    apart = np.abs(np.subtract.outer(np.arange(5), np.arange(5))).astype(float)
    exact = 0.5 * ((apart + 1) ** (2 * hurst) - 2 * apart ** (2 * hurst) + np.abs(apart - 1) ** (2 * hurst))
    np.testing.assert_allclose(values.T @ values / 8_000, exact, atol=0.06)


def test_fractional_noise_carries_its_exponent_and_refuses_one_that_can_t_be() -> None:
    panel = fractional_panel(hursts=[0.2, 0.8], length=10, seed=0)
    assert panel.roles.static == ("hurst",)
    assert blocks(panel, "hurst")[:, 0].tolist() == [0.2, 0.8]
    with pytest.raises(ConfigError, match=r"a Hurst exponent lies between 0 and 1; got 1\.0"):
        fractional_panel(hursts=[0.2, 1.0], length=10, seed=0)
