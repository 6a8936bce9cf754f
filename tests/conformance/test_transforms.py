"""What every transform of the catalog keeps to; adding a transform adds its tests."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.forecast import tabulate
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.errors import RepairWarning
from tidewright.features.scaling import MinMax, Standard
from tidewright.features.transforms import (
    TRANSFORMS,
    Chain,
    Difference,
    Log,
    fit_transform_spec,
    invert_forecast,
)
from tidewright.features.view import View
from tidewright.features.windows import cut_windows, make_windows

HORIZON, LEVELS = 5, (0.1, 0.5, 0.9)
CHAIN = Chain(steps=(Log(), Difference(lag=7), Difference(), Standard()))
SPECS = [TRANSFORMS.load(name)() for name, entry in TRANSFORMS.items() if entry.kind == "target"]
SPECS += [Standard(by="panel"), MinMax(by="panel"), Difference(lag=7), Log(offset=20.0), CHAIN]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def make_table(seed=0):
    rng = np.random.default_rng(seed)
    frames = []
    for number, length in enumerate((60, 45, 52)):
        y = np.exp(rng.normal(size=length).cumsum() * 0.1 + number)
        y[9:-1][rng.random(length - 10) < 0.1] = np.nan
        days = [date(2024, 1, 1) + timedelta(days=d) for d in range(length)]
        frames.append(pl.DataFrame({"shop": [f"s{number}"] * length, "day": days, "sold": y}))
    return pl.concat(frames).with_columns(pl.col("sold").fill_nan(None))


def read(table, *, series="shop", time="day", target="sold"):
    return Panel.from_table(table, series=series, time=time, target=target)


def futures(panel, applied):
    """Windows of the original, and what a perfect model would say of them on the transformed scale [N, H,
    1].
    """
    cutoffs = Cutoffs(10, 50)
    windows = cut_windows(panel, View(2), horizon=HORIZON, cutoffs=cutoffs, labelled=False, least=1)
    return windows, windows_of(applied, windows.rows).labels()[:, :, None]


def windows_of(panel, rows):
    return make_windows(panel, View(2), horizon=HORIZON, rows=rows)


def whole(said):
    """The steps [N, H] of which nothing before is missing: differences can't be summed over a gap."""
    return np.logical_and.accumulate(~np.isnan(said[:, :, 0]), axis=1)


@every_spec
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_was_applied_is_undone(spec, seed):
    panel = read(make_table(seed))
    transform = fit_transform_spec(spec, panel.until(30))
    windows, said = futures(panel, transform.apply(panel))
    back = transform.invert(said, panel=panel, rows=windows.rows)[:, :, 0]
    known = whole(said)
    assert known.any()
    np.testing.assert_allclose(back[known], windows.labels()[known], rtol=1e-9)
    assert np.isnan(back[np.isnan(windows.labels())]).all()


@every_spec
def test_missing_values_stay_missing_and_rows_stay_rows(spec):
    panel = read(make_table())
    applied = fit_transform_spec(spec, panel.until(30)).apply(panel)
    assert applied.table.drop("sold").equals(panel.table.drop("sold"))
    assert np.isnan(applied.target[np.isnan(panel.target)]).all()
    assert applied.table.schema["sold"] == pl.Float64


@every_spec
def test_it_learns_from_the_training_rows_alone(spec):
    table = make_table()
    panel = read(table)
    later = panel.positions > 30
    other = read(panel.table.with_columns(pl.Series("sold", np.where(later, 1e4, panel.target)).fill_nan(None)))
    ours, theirs = (fit_transform_spec(spec, p.until(30)) for p in (panel, other))
    assert ours.apply(panel).target.tobytes() == theirs.apply(panel).target.tobytes()
    # Nor does a value depend on later ones.
    early = ours.apply(other).target[~later]
    assert early.tobytes() == ours.apply(panel).target[~later].tobytes()


@every_spec
def test_an_inverse_uses_nothing_after_the_cutoff(spec):
    panel = read(make_table())
    transform = fit_transform_spec(spec, panel.until(30))
    other = read(
        panel.table.with_columns(pl.Series("sold", np.where(panel.positions > 40, 1e4, panel.target)).fill_nan(None))
    )
    rows = np.flatnonzero(panel.positions == 40)
    said = np.random.default_rng(0).normal(size=(len(rows), HORIZON, 3)) * 0.01
    ours, theirs = (transform.invert(said, panel=p, rows=rows) for p in (panel, other))
    assert ours.tobytes() == theirs.tobytes()


@every_spec
def test_quantiles_keep_their_order(spec):
    panel = read(make_table())
    transform = fit_transform_spec(spec, panel.until(30))
    rows = np.flatnonzero(panel.positions == 40)
    said = np.sort(np.random.default_rng(1).normal(size=(len(rows), HORIZON, 9)), axis=2)
    assert (np.diff(transform.invert(said, panel=panel, rows=rows), axis=2) > 0).all()


@every_spec
def test_other_column_names_change_nothing(spec):
    panel = read(make_table())
    renamed = panel.table.rename({"shop": "sold", "day": "shop", "sold": "day"})
    other = read(renamed, series="sold", time="shop", target="day")
    ours, theirs = (fit_transform_spec(spec, p.until(30)).apply(p) for p in (panel, other))
    assert ours.target.tobytes() == theirs.target.tobytes()


@every_spec
def test_another_order_of_rows_changes_nothing(spec):
    panel = read(make_table())
    with pytest.warns(RepairWarning, match="sorted"):
        other = read(panel.table.sample(fraction=1.0, shuffle=True, seed=1))
    ours, theirs = (fit_transform_spec(spec, p.until(30)).apply(p) for p in (panel, other))
    assert ours.target.tobytes() == theirs.target.tobytes()


@every_spec
def test_a_series_unseen_in_training_is_transformed_and_brought_back(spec):
    panel = read(make_table())
    transform = fit_transform_spec(spec, panel.select(["s0", "s1"]).until(30))
    windows, said = futures(panel, transform.apply(panel))
    back = transform.invert(said, panel=panel, rows=windows.rows)[:, :, 0]
    known = whole(said) & (windows.series == 2)[:, None]
    assert known.any()
    np.testing.assert_allclose(back[known], windows.labels()[known], rtol=1e-9)


@every_spec
def test_a_forecast_table_comes_back_as_its_numbers_do(spec):
    panel = read(make_table())
    transform = fit_transform_spec(spec, panel.until(30))
    rows = np.flatnonzero(np.isin(panel.positions, (20, 40)))
    said = np.sort(np.random.default_rng(2).normal(size=(len(rows), HORIZON, 3)) * 0.1, axis=2)
    table = tabulate(transform.apply(panel), said, rows=rows, levels=LEVELS, model="m")
    wanted = tabulate(panel, transform.invert(said, panel=panel, rows=rows), rows=rows, levels=LEVELS, model="m")
    assert invert_forecast(transform, table, panel=panel).table.equals(wanted.table)
