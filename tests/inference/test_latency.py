"""Latency statistics: exact to one percent, and none lost among threads."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.inference.latency import Latency


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
