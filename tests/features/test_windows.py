"""Windows against a brute-force oracle that reads the table one cell at a time."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds import small_panel
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.errors import ConfigError, ShortSeriesError
from tidewright.features.narrow import narrow_windows
from tidewright.features.view import View, fit_static
from tidewright.features.windows import cut_windows, find_windows, make_windows, newest_windows


def make_panel(lengths, *, starts=None, missing=0.0, seed=0, tail=0):
    """Series of step data with a past and a known covariate; the last `tail` targets are not there yet."""
    rng = np.random.default_rng(seed)
    parts = []
    for number, length in enumerate(lengths):
        start = 0 if starts is None else starts[number]
        y = rng.normal(size=length)
        y[1:][rng.random(length - 1) < missing] = np.nan
        y[length - tail :] = np.nan
        frame = pl.DataFrame({"id": [f"s{number}"] * length, "t": np.arange(start, start + length), "y": y})
        parts.append(frame.with_columns(p=pl.Series(rng.normal(size=length)), k=pl.Series(rng.normal(size=length))))
    table = pl.concat(parts).with_columns(pl.col("y").fill_nan(None))
    return Panel.from_table(table, series="id", time="t", target="y", past=["p"], known=["k"])


def cell(panel, column, series, position):
    """One value by its series and grid position; NaN where there is none."""
    rows = panel.rows_of(series)
    place = position - int(panel.positions[rows.start])
    inside = 0 <= place < rows.stop - rows.start
    return panel.values(column)[rows.start + place] if inside else np.nan


def brute_force(panel, column, windows, steps):
    ids = panel.series_ids
    pairs = zip(windows.series, windows.cutoffs, strict=True)
    return np.array([[cell(panel, column, ids[s], int(c) + d) for d in steps] for s, c in pairs])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 14), min_size=1, max_size=4),
    seed=st.integers(0, 999),
    lookback=st.integers(1, 9),
    horizon=st.integers(1, 5),
    least=st.integers(1, 4),
    stride=st.integers(1, 3),
    offset=st.integers(0, 5),
)
def test_a_batch_holds_what_a_loop_over_the_table_finds(lengths, seed, lookback, horizon, least, stride, offset):
    starts = [(offset * number) % 7 for number in range(len(lengths))]
    panel = make_panel(lengths, starts=starts, missing=0.2, seed=seed)
    cutoffs = Cutoffs(1, 18, stride)
    try:
        windows = cut_windows(panel, View(lookback), horizon=horizon, cutoffs=cutoffs, least=least)
    except ShortSeriesError:
        windows = None
    wanted = []
    for name in panel.series_ids:
        rows = panel.rows_of(name)
        first, last = int(panel.positions[rows.start]), int(panel.positions[rows.stop - 1])
        for cutoff in range(1, 19, stride):
            back = [cell(panel, "y", name, cutoff - d) for d in range(lookback)]
            ahead = [cell(panel, "y", name, cutoff + d) for d in range(1, horizon + 1)]
            enough = first + least - 1 <= cutoff <= last
            if enough and not np.isnan(back).all() and not np.isnan(ahead).all():
                wanted.append((name, cutoff))
    got = (
        []
        if windows is None
        else [(panel.series_ids[s], int(c)) for s, c in zip(windows.series, windows.cutoffs, strict=True)]
    )
    assert got == wanted
    if windows is None:
        return
    back, ahead = range(1 - lookback, 1), range(1, horizon + 1)
    batch = windows.batch()
    np.testing.assert_array_equal(windows.history(), brute_force(panel, "y", windows, back))
    np.testing.assert_array_equal(windows.labels(), brute_force(panel, "y", windows, ahead))
    np.testing.assert_array_equal(batch.target, windows.history().astype(np.float32))
    np.testing.assert_array_equal(batch.past[:, :, 0], brute_force(panel, "p", windows, back).astype(np.float32))
    both = brute_force(panel, "k", windows, range(1 - lookback, horizon + 1))
    np.testing.assert_array_equal(batch.known[:, :, 0], both.astype(np.float32))


def test_a_window_never_sees_its_own_horizon():
    panel = make_panel([40, 30])
    windows = cut_windows(panel, View(6), horizon=3, cutoffs=Cutoffs(5, 30))
    for cutoff in range(5, 30):
        values = np.where(panel.positions > cutoff, 1e6, panel.target)
        past = np.where(panel.positions > cutoff, 1e6, panel.values("p"))
        table = panel.table.with_columns(pl.Series("y", values), pl.Series("p", past))
        other = Panel.from_table(table, series="id", time="t", target="y", past=["p"], known=["k"])
        changed = cut_windows(other, View(6), horizon=3, cutoffs=Cutoffs(5, 30))
        index = np.flatnonzero(windows.cutoffs <= cutoff)
        ours, theirs = windows.batch(index), changed.batch(index)
        for name in ("target", "past", "known", "static"):
            assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes()
        assert windows.history(index).tobytes() == changed.history(index).tobytes()


def test_batches_of_an_index_a_slice_and_all_agree():
    windows = cut_windows(make_panel([20, 12], missing=0.3), View(5), horizon=2, cutoffs=Cutoffs(0, 19), least=1)
    everything = windows.batch()
    index = np.array([3, 0, 7, 7])
    np.testing.assert_array_equal(windows.batch(index).target, everything.target[index])
    np.testing.assert_array_equal(windows.batch(slice(2, 6)).known, everything.known[2:6])
    np.testing.assert_array_equal(windows.subset(index).history(), windows.history()[index])
    assert len(windows.subset(index)) == 4
    assert windows.batch(np.array([], dtype=np.int64)).target.shape == (0, 5)


def test_histories_are_float64_and_batches_float32():
    windows = cut_windows(make_panel([12]), View(4), horizon=2, cutoffs=Cutoffs(3, 9))
    assert windows.history().dtype == windows.labels().dtype == np.float64
    batch = windows.batch()
    assert {batch.target.dtype, batch.past.dtype, batch.known.dtype, batch.static.dtype} == {np.dtype(np.float32)}


def test_a_batch_can_be_changed_without_changing_the_panel():
    panel = make_panel([12])
    windows = cut_windows(panel, View(4), horizon=2, cutoffs=Cutoffs(3, 9))
    windows.history()[:] = 0
    windows.batch().target[:] = 0
    assert windows.history().any()
    assert windows.batch().target.any()


def test_labels_beyond_the_end_and_covariates_there_are_missing():
    windows = cut_windows(make_panel([10]), View(3), horizon=4, cutoffs=Cutoffs(8, 8))
    np.testing.assert_array_equal(np.isnan(windows.labels()), [[False, True, True, True]])
    np.testing.assert_array_equal(np.isnan(windows.batch().known[0, :, 0]), [False] * 4 + [True] * 3)


def test_an_unlabelled_window_needs_no_label():
    panel = make_panel([10], tail=3)
    with pytest.raises(ShortSeriesError, match="none of the 1 windows between 6 and 6 has an observed target both"):
        cut_windows(panel, View(3), horizon=2, cutoffs=Cutoffs(6, 6))
    assert len(cut_windows(panel, View(3), horizon=2, cutoffs=Cutoffs(6, 6), labelled=False)) == 1


def test_the_newest_windows_stand_at_each_series_last_value_and_know_the_future():
    panel = make_panel([10, 8], starts=[0, 5], tail=2)
    windows = newest_windows(panel, View(3, ("fourier:7:1",)), horizon=4)
    assert windows.cutoffs.tolist() == [7, 10]
    known = windows.batch().known
    assert not np.isnan(known[:, :, 1:]).any()  # the calendar is known for every step
    assert not np.isnan(known[:, :5, 0]).any()  # the table's own column as far as it goes
    assert np.isnan(known[:, 5:, 0]).all()
    assert np.isnan(windows.labels()).all()


@pytest.mark.parametrize("holes", [False, True])
def test_the_newest_windows_hold_what_windows_of_the_whole_panel_hold(holes):
    panel = small_panel(rows=60)
    if not holes:
        panel = replace(panel, table=panel.table.with_columns(pl.col("sold").fill_null(1.0)))
    view = View(10, ("hour",), fit_static(panel))
    newest = newest_windows(panel, view, horizon=3)
    whole = make_windows(panel.extend(3), view, horizon=3, rows=None)
    assert len(newest.y) == 4 * 13 < len(whole.y)  # nothing before the lookback is copied
    assert newest.cutoffs.tolist() == whole.cutoffs.tolist()
    for name in ("target", "past", "known", "static"):
        np.testing.assert_array_equal(getattr(newest.batch(), name), getattr(whole.batch(), name))


def test_cutoffs_are_found_alike_with_and_without_missing_values():
    panel = small_panel(rows=60)
    full = replace(panel, table=panel.table.with_columns(pl.col("sold").fill_null(1.0)))
    with_holes, without = (
        cut_windows(one, View(8), horizon=4, cutoffs=Cutoffs(*(panel.span[0] + n for n in (5, 59)), 3), least=3)
        for one in (panel, full)
    )
    assert set(with_holes.rows) <= set(without.rows)
    assert without.cutoffs.max() == panel.span[0] + 56  # the last one has no label
    assert (np.bincount(without.series) == len(range(5, 59, 3))).all()


def test_static_columns_come_as_one_row_a_window():
    table = pl.DataFrame(
        {
            "id": ["a"] * 4 + ["b"] * 4,
            "t": [*range(4)] * 2,
            "y": np.arange(8.0),
            "kind": ["x"] * 4 + ["z"] * 4,
        }
    )
    panel = Panel.from_table(table, series="id", time="t", target="y", static=["kind"])
    view = View(2, static=fit_static(panel))
    windows = cut_windows(panel, view, horizon=1, cutoffs=Cutoffs(1, 2))
    assert windows.batch().static.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    unseen = Panel.from_table(
        table.with_columns(kind=pl.lit("new")), series="id", time="t", target="y", static=["kind"]
    )
    assert cut_windows(unseen, view, horizon=1, cutoffs=Cutoffs(1, 2)).batch().static.tolist() == [[0, 0]] * 4


def test_too_short_a_series_is_an_error_that_says_how_long_it_must_be():
    with pytest.raises(ShortSeriesError, match=r"it needs 24 rows .*the longest series has 12. Ask for a shorter"):
        cut_windows(make_panel([12]), View(20), horizon=4, cutoffs=Cutoffs(0, 11))


def test_a_lookback_of_zero_is_an_error():
    with pytest.raises(ConfigError, match="lookback is a number of steps, 1 or more; got 0"):
        make_windows(make_panel([12]), View(0), horizon=1, rows=None)


@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_windows_picked_out_of_many_are_those_of_the_whole_index(missing):
    panel = make_panel([30, 3, 12], starts=[0, 9, 4], missing=missing)
    asked = {"horizon": 2, "cutoffs": Cutoffs(1, 28, 3), "least": 2}
    whole, cuts = (way(panel, View(4), **asked) for way in (cut_windows, find_windows))
    index = np.array([4, 0, len(whole) - 1, 4])
    picked, wanted = cuts.subset(index), whole.subset(index)
    assert len(cuts) == len(whole)
    assert (cuts.kept is not None) == (missing > 0)
    for name in ("rows", "series", "cutoffs"):
        np.testing.assert_array_equal(getattr(picked, name), getattr(wanted, name))
    np.testing.assert_array_equal(picked.history(), wanted.history())


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=4),
    lookback=st.integers(1, 6),
    horizon=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_narrow_windows_hold_what_the_windows_hold(lengths, lookback, horizon, seed):
    panel = small_static(make_panel(lengths, missing=0.2, seed=seed))
    rows = np.random.default_rng(seed).integers(0, len(panel.table), 3)
    windows = make_windows(panel, View(lookback, static=fit_static(panel)), horizon=horizon, rows=rows)
    narrow = narrow_windows(windows)
    assert narrow is windows or 2 * len(narrow.y) <= len(windows.y)
    for name in ("target", "past", "known", "static"):
        np.testing.assert_array_equal(getattr(narrow.batch(), name), getattr(windows.batch(), name))
    np.testing.assert_array_equal(narrow.labels(), windows.labels())
    np.testing.assert_array_equal(narrow.cutoffs, windows.cutoffs)


def small_static(panel):
    """The panel with a static number of each series."""
    table = panel.table.with_columns(size=pl.Series(panel.codes.astype(np.float64)))
    return Panel.from_table(table, series="id", time="t", target="y", past=["p"], known=["k"], static=["size"])
