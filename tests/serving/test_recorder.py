"""What was said is kept for the day when the actual values come, and nothing that fails there ends anything else."""

from threading import Event

import polars as pl

from tests.serving.running import running
from tidewright.errors import BundleError
from tidewright.registry.record import read_record
from tidewright.serving import recorder as recorder_module
from tidewright.serving.recorder import Recorder
from tidewright.serving.stock import Stock


def test_a_record_is_bounded_written_once_in_a_while_and_a_full_disk_is_counted(tmp_path, monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(recorder_module, "monotonic", lambda: now[0])
    table = pl.DataFrame({"shop": ["a"] * 10, "0.5": [1.0] * 10})
    recorder = Recorder(tmp_path / "record", most_bytes=1 << 20)
    assert not recorder.due
    recorder.take(table, name="sales", version="1", kind="answer")
    assert not recorder.due
    now[0] = 30.0
    assert recorder.due
    recorder.flush()
    assert (recorder.due, recorder.rows["kept"], len(read_record(tmp_path / "record", name="sales", version=1))) == (
        False,
        10,
        10,
    )
    monkeypatch.setattr(recorder_module, "FLUSH_ROWS", 10)
    monkeypatch.setattr(recorder_module, "HELD", int(table.estimated_size()))
    for _ in range(2):
        recorder.take(table, name="sales", version="1", kind="answer")
    assert recorder.due
    (tmp_path / "file").write_text("")
    broken = Recorder(tmp_path / "file", most_bytes=1 << 20)
    broken.take(table, name="sales", version="1", kind="answer")
    broken.flush()
    assert (recorder.rows["dropped"], broken.rows["failed"]) == (10, 10)
    assert "not recorded" in caplog.text
    told = {one.labels.get("event", "removed"): one.value for one in recorder.samples()}
    assert told == {"kept": 10, "dropped": 10, "failed": 0, "removed": 0}


def test_answers_with_other_types_of_time_and_series_are_kept_together_and_what_can_t_be_is_counted(tmp_path, caplog):
    days = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 4), "1d", time_unit="us", eager=True)
    plain = pl.DataFrame({"shop": ["1", "2", "3", "4"], "cutoff": days, "day": days, "0.5": [0.0, 1.0, 2.0, 3.0]})
    asked = [plain]
    for kind in (pl.Datetime("ms"), pl.Date, pl.Datetime("ns")):
        asked.append(plain.with_columns(pl.col("cutoff", "day").cast(kind)))
    asked.append(plain.with_columns(pl.col("shop").cast(pl.Int64)))
    asked.append(plain.with_columns(pl.col("shop").cast(pl.Categorical)))
    together, apart = (Recorder(tmp_path / name, most_bytes=1 << 20) for name in ("together", "apart"))
    for table in asked:
        for recorder in (together, apart):
            recorder.take(table, name="sales", version="1", kind="answer")
        apart.flush()
    together.flush()
    for name in ("together", "apart"):
        assert read_record(tmp_path / name, name="sales", version=1).equals(pl.concat([plain] * len(asked)))
    assert (together.rows["kept"], apart.rows["kept"]) == (24, 24)
    for table in (plain, plain.rename({"day": "hour"})):
        together.take(table, name="sales", version="1", kind="answer")
    together.take(plain, name="sales", version="2", kind="answer")
    together.flush()
    assert (together.rows["kept"], together.rows["failed"]) == (28, 8)
    assert "not recorded" in caplog.text


def test_a_job_of_the_server_that_fails_is_logged_and_comes_again(ridge, monkeypatch, caplog):
    looks, often = [], Event()

    def look(self):
        looks.append(self)
        if len(looks) > 2:
            often.set()
        raise (OSError if len(looks) % 2 else BundleError)("the disk is gone")

    monkeypatch.setattr(Stock, "look", look)
    with running([ridge.folder], watch_s=0.01):
        assert often.wait(30)
    assert caplog.text.count("not looked at") >= 2
