"""Latency statistics: exact to one percent, and none lost among threads."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.stub import StubSession
from tests.worlds import small_panel
from tidewright.data.splits import split_holdout
from tidewright.data.task import Task
from tidewright.errors import ConfigError
from tidewright.inference import local_session, slots
from tidewright.inference.batching import batching
from tidewright.inference.cache import cached
from tidewright.inference.latency import Latency
from tidewright.inference.session import open_session
from tidewright.models.spec import Naive
from tidewright.registry.bundle import save_bundle
from tidewright.training.fit import fit


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300))
def test_quantiles_are_those_of_the_times_to_one_percent(times):
    latency = Latency()
    latency.pending.extend(times)
    summary = latency.summary()
    assert summary["count"] == len(times)
    assert summary["max_ms"] == max(times) / 1e6
    assert summary["mean_ms"] == pytest.approx(sum(times) / len(times) / 1e6)
    for level in (50, 95, 99):
        exact = float(np.quantile(times, level / 100, method="inverted_cdf")) / 1e6
        assert summary[f"p{level}_ms"] == pytest.approx(exact, rel=0.01)
    assert summary["median_ms"] == summary["p50_ms"]


def test_no_time_is_lost_among_threads_that_note_and_threads_that_read():
    latency = Latency()

    def note(_):
        for time in range(5000):
            latency.pending.append(time)
            if time % 500 == 0:
                latency.summary()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(note, range(16)))
    assert latency.summary()["count"] == 16 * 5000


def test_before_the_first_answer_and_after_a_reset_there_are_no_times():
    latency = Latency()
    latency.pending.append(1000)
    assert latency.summary()["count"] == 1
    latency.reset()
    summary = latency.summary()
    assert summary.pop("count") == 0
    assert all(math.isnan(value) for value in summary.values())


@pytest.fixture
def clock(monkeypatch):
    """A clock in seconds that the test moves."""
    now = [1000.0]
    for module in (slots, local_session):
        monkeypatch.setattr(module, "perf_counter_ns", lambda: int(now[0] * 1e9))
    return now


def test_the_figures_of_the_last_seconds_are_those_of_the_answers_that_came_in_them(clock):
    latency = Latency(slots=True)
    for second in range(1000, 1700):  # one answer a second, of as many ms as its place
        clock[0] = float(second)
        latency.turn()
        latency.pending.append((second - 999) * 1_000_000)
    found = latency.summary(seconds=60)
    assert (found["count"], found["max_ms"]) == (60, 700.0)  # 1640 to 1699: whole slots of 5 s
    assert found["mean_ms"] == pytest.approx(np.arange(641, 701).mean())
    assert found["p50_ms"] == pytest.approx(670, rel=0.01)
    assert found["per_s"] == pytest.approx(60 / 59)
    assert latency.summary(seconds=300)["count"] == 300
    assert latency.summary()["count"] == 700
    clock[0] += 58
    assert latency.summary(seconds=60)["count"] == 0
    assert math.isnan(latency.summary(seconds=60)["p99_ms"])
    latency.reset()
    latency.pending.append(1)
    assert latency.summary(seconds=5)["count"] == 1
    for wrong in (4, 301, True, "60"):
        with pytest.raises(ConfigError, match="seconds is a time of 5 to 300 s"):
            latency.summary(seconds=wrong)
    with pytest.raises(ConfigError, match="two ways"):
        latency.summary(last=3, seconds=60)
    with pytest.raises(ConfigError, match="not kept by when they came"):
        Latency().summary(seconds=60)


def test_a_session_s_answers_are_of_the_seconds_in_which_they_came_and_wrappers_say_so_too(clock, tmp_path):
    panel = small_panel()
    fitted = fit(Naive(), panel=panel, split=split_holdout(panel, Task(4)), task=Task(4))
    session = open_session(save_bundle(fitted, panel=panel, folder=tmp_path / "naive"))
    session.reset_latency()
    row = np.ones((1, session.fitted.view.lookback), np.float32)
    for pause in (0.0, 3600.0, 1.0):  # nobody looks meanwhile
        clock[0] += pause
        session.predict(row)
    with batching(cached(session)) as wrapped:
        assert [one.latency(seconds=60)["count"] for one in (session, wrapped)] == [2, 2]
    assert session.latency()["count"] == 3
    assert StubSession().latency(seconds=60)["count"] == 0
