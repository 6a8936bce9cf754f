"""Every finding of an inspection is found where it was planted, and nowhere else."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.findings import Finding, Verdict, explain
from tidewright.data.inspect import inspect, inspect_table
from tidewright.data.panel import Panel
from tidewright.data.simulate import noise_panel, signal_panel
from tidewright.errors import RepairWarning

START = dt.datetime(2024, 1, 1)
LENGTH = 200


def table(*, n_series: int = 3, seed: int = 0, **columns: Any) -> pl.DataFrame:
    """A daily table of smooth positive walks around 100, named a, b, c, ..."""
    steps = np.random.default_rng(seed).normal(0, 0.01, (n_series, LENGTH)).cumsum(axis=1)
    return pl.DataFrame(
        {
            "shop": np.repeat([chr(97 + i) for i in range(n_series)], LENGTH),
            "day": [START + dt.timedelta(days=i) for i in range(LENGTH)] * n_series,
            "price": 100.0 * np.exp(steps).reshape(-1),
            **columns,
        }
    )


def panel(data: pl.DataFrame, **roles: Any) -> Panel:
    return Panel.from_table(data, series="shop", time="day", target="price", **roles)


def put(data: pl.DataFrame, rows: slice, value: Any) -> pl.DataFrame:
    values = data["price"].to_numpy(writable=True)
    values[rows] = value(values[rows]) if callable(value) else value
    return data.with_columns(price=pl.Series(values))


def found(verdict: Verdict, code: str) -> Finding:
    (finding,) = [f for f in verdict.findings if f.code == code]
    return finding


def test_a_clean_panel_has_no_findings_and_its_sizes() -> None:
    verdict = inspect(panel(table()), lookback=100, horizon=20, prices=True)
    assert verdict.findings == ()
    assert verdict.ok
    assert (verdict.series, verdict.rows, verdict.frequency) == (3, 600, "1d")
    assert (verdict.first, verdict.last) == ("2024-01-01", "2024-07-18")
    assert (verdict.shortest, verdict.median_length, verdict.longest, verdict.missing_share) == (
        200,
        200.0,
        200,
        0.0,
    )


@pytest.mark.parametrize("seed", range(8))
def test_noise_and_signal_are_no_findings(seed: int) -> None:
    assert inspect(noise_panel(n_series=20, length=100, seed=seed)).findings == ()
    assert inspect(signal_panel(n_series=20, length=100, seed=seed, driver=1.0, static=True)).findings == ()


def test_repairs_are_findings() -> None:
    data = table()
    with pytest.warns(RepairWarning):
        shuffled = panel(data.filter(pl.int_range(pl.len()) != 7).reverse())
    verdict = inspect(shuffled)
    assert found(verdict, "sorted_rows").severity == "info"
    gaps = found(verdict, "filled_gaps")
    assert (gaps.severity, gaps.rows) == ("warning", 1)
    missing = found(verdict, "missing_target")
    assert (missing.series, missing.time, missing.rows) == ("a", "2024-01-08", 1)


def test_missing_targets_name_the_worst_series() -> None:
    data = put(put(table(), slice(10, 13), np.nan), slice(250, 290), np.nan)
    missing = found(inspect(panel(data)), "missing_target")
    assert (missing.severity, missing.series, missing.time, missing.rows) == (
        "warning",
        "b",
        "2024-02-20",
        43,
    )
    assert "in 2 of 3 series" in missing.message
    assert inspect(panel(data)).missing_share == pytest.approx(43 / 600)


def test_constant_series_are_named_and_an_all_constant_panel_is_unusable() -> None:
    one = inspect(panel(put(table(), slice(200, 400), 5.0)))
    assert (found(one, "constant_series").series, one.ok) == ("b", True)
    assert not inspect(panel(put(table(), slice(0, 600), 5.0))).ok


def test_short_series_are_named_with_what_is_needed() -> None:
    data = table().filter((pl.col("shop") != "c") | (pl.col("day") < START + dt.timedelta(days=30)))
    short = found(inspect(panel(data), lookback=40, horizon=10), "short_series")
    assert (short.severity, short.series, short.rows) == ("warning", "c", 1)
    assert "fewer than 50 rows" in short.message
    assert not inspect(panel(data), lookback=400, horizon=10).ok


def test_a_feed_that_stopped_is_stale_and_a_series_of_few_values_is_not() -> None:
    stale = found(inspect(panel(put(table(), slice(230, 250), 99.0))), "stale_values")
    assert (stale.series, stale.time, stale.rows) == ("b", "2024-01-31", 20)
    counts = np.random.default_rng(0).poisson(0.3, 3 * LENGTH).astype(float)
    assert inspect(panel(put(table(), slice(0, 600), counts))).findings == ()


def test_nonpositive_prices_are_errors_only_for_prices() -> None:
    data = panel(put(table(), slice(205, 206), -1.0))
    bad = found(inspect(data, prices=True), "nonpositive_prices")
    assert (bad.severity, bad.series, bad.time, bad.rows) == ("error", "b", "2024-01-06", 1)
    assert inspect(data).ok


@pytest.mark.parametrize("ratio", [1 / 2, 1 / 3, 2.0, 1 / 20, 3 / 2])
def test_an_unadjusted_split_is_found_at_its_day_and_only_for_prices(ratio: float) -> None:
    data = panel(put(table(), slice(300, 400), lambda v: v * ratio))
    split = found(inspect(data, prices=True), "unadjusted_split")
    assert (split.series, split.time, split.rows) == ("b", "2024-04-10", 1)
    assert inspect(data).findings == ()


@pytest.mark.parametrize("factor", [100.0, 1000.0, 0.01])
def test_a_change_of_unit_is_found_at_its_day(factor: float) -> None:
    unit = found(inspect(panel(put(table(), slice(450, 600), lambda v: v * factor))), "unit_change")
    assert (unit.series, unit.time, unit.rows) == ("c", "2024-02-20", 1)


def test_a_spike_is_found_at_its_day_and_is_no_change_of_unit() -> None:
    verdict = inspect(panel(put(table(), slice(333, 334), lambda v: v * 100)))
    spike = found(verdict, "spikes")
    assert (spike.series, spike.time, spike.rows) == ("b", "2024-05-13", 1)
    assert len(verdict.findings) == 1


@pytest.mark.parametrize("role", ["past", "known"])
@pytest.mark.parametrize("shift", [0, 1, 5, -1])
def test_a_covariate_that_holds_the_target_is_found_unless_it_is_a_lawful_lag(role: str, shift: int) -> None:
    data = table().with_columns(x=(pl.col("price").shift(-shift).over("shop") * 2 - 7))
    verdict = inspect(panel(data, **{role: ["x"]}), horizon=5)
    if role == "past" and shift < 0:
        assert verdict.findings == ()
        return
    code = "copied_target" if (role, shift) == ("past", 0) else "leaked_target"
    leak = found(verdict, code)
    assert (leak.severity == "error") == (code == "leaked_target")
    assert f"the {role} column 'x' is a straight line of the target 'price'" in leak.message


def test_an_exact_copy_is_told_from_a_straight_line_and_a_noisy_one_is_no_finding() -> None:
    noisy = table().with_columns(x=pl.col("price") + pl.Series(np.random.default_rng(1).normal(0, 0.1, 600)))
    assert inspect(panel(noisy, known=["x"])).findings == ()
    copied = inspect(panel(table().with_columns(x=pl.col("price")), known=["x"]))
    assert "is equal to the target" in found(copied, "leaked_target").message


def test_a_copied_series_is_named_with_its_original() -> None:
    data = table()
    copied = put(data, slice(400, 600), data["price"].to_numpy()[:200])
    twin = found(inspect(panel(copied)), "copied_series")
    assert twin.series == "c"
    assert "'c' equals 'a'" in twin.message


def test_series_that_start_late_or_end_early_are_named() -> None:
    day = pl.col("day")
    data = table().filter(
        ((pl.col("shop") != "b") | (day >= START + dt.timedelta(days=50)))
        & ((pl.col("shop") != "c") | (day < START + dt.timedelta(days=60)))
    )
    verdict = inspect(panel(data))
    assert (found(verdict, "starts_late").series, found(verdict, "starts_late").time) == ("b", "2024-02-20")
    assert (found(verdict, "ends_early").series, found(verdict, "ends_early").time) == ("c", "2024-02-29")
    assert "only 10 positions of 200 lie within every series" in found(verdict, "short_overlap").message


def test_columns_without_a_role_are_listed() -> None:
    unused = found(inspect(panel(table().with_columns(note=pl.lit("x")))), "unused_columns")
    assert unused.severity == "info"
    assert "note" in unused.message


def test_ids_that_differ_only_by_case_or_spaces_are_named() -> None:
    data = table().with_columns(shop=pl.col("shop").replace({"b": "A "}))
    assert "'A ' and 'a'" in found(inspect(panel(data)), "similar_ids").message


def test_times_that_all_lie_in_january_1970_are_an_error() -> None:
    data = table(n_series=1).with_columns(day=pl.int_range(LENGTH).cast(pl.Datetime("ms")))
    verdict = inspect(panel(data))
    assert (found(verdict, "epoch_times").severity, verdict.ok) == ("error", False)


def test_a_lone_value_in_1970_before_a_long_silence_is_an_error() -> None:
    months = pl.date_range(pl.date(1970, 1, 1), pl.date(1975, 12, 1), "1mo", eager=True)
    values = [1.0, *[None] * 30, *np.random.default_rng(0).normal(size=len(months) - 31)]
    verdict = inspect(Panel.from_table(pl.DataFrame({"day": months, "y": values}), time="day", target="y"))
    epoch = found(verdict, "epoch_times")
    assert (epoch.severity, epoch.time, epoch.rows) == ("error", "1970-01-01", 1)


def hourly(zone: str | None, years: int = 3) -> pl.DataFrame:
    """Hours as a wall clock in Berlin shows them; without the doubled ones of autumn when naive."""
    utc = pl.datetime_range(dt.datetime(2021, 1, 1), dt.datetime(2021 + years, 1, 1), "1h", eager=True)
    values = np.random.default_rng(0).normal(size=len(utc))
    local = utc.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")
    data = pl.DataFrame({"day": local, "y": values})
    if zone is None:
        return data.with_columns(pl.col("day").dt.replace_time_zone(None)).unique("day", maintain_order=True)
    return data


def test_naive_local_hours_are_told_by_the_nights_of_spring() -> None:
    with pytest.warns(RepairWarning, match="filled gaps"):
        local = Panel.from_table(hourly(None), time="day", target="y")
    night = found(inspect(local), "daylight_saving")
    assert "3 of 3 spring nights of Europe lack the hour from 02:00" in night.message
    assert night.time == "2021-03-28 02:00:00"
    zoned = Panel.from_table(hourly("Europe/Berlin"), time="day", target="y")
    assert inspect(zoned).findings == ()


def test_other_holes_are_not_taken_for_the_change_of_the_clock() -> None:
    utc = hourly("Europe/Berlin").with_columns(pl.col("day").dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    silent = utc.filter(pl.col("day").dt.date() != dt.date(2022, 3, 27))
    with pytest.warns(RepairWarning, match="filled gaps"):
        verdict = inspect(Panel.from_table(silent, time="day", target="y"))
    assert [f.code for f in verdict.findings] == ["filled_gaps", "missing_target"]


def test_findings_come_worst_first_and_the_verdict_is_json() -> None:
    data = put(table().with_columns(note=pl.lit("x")), slice(205, 206), -1.0)
    verdict = inspect(panel(put(data, slice(10, 12), np.nan)), prices=True)
    severities = [f.severity for f in verdict.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    told = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert told["ok"] is False
    assert told["series"] == 3
    assert len(told["findings"]) == len(verdict.findings)


def test_the_explanation_tells_the_sizes_and_every_finding() -> None:
    verdict = inspect(panel(table().with_columns(note=pl.lit("x"))))
    lines = explain(verdict).splitlines()
    assert lines[0] == "usable: 1 info"
    assert lines[1].startswith("3 series, 600 rows, every 1d, 2024-01-01 to 2024-07-18; 0.00% missing")
    assert lines[2].startswith("info     1 column has no role")


def test_a_table_that_is_no_panel_gives_its_error_as_the_one_finding() -> None:
    verdict = inspect_table(table(), series="shop", time="day", target="sales")
    assert (verdict.ok, verdict.series) == (False, 0)
    (finding,) = verdict.findings
    assert (finding.severity, finding.code) == ("error", "ColumnError")
    assert "no column is called 'sales'" in finding.message
    assert explain(verdict).startswith("not usable: 1 error")
    assert not inspect_table(None, time="day", target="y").ok
    assert not inspect_table(table(), series="shop", time="day", target="price", calendar="NOPE").ok


def test_a_table_that_is_a_panel_is_inspected_without_warnings() -> None:
    verdict = inspect_table(table().reverse(), series="shop", time="day", target="price", prices=True)
    assert [f.code for f in verdict.findings] == ["sorted_rows"]
