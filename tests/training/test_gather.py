"""A training batch holds exactly what `Windows.batch` says."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.panel import Panel
from tidewright.features.view import View, fit_static
from tidewright.features.windows import make_windows
from tidewright.training.gather import open_source


@settings(max_examples=40, deadline=None)
@given(data=st.data(), covariates=st.booleans())
def test_one_gather_gives_what_the_windows_hold(data: st.DataObject, covariates: bool) -> None:
    lengths = data.draw(st.lists(st.integers(1, 15), min_size=1, max_size=4))
    lookback, horizon = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    parts = []
    for number, length in enumerate(lengths):
        table = {"id": [number] * length, "t": np.arange(length), "size": [float(number)] * length}
        for name in ("y", "p1", "p2", "k1"):
            table[name] = np.where(rng.random(length) < 0.2, np.nan, rng.normal(0, 1, length))
        table["y"][0] = 1.0
        parts.append(pl.DataFrame(table))
    roles = {"past": ["p1", "p2"], "known": ["k1"], "static": ["size"]} if covariates else {}
    panel = Panel.from_table(
        pl.concat(parts).fill_nan(None), series="id", time="t", target="y", frequency="step", **roles
    )
    chosen = data.draw(st.sets(st.integers(0, sum(lengths) - 1), min_size=1))
    view = View(lookback, (), fit_static(panel))
    windows = make_windows(panel, view, horizon=horizon, rows=np.array(sorted(chosen)))
    index = data.draw(st.permutations(range(len(chosen))))

    source = open_source(windows)
    inputs, labels = source.batch(torch.tensor(index))

    expected = windows.batch(np.array(index))
    assert set(inputs) == ({"target", "past", "known", "static"} if covariates else {"target"})
    for name, value in inputs.items():
        np.testing.assert_array_equal(value.numpy(), getattr(expected, name))
    np.testing.assert_array_equal(labels.numpy(), windows.labels(np.array(index)).astype(np.float32))
    assert source.complete == (not np.isnan(windows.labels()).any())


def test_windows_are_moved_to_a_device_without_being_copied_out() -> None:
    days = np.arange(300)
    table = pl.DataFrame({"id": ["a"] * 300, "t": days, "y": np.sin(days), "p": np.cos(days), "k": days / 300.0})
    panel = Panel.from_table(table, series="id", time="t", target="y", past=["p"], known=["k"], frequency="step")
    windows = make_windows(panel, View(50), horizon=10, rows=np.arange(60, 200))
    here, there = open_source(windows), open_source(windows, device="meta")  # it has sizes and no numbers
    for name in ("target", "past", "known"):
        ours, theirs = getattr(there, name), getattr(here, name)
        assert (ours.shape, ours.stride()) == (theirs.shape, theirs.stride())
        assert ours.untyped_storage().nbytes() == theirs.untyped_storage().nbytes() == 300 * 4
