"""The local record: what is read is what was kept, writes are whole, and half-written runs are skipped with a note."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.data.digest import digest_panel
from tidewright.data.panel import Panel
from tidewright.errors import ConfigError, DataError
from tidewright.tracking import files
from tidewright.tracking.files import write_whole
from tidewright.tracking.local import LocalRecord, list_runs, read_run
from tidewright.tracking.plain import dump, to_number, to_plain
from tidewright.tracking.run import Fallback, Run, RunState, begin_run, find_versions

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)


def new_run(key: str = "0123456789ab", *, seconds: int = 0) -> Run:
    return begin_run("market", command="tidewright run", key=key, now=NOON + timedelta(seconds=seconds))


def full_run() -> Run:
    return replace(
        new_run(),
        state=RunState.DONE,
        metrics={"test.mase": 0.0, "test.wape": -math.inf},
        floors={"naive": {"mase": 1.0}},
        spec={"name": "lstm", "hidden": 64},
        choices=({"what": "device", "used": "cpu"},),
        repairs=({"kind": "sorted", "rows": 3},),
        fallbacks=(Fallback("gpu", "cpu", "there is none"),),
        bundle="bundles/é",
        seconds=1.25,
    )


def test_a_run_survives_the_round_trip_through_json() -> None:
    run = full_run()
    assert Run.from_json(run.to_json()) == run


def test_an_undefined_metric_stays_undefined_and_zero_stays_zero() -> None:
    run = replace(new_run(), metrics={"a": math.nan, "b": 0.0}, floors={"naive": {"mase": math.nan}})
    text = run.to_json()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    again = Run.from_json(text)
    assert math.isnan(again.metrics["a"])
    assert math.isnan(again.floors["naive"]["mase"])
    assert again.metrics["b"] == 0.0


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_number_survives_being_written(number: float) -> None:
    again = to_number(json.loads(dump(number)))
    assert again == number or (math.isnan(again) and math.isnan(number))


def test_records_become_plain_data() -> None:
    value = {"state": RunState.DONE, "n": np.int64(3), "x": np.float32(0.5), "on": date(2024, 1, 2), "t": (1, [2])}
    assert to_plain(value) == {"state": "done", "n": 3, "x": 0.5, "on": "2024-01-02", "t": [1, [2]]}
    with pytest.raises(TypeError, match="a object can't be kept in a record"):
        to_plain({"a": object()})


BROKEN = {
    "cut": (lambda text: text[: len(text) // 2], r"is not whole: .* killed as it began"),
    "of a later version": (
        lambda text: text.replace('"schema": 1', '"schema": 9'),
        r"has schema 9.* Update tidewright",
    ),
    "a list": (lambda text: "[1]", r"has schema None"),
    "with a strange field": (lambda text: text.replace('"metrics"', '"metrcs"'), r"'metrcs'. Did you mean 'metrics'"),
    "without an id": (lambda text: text.replace('"id"', '"name"', 1), r"has no 'id'"),
    "with a strange state": (lambda text: text.replace('"done"', '"dnoe"'), r"wrong kind: 'dnoe'"),
    "with text for a metric": (
        lambda text: text.replace('"test.mase": 0.0', '"test.mase": "low"'),
        r"wrong kind: .*low",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_record_is_refused_with_its_cause(case: str) -> None:
    breaks, message = BROKEN[case]
    with pytest.raises(DataError, match=message):
        Run.from_json(breaks(full_run().to_json()))


def test_a_run_knows_when_on_what_and_with_what_it_ran() -> None:
    run = new_run()
    assert run.id == "20260304T120000Z-012345"
    assert run.started == "2026-03-04T12:00:00.000+00:00"
    assert run.versions == find_versions()
    assert {"python", "tidewright", "numpy", "polars"} <= set(run.versions)
    assert run.machine["cores"] >= 1
    with pytest.raises(ConfigError, match=r"made of letters and digits; got '\.\./x'"):
        new_run("../x")


def test_the_local_record_keeps_the_run_and_its_events(tmp_path: Path) -> None:
    record = LocalRecord(tmp_path / "runs")
    run = record.start(new_run())
    assert read_run(tmp_path / "runs" / run.id) == run
    record.hear({"event": "EpochEnded", "epoch": 1})
    record.hear({"event": "EpochEnded", "epoch": 2, "loss": math.nan})
    done = replace(run, state=RunState.DONE)
    record.finish(done)
    assert list_runs(tmp_path / "runs").runs == (done,)
    lines = (tmp_path / "runs" / run.id / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "EpochEnded", "epoch": 1},
        {"event": "EpochEnded", "epoch": 2, "loss": None},
    ]


def test_two_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    records = [LocalRecord(tmp_path) for _ in range(3)]
    ids = [record.start(new_run()).id for record in records]
    for record, name in zip(records, ids, strict=True):
        record.finish(replace(new_run(), id=name, state=RunState.DONE))
    assert ids == ["20260304T120000Z-012345", "20260304T120000Z-012345-2", "20260304T120000Z-012345-3"]
    assert len(list_runs(tmp_path).runs) == 3


def test_runs_are_listed_newest_first_and_half_written_ones_are_noted(tmp_path: Path) -> None:
    for seconds in (0, 2, 1):
        record = LocalRecord(tmp_path)
        record.finish(record.start(new_run(seconds=seconds)))
    (tmp_path / "20260304T110000Z-empty").mkdir()
    torn = tmp_path / "20260304T120009Z-torn"
    torn.mkdir()
    (torn / "run.json").write_text(full_run().to_json()[:50])
    moved = tmp_path / "20260304T120010Z-moved"
    moved.mkdir()
    (moved / "run.json").write_text(full_run().to_json())
    (tmp_path / "mlflow.db").write_bytes(b"")
    for other in ("artifacts", "ledger", "studies"):
        (tmp_path / other).mkdir()
    listed = list_runs(tmp_path)
    assert [run.started[17:19] for run in listed.runs] == ["02", "01", "00"]
    assert len(listed.notes) == 3
    assert "moved/run.json is the record of 20260304T120000Z-012345" in listed.notes[0]
    assert "skipped 20260304T120009Z-torn" in listed.notes[1]
    assert "empty/run.json can't be read" in listed.notes[2]


def test_a_folder_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "none") == type(list_runs(tmp_path))((), ())


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "run.json"
    write_whole(file, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "old")]


def table(**changes: Any) -> pl.DataFrame:
    days = pl.date_range(date(2024, 1, 1), date(2024, 1, 6), eager=True)
    data = {
        "shop": ["b"] * 6 + ["a"] * 6,
        "day": [*days, *days],
        "sold": [float(n) for n in range(12)],
        "price": [1, 2, 3, 4, 5, 6] * 2,
        "city": ["x"] * 6 + ["yz"] * 6,
    }
    return pl.DataFrame({**data, **changes})


def digest(data: Any, **roles: Any) -> str:
    given_roles = {"series": "shop", "time": "day", "target": "sold", "known": ["price"], "static": ["city"], **roles}
    return digest_panel(Panel.from_table(data, **given_roles))


@pytest.mark.filterwarnings("ignore::tidewright.errors.RepairWarning")
@settings(deadline=None)
@given(st.permutations(range(12)))
def test_the_digest_ignores_the_order_of_the_rows(order: list[int]) -> None:
    assert digest(table()[order]) == digest(table())


def test_the_digest_ignores_the_kind_of_table_and_of_number() -> None:
    assert digest(table().to_pandas()) == digest(table())
    assert digest(table(sold=list(range(12)))) == digest(table())
    assert digest(table(sold=[-0.0, *map(float, range(1, 12))])) == digest(table())


@pytest.mark.parametrize("row", range(12))
@pytest.mark.parametrize("column", ["sold", "price"])
def test_the_digest_changes_with_any_number(column: str, row: int) -> None:
    values = table()[column].to_list()
    values[row] = np.nextafter(values[row], np.inf) if column == "sold" else values[row] + 1
    assert digest(table(**{column: values})) != digest(table())


def test_the_digest_changes_with_any_name_time_text_role_or_gap() -> None:
    base, days = table(), table()["day"].to_list()
    changed = [
        digest(base),
        digest(table(shop=["b"] * 6 + ["c"] * 6)),
        digest(table(shop=["a"] * 6 + ["b"] * 6)),
        digest(table(city=["xy"] * 6 + ["z"] * 6)),
        digest(table(day=[day + timedelta(days=1) for day in days])),
        digest(table(day=[day + timedelta(days=1) for day in days[:6]] + days[6:])),
        digest(base, known=[], past=["price"]),
        digest(base, static=[]),
        digest(base.rename({"price": "cost"}), known=["cost"]),
        digest(table(sold=[0.0, None, *map(float, range(2, 12))])),
    ]
    assert len(set(changed)) == len(changed)
