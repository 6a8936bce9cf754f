"""Monitoring: silent where nothing changed, heard where something did, and honest where it can't know."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, split_holdout
from tidewright.data.task import Task
from tidewright.errors import BundleError, ConfigError, ShortSeriesError
from tidewright.inference.session import open_session
from tidewright.models.spec import LightGBM, Ridge
from tidewright.registry.bundle import load_bundle, save_bundle
from tidewright.registry.seen import last_seen
from tidewright.registry.verify import REFERENCE, read_verified, seal
from tidewright.registry.write import write_folder
from tidewright.report.monitor_page import collect_monitoring
from tidewright.training.fit import fit
from tidewright.workflows.monitor import monitor
from tidewright.workflows.monitoring import Alert

TASK = Task(4)
START, LIVE = datetime(2024, 1, 1), datetime(2024, 3, 1)
HOURS = 24 * 74  # 60 days that are known, 14 live
ROLES = {"series": "shop", "time": "hour", "target": "sold", "known": ["temp"]}


def world(seed=0, *, shift=0.0, warmer=0.0, noise=1.0, lost=0.0):
    """Three shops: a daily wave, what a temperature brings, noise that hangs together; the last days may be others."""
    rng = np.random.default_rng(seed)
    hours = [START + timedelta(hours=hour) for hour in range(HOURS)]
    late = np.array([hour >= LIVE for hour in hours])
    parts = []
    for shop in range(3):
        temp = 10 + 3 * rng.normal(size=HOURS) + warmer * late
        draws, hold = rng.normal(size=HOURS) * np.where(late, noise, 1.0), np.zeros(HOURS)
        for hour in range(1, HOURS):
            hold[hour] = 0.6 * hold[hour - 1] + draws[hour]
        sold = 10.0**shop * (30 + 5 * np.sin(2 * np.pi * np.arange(HOURS) / 24) + 0.3 * temp + hold + shift * late)
        sold[late & (rng.random(HOURS) < lost)] = np.nan
        sold[-1] = sold[-25]
        parts.append(pl.DataFrame({"shop": [f"s{shop}"] * HOURS, "hour": hours, "sold": sold, "temp": temp}))
    return pl.concat(parts).with_columns(pl.col("sold").fill_nan(None))


def learn(folder, spec, table):
    panel = Panel.from_table(table.filter(pl.col("hour") < LIVE), **ROLES)
    split = split_holdout(panel, TASK, validation=24 * 14, test=8)
    fitted = fit(spec, panel=panel, split=split, task=TASK)
    return save_bundle(fitted, panel=panel, folder=folder, split=split)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return learn(tmp_path_factory.mktemp("monitored") / "trees", LightGBM(rounds=30), world())


def alarms(found):
    return {(one.kind, one.column) for one in found.alerts}


def test_where_nothing_changed_nothing_is_heard(bundle):
    found = monitor(bundle, world())
    assert not found.drifted
    assert found.notes == ()
    assert {one.kind for one in found.checks} == {"input", "prediction", "error", "coverage"}
    times = [one.time for one in found.scores]
    assert times == sorted(times)
    assert found.first == times[0] < times[-1] <= found.last


@pytest.mark.parametrize(
    ("change", "heard"),
    [
        ({"shift": 8.0}, ("input", "sold")),
        ({"warmer": 6.0}, ("input", "temp")),
        ({"noise": 5.0}, ("error", "error")),
        ({"lost": 0.3}, ("missing", "sold")),
    ],
)
def test_what_changed_is_heard_by_its_name(bundle, change, heard):
    told: list[Alert] = []
    found = monitor(bundle, world(**change), callbacks=[told.append])
    assert heard in alarms(found)
    assert tuple(told) == found.alerts
    assert all(alert.adjusted <= 0.05 for alert in told)
    if "temp" in heard:
        assert ("missing", "sold") not in alarms(found)


def test_false_alarms_keep_their_share_over_many_worlds(tmp_path):
    heard = []
    for seed in range(12):
        table = world(seed)
        heard.append(monitor(learn(tmp_path / str(seed), Ridge(lookbacks=(24,)), table), table).drifted)
    assert sum(heard) <= 2  # of 12 at 5 %: three or more come in 2 % of such rows


def test_only_what_the_model_does_not_know_is_live(bundle):
    found = monitor(bundle, world())
    assert found.first > bundle.reference.until
    later = monitor(bundle, world(), since="2024-03-08")
    assert later.first == "2024-03-08 01:00:00"
    before = world().filter(pl.col("hour") < datetime(2024, 2, 20))
    with pytest.raises(ShortSeriesError, match="nothing is live"):
        monitor(bundle, before)


def test_the_past_of_the_table_changes_no_input_s_verdict(bundle):
    """Reference inputs come from the bundle alone; history in the table only feeds the windows."""
    whole, short = world(shift=8.0), world(shift=8.0).filter(pl.col("hour") >= datetime(2024, 2, 20))
    pair = [[one for one in monitor(bundle, table).checks if one.kind == "input"] for table in (whole, short)]
    assert pair[0] == pair[1]


def test_errors_and_coverage_are_those_of_the_session_in_units_of_the_series(bundle):
    table = world().filter(pl.col("hour") < LIVE + timedelta(hours=4))  # few enough windows to be answered whole
    found = monitor(bundle, table)
    session = open_session(bundle)
    panel = session.read(table)
    known = last_seen(bundle, panel)
    said = session.forecast(panel, cutoffs=Cutoffs(known, panel.span[1] - TASK.horizon)).table
    scale = dict(zip(panel.series_ids, bundle.reference.units.of(panel)[1], strict=True))
    rows = said.join(table, on=["shop", "hour"]).select("shop", "0.1", "0.5", "0.9", "sold").iter_rows()
    errors, inside = zip(*((abs(m - y) / scale[s], low <= y <= high) for s, low, m, high, y in rows), strict=True)
    counts = [one.count for one in found.scores]
    assert sum(counts) == len(errors)
    assert np.average([one.error for one in found.scores], weights=counts) == pytest.approx(np.mean(errors), rel=1e-5)
    assert np.average([one.coverage for one in found.scores], weights=counts) == pytest.approx(
        np.mean(inside), rel=1e-6
    )
    assert all(one.low <= one.high for one in found.scores)


def test_a_series_that_was_not_there_is_named_and_left_out(bundle):
    strange = world().filter(pl.col("shop") == "s0").with_columns(pl.lit("new").alias("shop"), pl.col("sold") * 1e6)
    found = monitor(bundle, pl.concat([world(), strange]))
    assert found.notes[0].startswith("1 of 4 series were not there in training")
    assert not found.drifted


def test_scores_stand_at_the_first_value_of_their_block_between_the_live_times(bundle):
    table, steps = world(), bundle.reference.answer_steps
    assert steps != bundle.reference.block
    later = table.filter(pl.col("hour") >= LIVE + timedelta(days=2))  # here no cutoff lies before the first live value
    for given, first in ((table, monitor(bundle, table).first), (later, "2024-03-03 01:00:00")):
        found = monitor(bundle, given)
        times = [datetime.fromisoformat(one.time) for one in found.scores]
        start = datetime.fromisoformat(first)
        assert times == [start + timedelta(hours=steps * place) for place in range(len(times))]
        assert len(times) > 10
        assert times[-1] <= datetime.fromisoformat(found.last)


def test_a_few_hours_give_no_test_and_say_so(bundle):
    found = monitor(bundle, world(shift=8.0).filter(pl.col("hour") < datetime(2024, 3, 1, 9)))
    inputs = [one for one in found.checks if one.column == "sold"]
    assert not [one for one in inputs if one.alarm]
    assert all(one.note for one in inputs)
    rows = collect_monitoring(found).sections[1].blocks[1].rows
    untested = [row for row, one in zip(rows, found.checks, strict=True) if one.test.p_value is None]
    assert {row[4].text for row in untested} == {"–"}
    assert all(row[6].text for row in untested)


def test_an_older_bundle_says_that_it_has_no_reference(tmp_path, bundle):
    content = read_verified(bundle.folder)
    plain = {key: value for key, value in content.manifest.items() if key not in ("digest", "files")}
    files = {name: data for name, data in content.files.items() if name != REFERENCE}
    write_folder(seal(plain, files), tmp_path / "older")
    with pytest.raises(BundleError, match="has no reference of its training: an older version wrote it"):
        monitor(load_bundle(tmp_path / "older"), world())


def test_a_zone_s_hours_are_the_same_hours(tmp_path, bundle):
    zoned = world().with_columns(pl.col("hour").dt.replace_time_zone("UTC"))
    panel = Panel.from_table(zoned.filter(pl.col("hour") < pl.lit(LIVE).dt.replace_time_zone("UTC")), **ROLES)
    split = split_holdout(panel, TASK, validation=24 * 14, test=8)
    fitted = fit(LightGBM(rounds=30), panel=panel, split=split, task=TASK)
    found = monitor(save_bundle(fitted, panel=panel, folder=tmp_path / "zoned", split=split), zoned)
    plain = monitor(bundle, world())
    assert found.first.removesuffix(" UTC") == plain.first
    assert [one.test.statistic for one in found.checks] == [one.test.statistic for one in plain.checks]


def test_a_seed_repeats_the_look_and_options_are_checked(bundle):
    assert monitor(bundle, world(), seed=3) == monitor(bundle, world(), seed=3)
    with pytest.raises(ConfigError, match="false_alarms is a share from"):
        monitor(bundle, world(), false_alarms=5)
    with pytest.raises(ConfigError, match="got 'few'"):
        monitor(bundle, world(), false_alarms="few")
    table = world(1, shift=1.5)
    assert len(monitor(bundle, table, false_alarms=0.005).alerts) <= len(
        monitor(bundle, table, false_alarms=0.5).alerts
    )


def test_since_is_any_way_to_write_a_time_and_nothing_else(bundle):
    table = world()
    last = monitor(bundle, table).last
    day, _ = last.split(" ")
    whole = monitor(bundle, table, since=f"{day} 01:00:00")
    assert monitor(bundle, table, since=f"{day}T01:00") == whole
    assert monitor(bundle, table, since=f"{day}T03:00+02:00") == whole
    assert whole.first == f"{day} 02:00:00"
    for text in ("yesterday", "2024-6-1", "5"):
        with pytest.raises(ConfigError, match=f"since is no time: '{text}'. Write 2024-12-31"):
            monitor(bundle, table, since=text)
    with pytest.raises(ShortSeriesError, match="and since is 2999-01-01: nothing is live"):
        monitor(bundle, table, since="2999-01-01")
