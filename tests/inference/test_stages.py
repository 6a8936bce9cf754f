"""The parts of an answer, windows of the last answers, and all of it as Prometheus reads it."""

import math
import re

import numpy as np
import pytest

from tests.inference.stub import StubSession
from tests.inference.test_cache import window
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.inference.batching import batching
from tidewright.inference.cache import cached
from tidewright.inference.latency import PENDING, RECENT, Latency, Stages
from tidewright.inference.metrics_text import write_metrics
from tidewright.inference.session import open_session
from tidewright.models.spec import Ridge
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit

TASK = Task(4)
LINE = re.compile(r'[a-z_]+(\{([a-z]+="(\\.|[^"\\])*",?)*\})? (NaN|-?[0-9.e+-]+)')


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    panel = small_panel(covariates=False)
    fitted = fit(Ridge(lookbacks=(24,)), panel=panel, split=split_holdout(panel, TASK), task=TASK)
    return save_bundle(fitted, panel=panel, folder=tmp_path_factory.mktemp("sealed") / "ridge")


@pytest.mark.parametrize("backend", ["onnxruntime", "eager"])
def test_the_parts_of_every_batch_are_those_of_its_answer(bundle, backend):
    session, rows = open_session(bundle, backend=backend, strict=True), bundle.example()[0].target
    session.reset_latency()
    total = sum(session.predict(rows).latency_ms for _ in range(20))
    stages = session.stages()
    assert list(stages) == ["preprocess", "run", "postprocess"]
    assert [one["count"] for one in stages.values()] == [20] * 3
    parts = sum(one["mean_ms"] * 20 for one in stages.values())
    assert 0.5 * total < parts <= total
    session.reset_latency()
    assert [one["count"] for one in session.stages().values()] == [0] * 3


def test_of_single_windows_one_in_many_is_looked_at(bundle):
    session, row = open_session(bundle, strict=True), np.arange(1, 25, dtype=np.float32)[None]
    for _ in range(3 * (PENDING + 1)):
        session.predict(row)
    stages = session.stages()
    (count,) = {one["count"] for one in stages.values()}
    assert 1 <= count <= 3  # a second that ends meanwhile counts what is pending, and puts a look off
    assert stages["run"]["p50_ms"] > stages["postprocess"]["p50_ms"]
    assert session.latency()["count"] == 3 * (PENDING + 1)


def test_the_parts_are_counted_when_many_are_noted():
    stages = Stages()
    for number in range(3 * PENDING):
        stages.note(1000, 2000 + number, 3000)
        assert len(stages._parts[0].pending) <= PENDING
    assert [one["count"] for one in stages.summary().values()] == [3 * PENDING] * 3
    assert stages.summary()["postprocess"]["max_ms"] == 0.003


def test_the_last_answers_are_summarised_alone():
    latency = Latency()
    latency.pending.extend([10**9] * 5000)
    latency.pending.extend(range(10**6, 101 * 10**6, 10**6))
    last = latency.summary(last=100)
    assert (last["count"], last["max_ms"], last["p50_ms"], last["p95_ms"], last["p99_ms"]) == (100, 100, 50, 95, 99)
    assert last["mean_ms"] == pytest.approx(50.5)
    assert latency.summary(last=200)["max_ms"] == 1000
    assert latency.summary(last=RECENT)["count"] == RECENT
    assert latency.summary()["count"] == 5100
    assert set(latency.summary()) - set(last) == {"per_s"}
    for start in range(0, 9000, 900):  # more than once around
        latency.pending.extend(range(start, start + 900))
        latency.count()
    assert latency.summary(last=3)["mean_ms"] == pytest.approx(8998e-6)
    latency.reset()
    empty = latency.summary(last=5)
    assert empty.pop("count") == 0
    assert all(math.isnan(value) for value in empty.values())
    for wrong in (0, RECENT + 1, True, 2.5):
        with pytest.raises(ConfigError, match="last is a number of answers, 1 to 4096"):
            latency.summary(last=wrong)


def test_answers_a_second_are_counted_from_the_reset(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("tidewright.inference.latency.perf_counter", lambda: now[0])
    latency = Latency()
    latency.pending.extend([5] * 30)
    now[0] += 10
    assert latency.summary()["per_s"] == 3
    latency.reset()
    latency.pending.append(5)
    now[0] += 2
    assert latency.summary()["per_s"] == 0.5


def test_the_last_answers_are_the_sessions(bundle):
    session, row = open_session(bundle, strict=True), bundle.example()[0].target[:1]
    for _ in range(20):
        session.predict(row)
    assert session.latency(last=5)["count"] == 5
    kept = cached(session)
    assert kept.latency(last=5)["count"] == 5
    assert kept.stages().keys() == session.stages().keys()
    with batching(session) as shared:
        assert shared.latency(last=5)["count"] == 5
        assert list(shared.stages()) == ["queue", "preprocess", "run", "postprocess"]


def test_the_text_has_every_level_of_wrapping_once(bundle, tmp_path):
    with batching(cached(open_session(bundle, strict=True), folder=tmp_path)) as session:
        rows = np.arange(48, dtype=np.float32).reshape(2, 24)
        for _ in range(3):
            session.predict(rows)
        text = write_metrics({'a"b\\c\n': session})
    lines = text.splitlines()
    assert all(line.startswith("# ") or LINE.fullmatch(line) for line in lines)
    series = [line.rpartition(" ")[0] for line in lines if line[0] != "#"]
    assert len(series) == len(set(series))
    kinds = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds)) == 8
    label = 'session="a\\"b\\\\c\\n"'
    for wanted in (
        f'tidewright_cache_total{{{label},level="memory",event="hits"}} 2',
        f'tidewright_cache_total{{{label},level="disk",event="misses"}} 1',
        f'tidewright_batching_total{{{label},event="at_once"}} 3',
        f"tidewright_inference_seconds_count{{{label}}} 1",
        f'tidewright_stage_seconds_count{{{label},stage="run"}} 1',
        f'tidewright_stage_seconds_count{{{label},stage="queue"}} 0',
    ):
        assert wanted in lines


def test_a_text_of_two_sessions_tells_them_apart():
    first, second = cached(StubSession()), cached(StubSession())
    first.predict(window(1))
    lines = write_metrics({"first": first, "second": second}).splitlines()
    assert 'tidewright_cache_entries{session="first"} 1' in lines
    assert 'tidewright_cache_entries{session="second"} 0' in lines
    assert lines.count("# TYPE tidewright_cache_entries gauge") == 1
