"""What every floor of the catalog keeps to; adding a floor adds its tests."""

from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, split_holdout
from tidewright.data.task import Task
from tidewright.errors import RepairWarning
from tidewright.features.view import View
from tidewright.features.windows import cut_windows, newest_windows
from tidewright.models.fit_floors import fit_floor
from tidewright.models.floors import point_forecast
from tidewright.models.spec import FLOORS, MODELS

HORIZON, DAYS, CALENDAR = 4, 150, ("weekday", "monthday", "fourier:30:1")
TASK = Task(horizon=HORIZON, quantiles=(0.05, 0.25, 0.5, 0.75, 0.95))
every_floor = pytest.mark.parametrize("name", FLOORS)


def make_table(*, seed=0):
    """Three series with a weekly pattern and gaps, of different lengths, and a covariate."""
    rng = np.random.default_rng(seed)
    frames = []
    for number, length in enumerate((DAYS, DAYS - 30, DAYS - 50)):
        week = np.resize(rng.normal(size=7) * 3, length)
        y = 50 * (number + 1) + week + rng.normal(size=length).cumsum()
        y[3:-1][rng.random(length - 4) < 0.05] = np.nan
        start = date(2023, 1, 1) + timedelta(days=DAYS - length)
        days = [start + timedelta(days=d) for d in range(length)]
        frames.append(
            pl.DataFrame({"shop": [f"s{number}"] * length, "day": days, "sold": y, "seen": rng.normal(size=length)})
        )
    return pl.concat(frames).with_columns(pl.col("sold").fill_nan(None))


def read(table, *, series="shop", time="day", target="sold", past="seen"):
    return Panel.from_table(table, series=series, time=time, target=target, past=[past])


@cache
def world():
    panel = read(make_table())
    return panel, split_holdout(panel, TASK)


@cache
def fitted(name):
    panel, split = world()
    return fit_floor(MODELS.load(name)(), panel=panel, split=split, task=TASK)


def answer(floor, panel, *, last=10**9):
    """Forecasts at every cutoff of a panel up to `last`."""
    first, end = panel.span
    windows = cut_windows(
        panel, floor.view, horizon=HORIZON, cutoffs=Cutoffs(first, min(last, end)), labelled=False, least=1
    )
    return floor.predict(windows)


def refit(floor, panel, split):
    """The same floor, its choices made already, of other data."""
    return fit_floor(floor.spec, panel=panel, split=split, task=TASK)


def cuts():
    """24 random places in time, and 3 around each border between parts."""
    _, split = world()
    places = {int(c) for c in np.random.default_rng(0).integers(8, DAYS - 1, 24)}
    borders = (split.train.last, split.validation.first, split.validation.last, split.test.first, split.test.last)
    return sorted(places | {border + step for border in borders for step in (-1, 0, 1)})


@every_floor
def test_nothing_after_a_cutoff_changes_a_forecast_at_or_before_it(name):
    panel, _ = world()
    floor = fitted(name)
    for cut in cuts():
        later = panel.positions > cut
        changed = panel.table.with_columns(
            pl.Series("sold", np.where(later, 1e6 - panel.target, panel.target)).fill_nan(None),
            pl.Series("seen", np.where(later, -1e6, panel.values("seen"))),
        )
        assert answer(floor, panel, last=cut).tobytes() == answer(floor, read(changed), last=cut).tobytes()


def test_nothing_after_a_cutoff_changes_a_feature_or_a_window_at_or_before_it():
    panel, _ = world()
    view = View(20, CALENDAR)
    for cut in cuts():
        later = panel.positions > cut
        changed = read(
            panel.table.with_columns(
                pl.Series("sold", np.where(later, 1e6, panel.target)).fill_nan(None),
                pl.Series("seen", np.where(later, -1e6, panel.values("seen"))),
            )
        )
        part = Cutoffs(0, cut)
        ours, theirs = (
            cut_windows(p, view, horizon=HORIZON, cutoffs=part, labelled=False, least=1) for p in (panel, changed)
        )
        assert ours.rows.tobytes() == theirs.rows.tobytes()
        assert ours.history().tobytes() == theirs.history().tobytes()
        for field in ("target", "past", "known"):
            assert getattr(ours.batch(), field).tobytes() == getattr(theirs.batch(), field).tobytes()


@every_floor
def test_the_test_part_changes_nothing_that_is_learned(name):
    panel, split = world()
    floor = fitted(name)
    later = panel.positions > split.validation.last + HORIZON
    changed = read(panel.table.with_columns(pl.Series("sold", np.where(later, -77.0, panel.target)).fill_nan(None)))
    other = fit_floor(MODELS.load(name)(), panel=changed, split=split, task=TASK)
    assert (other.spec, other.view, other.history) == (floor.spec, floor.view, floor.history)
    assert {k: v.tobytes() for k, v in other.tensors().items()} == {k: v.tobytes() for k, v in floor.tensors().items()}


@every_floor
def test_other_column_names_change_nothing(name):
    panel, split = world()
    renamed = panel.table.rename({"shop": "y", "day": "id", "sold": "date", "seen": "target"})
    other = read(renamed, series="y", time="id", target="date", past="target")
    floor = fit_floor(MODELS.load(name)(), panel=other, split=split, task=TASK)
    assert answer(floor, other).tobytes() == answer(fitted(name), panel).tobytes()


@every_floor
def test_another_order_of_rows_changes_nothing(name):
    panel, split = world()
    with pytest.warns(RepairWarning, match="sorted"):
        other = read(panel.table.sample(fraction=1.0, shuffle=True, seed=1))
    floor = fit_floor(MODELS.load(name)(), panel=other, split=split, task=TASK)
    assert answer(floor, other).tobytes() == answer(fitted(name), panel).tobytes()


@pytest.mark.parametrize("name", [name for name in FLOORS if name != "ridge"])  # its weights are shared by all series
def test_a_series_alone_is_forecast_as_among_others(name):
    panel, split = world()
    floor = fitted(name)
    middle = TASK.median
    for series in panel.series_ids:
        alone = panel.select([series])
        ours = newest_windows(panel, floor.view, horizon=HORIZON)
        theirs = newest_windows(alone, floor.view, horizon=HORIZON)
        among = floor.predict(ours)[list(panel.series_ids).index(series), :, middle]
        assert refit(floor, alone, split).predict(theirs)[0, :, middle].tobytes() == among.tobytes()


@every_floor
def test_quantiles_ascend_and_the_median_is_the_point_forecast(name):
    panel, split = world()
    floor = fitted(name)
    windows = cut_windows(panel, floor.view, horizon=HORIZON, cutoffs=split.test, least=1)
    quantiles = floor.predict(windows)
    assert quantiles.shape == (len(windows), HORIZON, 5)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=2) >= 0).all()
    assert (np.diff(quantiles[:, :, [0, 4]], axis=2) > 0).all()
    point = point_forecast(floor, windows.history())
    assert quantiles[:, :, TASK.median].tobytes() == point.tobytes()


@every_floor
def test_a_unit_that_is_a_power_of_two_changes_no_bit(name):
    panel, split = world()
    scaled = read(panel.table.with_columns(pl.col("sold") * 1024.0))
    other = fit_floor(MODELS.load(name)(), panel=scaled, split=split, task=TASK)
    assert other.spec == fitted(name).spec
    np.testing.assert_array_equal(answer(other, scaled), answer(fitted(name), panel) * 1024.0)


@every_floor
@settings(max_examples=12, deadline=None)
@given(unit=st.floats(1e-6, 1e6))
def test_another_unit_gives_the_same_forecast_in_that_unit(name, unit):
    panel, split = world()
    floor = fitted(name)
    scaled = read(panel.table.with_columns(pl.col("sold") * unit))
    wanted = answer(floor, panel) * unit
    # A ridge learns from products in single precision.
    tolerance = 1e-5 if name == "ridge" else 1e-11
    np.testing.assert_allclose(
        answer(refit(floor, scaled, split), scaled), wanted, rtol=tolerance, atol=tolerance * unit
    )


@pytest.mark.parametrize("name", [name for name in FLOORS if name != "damped"])  # a level is a ratio
@settings(max_examples=12, deadline=None)
@given(shift=st.floats(-1e3, 1e3))
def test_another_origin_moves_the_forecast_with_it(name, shift):
    panel, split = world()
    floor = fitted(name)
    moved = read(panel.table.with_columns(pl.col("sold") + shift))
    wanted = answer(floor, panel) + shift
    tolerance = 1e-4 if name == "ridge" else 1e-8
    np.testing.assert_allclose(answer(refit(floor, moved, split), moved), wanted, rtol=0, atol=tolerance)


@every_floor
def test_the_same_data_give_the_same_bits_twice(name):
    panel, split = world()
    again = fit_floor(MODELS.load(name)(), panel=panel, split=split, task=TASK)
    assert answer(again, panel).tobytes() == answer(fitted(name), panel).tobytes()


@every_floor
def test_windows_in_any_grouping_get_the_same_forecast(name):
    panel, split = world()
    floor = fitted(name)
    windows = cut_windows(panel, floor.view, horizon=HORIZON, cutoffs=split.test, least=1)
    together = floor.predict(windows)
    apart = np.concatenate([floor.predict(windows.subset(np.array([n]))) for n in range(len(windows))])
    np.testing.assert_allclose(apart, together, rtol=1e-12)


@every_floor
def test_the_history_tells_every_candidate_and_the_one_chosen(name):
    floor = fitted(name)
    losses = [record["validation_loss"] for record in floor.history]
    chosen = [record["chosen"] for record in floor.history]
    assert chosen.index(True) == int(np.argmin(losses))
    assert sum(chosen) == 1
    assert np.isfinite(losses).all()
