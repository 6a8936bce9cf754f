"""Models of intermittent demand in closed form, against statsforecast and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tidewright.models.intermittent import choose_smoothing, forecast_intermittent, squared_error
from tidewright.models.specs.statistical import ADIDA, IMAPA, TSB, Croston, IntermittentSpec

SPECS = [
    (Croston(form="classic"), "CrostonClassic", {}),
    (Croston(form="optimised"), "CrostonOptimized", {}),
    (Croston(), "CrostonSBA", {}),
    (TSB(alpha_demand=0.2, alpha_probability=0.3), "TSB", {"alpha_d": 0.2, "alpha_p": 0.3}),
    (ADIDA(), "ADIDA", {}),
    (IMAPA(), "IMAPA", {}),
]
every_spec = pytest.mark.parametrize(("spec", "theirs", "options"), SPECS, ids=[name for _, name, _ in SPECS])


def draw_demand(count: int = 60, *, seed: int = 0) -> list[np.ndarray]:
    """Series of 1 to 120 steps, from hardly any demand to nearly no zero."""
    draw = np.random.default_rng(seed)
    return [draw.poisson(draw.uniform(0.05, 3.0), size=draw.integers(1, 121)).astype(float) for _ in range(count)]


@every_spec
def test_it_agrees_with_statsforecast(spec: IntermittentSpec, theirs: str, options: dict[str, float]) -> None:
    from statsforecast import models

    oracle = getattr(models, theirs)(**options)
    for series in draw_demand():
        wanted = oracle.forecast(y=series, h=1)["mean"][0]
        assert forecast_intermittent(series[None], spec)[0] == pytest.approx(wanted, rel=1e-8, abs=1e-12)


@every_spec
def test_missing_steps_are_left_out(spec: IntermittentSpec, theirs: str, options: dict[str, float]) -> None:
    series = draw_demand(1, seed=3)[0]
    holes = np.insert(series, [0, 0, 5, 9, len(series)], np.nan)
    assert forecast_intermittent(holes[None], spec)[0] == forecast_intermittent(series[None], spec)[0]


@every_spec
def test_no_value_gives_none_and_no_demand_gives_zero(
    spec: IntermittentSpec, theirs: str, options: dict[str, float]
) -> None:
    assert np.isnan(forecast_intermittent(np.full((1, 4), np.nan), spec)).all()
    assert forecast_intermittent(np.zeros((1, 4)), spec)[0] == 0.0


def test_crostons_method_by_hand() -> None:
    # demands 3, 5 after 2 and 3 steps: 3 + 0.1 * 2 over 2 + 0.1 * 1
    found = forecast_intermittent(np.array([[0.0, 3.0, 0.0, 0.0, 5.0]]), Croston(form="classic"))[0]
    assert found == pytest.approx(3.2 / 2.1, rel=1e-15)


def test_the_chosen_smoothing_has_the_least_error_of_a_fine_grid() -> None:
    for series in draw_demand(20, seed=5):
        values = series + 1.0
        errors = [squared_error(values, alpha) for alpha in np.linspace(0.1, 0.3, 401)]
        assert squared_error(values, choose_smoothing(values)) <= min(errors) + 1e-5 * (1.0 + min(errors))
