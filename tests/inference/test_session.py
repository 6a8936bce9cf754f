"""What a session takes, refuses and says; on floors, which are quick to make."""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.worlds import small_panel, small_table
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, split_holdout
from tidewright.data.task import Task
from tidewright.errors import (
    BackendError,
    ColumnError,
    ConfigError,
    DataError,
    FallbackWarning,
    FrequencyError,
    UnknownNameError,
)
from tidewright.inference import forecasting
from tidewright.inference.backends import onnxruntime
from tidewright.inference.session import open_session
from tidewright.models.spec import LightGBM, Ridge
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit

TASK = Task(4)


@pytest.fixture(scope="module")
def panel():
    return small_panel()


@pytest.fixture(scope="module")
def ridge(panel, tmp_path_factory):
    fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, TASK), task=TASK)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "ridge")


@pytest.fixture(scope="module")
def trees(panel, tmp_path_factory):
    fitted = fit(LightGBM(rounds=5), panel=panel, split=split_holdout(panel, TASK), task=TASK)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "trees")


@pytest.fixture(scope="module")
def session(ridge):
    return open_session(ridge)


@pytest.fixture
def rows(ridge):
    return ridge.example()[0].target


def with_prices(table):
    """The table with a known price over four more hours, and no sales there."""
    ends = table.group_by("shop", maintain_order=True).agg(pl.col("hour").max(), pl.col("area", "kind").last())
    future = pl.concat([ends.with_columns(pl.col("hour") + pl.duration(hours=h), price=1.0) for h in range(1, 5)])
    return pl.concat([table, future], how="diagonal")


def test_a_missing_value_is_nan_and_anything_beyond_is_refused(session, rows):
    row = rows[:1].copy()
    whole = session.predict(row).quantiles
    row[0, 3] = np.nan
    assert np.isfinite(session.predict(row).quantiles).all()
    assert not np.array_equal(session.predict(row).quantiles, whole)
    for value in (np.inf, -np.inf, 1e31):
        row[0, 3] = value
        with pytest.raises(DataError, match=r"the input 'target' holds -?(inf|1e\+31) at \(0, 3\)"):
            session.predict(row)
    with pytest.raises(DataError, match="window 1 of 'target' holds no observed value"):
        session.predict(np.stack([rows[0], np.full(24, np.nan, np.float32)]))


def test_zeros_and_huge_values_are_answered(session):
    assert np.array_equal(session.predict(np.zeros((1, 24), np.float32)).point, np.zeros((1, 4)))
    assert np.isfinite(session.predict(np.full((1, 24), 1e25, np.float32)).quantiles).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 23), np.float32), r"the input 'target' has the shape \(3, 23\); \(N, 24\) is needed"),
        (np.zeros((3, 24, 1), np.float32), r"has the shape \(3, 24, 1\)"),
        (np.zeros(23), r"has the shape \(1, 23\)"),
        (np.zeros((0, 24), np.float32), "one or more"),
        (np.full((1, 24), "7"), "holds <U1; numbers are needed"),
        (np.zeros((1, 24), object), "holds object; numbers are needed"),
        (np.zeros((1, 24), np.complex64), "holds complex64"),
        (pl.DataFrame({"a": [1.0]}), "predict takes arrays, got a table"),
    ],
)
def test_what_is_no_window_is_refused_with_what_is_needed(session, given, message):
    with pytest.raises(DataError, match=message):
        session.predict(given)


def test_inputs_are_taken_by_name_and_a_wrong_name_is_answered_with_the_near_miss(trees):
    session = open_session(trees)
    batch, _ = trees.example()
    feed = {name: getattr(batch, name) for name in session.inputs}
    assert session.inputs == ("target", "past", "known", "static")
    with pytest.raises(ColumnError, match=r"no input is called 'knwon'. Did you mean 'known'"):
        session.predict({**feed, "knwon": feed["known"]})
    with pytest.raises(ColumnError, match="the input 'past' is missing: this model takes target, past"):
        session.predict({name: array for name, array in feed.items() if name != "past"})
    with pytest.raises(DataError, match="every input holds the same windows"):
        session.predict({**feed, "static": feed["static"][:1]})


def test_other_number_types_and_layouts_give_the_same_answer(session, rows):
    whole = np.round(np.nan_to_num(rows))
    answer = session.predict(whole.astype(np.float32)).quantiles
    for other in (whole.astype(np.float64), whole.astype(np.int64), np.asfortranarray(whole), whole.tolist()):
        assert np.array_equal(session.predict(other).quantiles, answer)
    assert np.array_equal(session.predict(whole[0]).quantiles, session.predict(whole[:1]).quantiles)
    turned = whole[:1, ::-1]
    assert np.array_equal(session.predict(turned).quantiles, session.predict(turned.copy()).quantiles)


def test_a_row_by_position_is_the_row_by_name_and_the_row_among_others(session, rows):
    rows = np.where(np.isnan(rows), 1.0, rows).astype(np.float32)
    alone = session.predict(rows[:1]).quantiles
    assert np.array_equal(session.predict({"target": rows[:1]}).quantiles, alone)
    assert np.allclose(session.predict(rows).quantiles[:1], alone, rtol=1e-6)


def test_an_answer_is_the_caller_s_own(session, rows):
    first = session.predict(rows[:1])
    kept = first.quantiles.copy()
    session.predict(rows[1:2])
    assert np.array_equal(first.quantiles, kept)
    assert np.array_equal(first.point, first.quantiles[:, :, 1])
    assert (first.backend, first.latency_ms > 0) == ("onnxruntime", True)


def test_every_answer_is_counted(ridge, rows):
    session = open_session(ridge)
    for _ in range(5000):
        session.predict(rows[:1])
    session.predict(rows)
    latency = session.latency()
    assert latency["count"] == 5001
    assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"] <= latency["max_ms"]
    session.reset_latency()
    assert session.latency()["count"] == 0


def test_a_backend_that_can_t_serve_is_passed_over_aloud_and_refused_when_strict(ridge, monkeypatch):
    monkeypatch.setattr(onnxruntime, "has", lambda module: False)
    with pytest.warns(FallbackWarning, match="eager answers instead of onnxruntime. .* is not installed"):
        session = open_session(ridge)
    assert session.backend == "eager"
    assert session.choice.passed_over[0] == (
        "onnxruntime: onnxruntime is not installed. Install it with: pip install 'tidewright[onnx]'"
    )
    with pytest.raises(BackendError, match="onnxruntime is not installed"):
        open_session(ridge, strict=True)
    with pytest.warns(FallbackWarning):
        assert open_session(ridge, backend="onnxruntime").choice.fallback


def test_the_choice_says_what_was_asked_for_and_why(ridge):
    auto, eager = open_session(ridge), open_session(ridge, backend="eager", strict=True)
    assert (auto.choice.requested, auto.choice.used, auto.choice.fallback) == ("auto", "onnxruntime", False)
    assert auto.choice.passed_over[0].startswith("eager: not measured")
    assert auto.choice.passed_over[1] == "torchscript: ridge is a formula, and no network of torch"
    assert (eager.choice.used, eager.choice.reason) == ("eager", "asked for")


def test_unknown_backends_and_thread_counts_are_refused(ridge):
    with pytest.raises(UnknownNameError, match=r"no backend is called 'onxruntime'. Did you mean 'onnxruntime'"):
        open_session(ridge, backend="onxruntime")
    with pytest.raises(ConfigError, match="threads is a whole number, 1 or more"):
        open_session(ridge, threads=0)


def test_a_forecast_follows_the_last_observed_value_of_each_series(session, panel):
    table = small_table().filter((pl.col("shop") != "s1") | pl.col("hour").lt(pl.datetime(2024, 1, 9)))
    forecast = session.forecast(table).table
    assert forecast.group_by("shop").len()["len"].to_list() == [4] * 4
    s1 = forecast.filter(pl.col("shop") == "s1")
    assert s1["cutoff"].cast(pl.String).unique().to_list() == ["2024-01-08 23:00:00.000000"]
    assert (s1["hour"] - s1["cutoff"]).dt.total_hours().to_list() == [1, 2, 3, 4]
    whole = session.forecast(panel).table
    assert forecast.filter(pl.col("shop") == "s2").equals(whole.filter(pl.col("shop") == "s2"))


def test_a_forecast_of_history_is_the_one_that_was_possible_then(session, panel):
    cutoffs = Cutoffs(200, 210, 5)
    history = session.forecast(panel, cutoffs=cutoffs).table
    assert history["cutoff"].n_unique() == 3
    then = session.forecast(panel.until(205)).table
    at = history.filter(pl.col("cutoff") == then["cutoff"][0])
    assert at.equals(then)


def test_a_panel_that_starts_later_gives_the_same_forecast(trees):
    """Positions, and the calendar's columns with them, count from the grid of training."""
    session = open_session(trees)
    table = with_prices(small_table())
    late = table.filter(pl.col("hour") >= pl.datetime(2024, 1, 5))
    assert session.forecast(late).table.equals(session.forecast(table).table)


def test_shuffled_rows_and_columns_change_nothing(trees):
    session = open_session(trees)
    table = with_prices(small_table())
    with pytest.warns(match="sorted rows"):
        shuffled = session.forecast(table.sample(fraction=1.0, shuffle=True, seed=1).select(sorted(table.columns)))
    assert shuffled.table.equals(session.forecast(table).table)


def test_a_short_series_is_padded_not_refused(session):
    table = small_table().group_by("shop", maintain_order=True).tail(3)
    assert np.isfinite(session.forecast(table).table["0.5"].to_numpy()).all()


def test_pandas_in_pandas_out(session):
    given = small_table().to_pandas()
    assert type(session.forecast(given).to_native()) is type(given)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda t: t.rename({"price": "prices"}), ColumnError, "no column is called 'price'. Did you mean 'prices'"),
        (lambda t: t.drop("visits"), ColumnError, "no column is called 'visits'"),
        (lambda t: t.rename({"sold": "sale"}), ColumnError, "no column is called 'sold'"),
        (lambda t: t.with_columns(area=pl.lit("big")), ColumnError, "'area' was Float64 in training and is String now"),
        (
            lambda t: t.with_columns(pl.col("hour").dt.replace_time_zone("UTC")),
            FrequencyError,
            "Bring them in the same form",
        ),
        (lambda t: t.filter(pl.col("hour").dt.hour() == 0), FrequencyError, "1h"),
        (
            lambda t: t.with_columns(pl.col("hour").dt.offset_by("30m")),
            FrequencyError,
            "does not lie on the grid that the model learned on",
        ),
        (lambda t: t.with_columns(pl.lit("x").alias("price")), DataError, "is not a number"),
    ],
)
def test_a_table_of_another_shape_is_refused_with_the_cause(trees, change, kind, message):
    with pytest.raises(kind, match=message):
        open_session(trees).forecast(change(with_prices(small_table())))


def test_a_panel_of_another_frequency_or_role_is_refused(trees):
    session = open_session(trees)
    daily = with_prices(small_table()).filter(pl.col("hour").dt.hour() == 0)
    roles = {"past": ["visits"], "static": ["area", "kind"]}
    given = Panel.from_table(daily, series="shop", time="hour", target="sold", known=["price"], **roles)
    with pytest.raises(FrequencyError, match=r"learned from data of the frequency 1h; this panel has 1d"):
        session.forecast(given)
    wrong = Panel.from_table(
        small_table(), series="shop", time="hour", target="sold", past=["visits", "price"], static=["area", "kind"]
    )
    with pytest.raises(ColumnError, match="column 'price' was known in training, and is past in this panel"):
        session.forecast(wrong)


def test_windows_are_answered_some_at_a_time_where_a_graph_needs_room_and_alike(trees, monkeypatch):
    session = open_session(trees)
    assert session.bundle.numbers > 0
    panel = session.read(with_prices(small_table()))
    whole = session.forecast(panel, cutoffs=Cutoffs(30, 40))
    asked = session.latency()["count"]
    monkeypatch.setattr(forecasting, "ROOM", 1)
    monkeypatch.setattr(forecasting, "FEWEST", 8)
    parts = session.forecast(panel, cutoffs=Cutoffs(30, 40))
    assert session.latency()["count"] - asked == -(-len(whole.table) // (8 * 4))
    assert parts.table.equals(whole.table)


def test_a_known_value_that_is_missing_over_the_horizon_is_named(trees):
    session = open_session(trees)
    with pytest.raises(DataError, match=r"'price' has no value for series 's0' at 2024-01-11 \(16 such steps\)"):
        session.forecast(small_table())
    table = with_prices(small_table())
    holed = table.with_columns(
        pl.when((pl.col("shop") == "s2") & (pl.col("hour") == pl.datetime(2024, 1, 11, 2)))
        .then(None)
        .otherwise(pl.col("price"))
        .alias("price")
    )
    with pytest.raises(
        DataError, match=r"'price' has no value for series 's2' at 2024-01-11 02:00:00 \(1 such steps\)"
    ):
        session.forecast(holed)


def test_opening_and_dropping_sessions_leaks_no_files_and_no_memory(ridge, rows):
    def cycle(count):
        for _ in range(count):
            open_session(ridge.folder).predict(rows[:1])
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return len(list(Path("/proc/self/fd").iterdir())), pages * 4096

    cycle(30)
    files, memory = cycle(30)
    files_after, memory_after = cycle(120)
    assert files_after == files
    assert memory_after - memory < 8e6  # a leaked session would take 60 kB and more


def test_a_floor_s_session_loads_neither_torch_nor_lightgbm(ridge):
    code = f"""
import sys
from tidewright.inference.session import open_session
session = open_session({str(ridge.folder)!r})
sys.exit(", ".join(sorted({{"torch", "lightgbm", "pandas", "numba"}} & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
