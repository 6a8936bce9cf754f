"""Conformal intervals: what they promise, on exchangeable data and on a panel; around any model; into a bundle."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split, split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, DataError, ShortSeriesError
from tidewright.features.separate import to_windows
from tidewright.features.windows import cut_windows
from tidewright.models.conformal import Conformal, put_in_order
from tidewright.models.fitted import Fitted
from tidewright.models.floors import Floor
from tidewright.models.spec import FeedForward, LightGBM, Median, ModelSpec, Naive
from tidewright.registry.bundle import save_bundle
from tidewright.registry.rebuild import rebuild
from tidewright.training.conformal import conformalise, find_offsets, hold_out
from tidewright.training.fit import fit
from tidewright.training.spec import TrainSpec

TASK = Task(3, (0.05, 0.25, 0.5, 0.75, 0.95))
LEVELS = np.array(TASK.quantiles)


@cache
def make_panel() -> Panel:
    """Two series of noise, the second of a hundred times the size."""
    draw, parts = np.random.default_rng(0), []
    for name, size in (("a", 1.0), ("b", 100.0)):
        values = 50.0 + draw.normal(size=4000)
        parts.append(pl.DataFrame({"id": name, "t": np.arange(4000), "y": size * values}))
    return Panel.from_table(pl.concat(parts), series="id", time="t", target="y")


@cache
def make_split() -> Split:
    return split_holdout(make_panel(), TASK, validation=1200, test=1200, stride=1)


@cache
def learned(name: str) -> Fitted:
    """A floor that is too sure of itself: its intervals have two fifths of their width."""
    specs: dict[str, ModelSpec] = {"naive": Naive(), "median": Median()}
    floor = fit(specs[name], panel=make_panel(), split=make_split(), task=TASK)
    assert isinstance(floor, Floor)
    return replace(floor, spread=0.4 * floor.spread)


def cover(fitted: Fitted) -> np.ndarray:
    """The share of test labels at or below each quantile, a step at a time [H, Q]."""
    test = make_split().test
    assert test is not None
    windows = cut_windows(make_panel(), fitted.view, horizon=3, cutoffs=test)
    return np.asarray((windows.labels()[:, :, None] <= fitted.predict(windows)).mean(axis=0))


@pytest.mark.parametrize("method", ["split", "cqr"])
@pytest.mark.parametrize("name", ["naive", "median"])
def test_the_coverage_on_the_test_is_what_the_levels_say_at_every_step(name: str, method: Any) -> None:
    fitted = conformalise(learned(name), panel=make_panel(), split=make_split(), method=method)
    # four standard errors of the difference of two shares of 2,400 labels, of calibration and of the test
    room = 4 * np.sqrt(LEVELS * (1 - LEVELS) * 2 / 2400)
    off = np.abs(cover(fitted) - LEVELS)
    off[:, TASK.median] = 0.0  # the median is left as it is
    assert (off < room).all()


def test_the_coverage_of_a_model_that_was_not_calibrated_is_worse() -> None:
    raw = cover(learned("median"))
    assert (raw[:, -1] - raw[:, 0] < 0.8).all()  # of the 0.9 that it promises


@pytest.mark.parametrize("count", [19, 57, 200])
def test_the_promise_holds_exactly_for_exchangeable_labels(count: int) -> None:
    draw = np.random.default_rng(1)
    hits = np.zeros(2)
    for _ in range(3000):
        errors = draw.standard_cauchy(count + 1)
        offsets = find_offsets(errors[:-1, None, None], levels=(0.05, 0.5, 0.95))[0]
        hits += [errors[-1] <= offsets[0], errors[-1] <= offsets[2]]
    upper, lower = -(-95 * (count + 1) // 100), 5 * (count + 1) // 100
    expected = np.array([lower, upper]) / (count + 1)
    assert expected[0] <= 0.05
    assert expected[1] >= 0.95
    np.testing.assert_allclose(hits / 3000, expected, atol=4 * np.sqrt(0.05 * 0.95 / 3000))


def test_offsets_in_units_of_the_width_fit_series_of_any_size_and_absolute_ones_do_not() -> None:
    def by_series(unit: Any) -> np.ndarray:
        fitted = conformalise(learned("median"), panel=make_panel(), split=make_split(), unit=unit)
        test = make_split().test
        assert test is not None
        windows = cut_windows(make_panel(), fitted.view, horizon=3, cutoffs=test)
        answer, labels = fitted.predict(windows), windows.labels()
        inside = ((labels >= answer[:, :, 0]) & (labels <= answer[:, :, -1])).mean(axis=1)
        return np.array([inside[windows.series == k].mean() for k in range(2)])

    np.testing.assert_allclose(by_series("width"), 0.9, atol=0.05)
    assert np.abs(by_series("absolute") - 0.9).max() > 0.09


def test_the_median_stays_and_a_second_calibration_replaces_the_first() -> None:
    test = make_split().test
    assert test is not None
    windows = cut_windows(make_panel(), learned("naive").view, horizon=3, cutoffs=test)
    once = conformalise(learned("naive"), panel=make_panel(), split=make_split())
    twice = conformalise(once, panel=make_panel(), split=make_split())
    assert np.array_equal(once.predict(windows)[:, :, 2], learned("naive").predict(windows)[:, :, 2])
    assert np.array_equal(once.predict(windows), twice.predict(windows))
    assert not isinstance(twice.inner, Conformal)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, (2, 2, 5), elements=st.floats(-10, 10)))
def test_quantiles_ascend_about_a_median_that_stays_and_only_widen(values: np.ndarray) -> None:
    found = put_in_order(values, median=2)
    assert (np.diff(found, axis=2) >= 0).all()
    assert np.array_equal(found[:, :, 2], values[:, :, 2])
    assert (found[:, :, 3:] >= values[:, :, 3:]).all()
    assert (found[:, :, :2] <= values[:, :, :2]).all()


SPECS: dict[str, ModelSpec] = {"floor": Naive(), "trees": LightGBM(rounds=5), "torch": FeedForward(hidden=(8,))}


@pytest.mark.parametrize("kind", sorted(SPECS))
@pytest.mark.parametrize(("method", "unit"), [("cqr", "width"), ("split", "absolute")])
def test_a_conformal_model_of_any_kind_goes_into_a_bundle_and_comes_back(
    kind: str, method: Any, unit: Any, tmp_path: Path
) -> None:
    panel = small_panel()
    split = split_holdout(panel, TASK)
    train = TrainSpec(epochs=1, steps=3)
    inner = fit(SPECS[kind], panel=panel, split=split, task=TASK, train=train)
    fitted = conformalise(inner, panel=panel, split=split, method=method, unit=unit)
    bundle = save_bundle(fitted, panel=panel, folder=tmp_path / kind)
    assert bundle.parity <= bundle.tolerance == 1e-5
    again = rebuild(bundle.manifest, bundle.tensors())
    assert isinstance(again, Conformal)
    assert (again.method, again.unit, again.spec) == (method, unit, fitted.spec)
    batch, answer = bundle.example()
    windows = to_windows(batch, horizon=3)
    assert again.predict(windows).tobytes() == answer.tobytes()
    assert not np.allclose(inner.predict(windows), answer)
    name = f"conformal.{method}.{unit}"
    with pytest.raises(BundleError, match=r"conformal offsets .* one finite float64 array of the shape \(3, 5\)"):
        rebuild(bundle.manifest, bundle.tensors() | {name: np.full((3, 5), np.nan)})
    with pytest.raises(BundleError, match=r"conformal offsets conformal\..*, conformal\.other"):
        rebuild(bundle.manifest, bundle.tensors() | {"conformal.other": np.zeros((3, 5))})


def test_a_part_of_validation_can_be_held_out_by_time() -> None:
    split = make_split()
    kept, later = hold_out(split, share=0.4)
    assert len(later) == round(0.4 * len(split.validation))
    assert later.positions[-1] == split.validation.positions[-1]
    assert later.first - kept.validation.positions[-1] == split.purge
    assert kept.validation.last + split.horizon < later.first + 1
    fitted = conformalise(learned("naive"), panel=make_panel(), split=split, cutoffs=later)
    assert not np.array_equal(fitted.offsets, conformalise(learned("naive"), panel=make_panel(), split=split).offsets)


def test_what_can_not_be_calibrated_is_refused_with_its_remedy() -> None:
    split = make_split()
    few = Cutoffs(split.validation.first, split.validation.first + 4)
    with pytest.raises(DataError, match=r"the level 0.05 needs 19 calibration labels at least; step 1 has 10\."):
        conformalise(learned("naive"), panel=make_panel(), split=split, cutoffs=few)
    with pytest.raises(ConfigError, match="held out, from 0 to 1; got 1"):
        hold_out(split, share=1.0)
    with pytest.raises(ShortSeriesError, match="leave none to choose the model on"):
        hold_out(split, share=0.9999)
    with pytest.raises(DataError, match='Ask for unit="absolute"'):
        find_offsets(np.full((30, 1, 1), np.inf), levels=(0.1, 0.5, 0.9))


def test_missing_labels_do_not_count() -> None:
    errors = np.arange(1.0, 20.0)[:, None, None]
    holes = np.concatenate([errors, np.full((5, 1, 1), np.nan)])
    assert np.array_equal(find_offsets(holes, levels=(0.1, 0.5, 0.9)), find_offsets(errors, levels=(0.1, 0.5, 0.9)))
