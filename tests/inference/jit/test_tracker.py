"""Which path is hot."""

from __future__ import annotations

import pytest

from tidewright.errors import ConfigError
from tidewright.inference.jit.tracker import COMPILE_S, PATHS, HotPathTracker


def test_a_path_is_hot_after_its_calls_and_once_it_took_what_compiling_costs() -> None:
    tracker = HotPathTracker(min_calls=3)
    assert [tracker.note("slow", seconds=COMPILE_S) for _ in range(4)] == [False, False, True, True]
    assert not any(tracker.note("quick", seconds=1e-6) for _ in range(1000))


def test_without_payback_the_calls_alone_decide() -> None:
    tracker = HotPathTracker(min_calls=2, payback=0.0)
    assert [tracker.note("path", seconds=0.0) for _ in range(3)] == [False, True, True]


def test_what_compiling_costs_is_learned_and_failures_make_it_dearer() -> None:
    tracker = HotPathTracker(payback=1.0)
    before = tracker.threshold_s
    tracker.note_compiled(seconds=4.0, paid=False)
    dearer = tracker.threshold_s
    for _ in range(20):
        tracker.note_compiled(seconds=0.1, paid=True)
    assert tracker.threshold_s < before < dearer


def test_the_paths_that_are_kept_are_bounded_and_the_hottest_stay() -> None:
    tracker = HotPathTracker()
    tracker.note("hot", seconds=10.0)
    for number in range(PATHS + 50):
        tracker.note(number, seconds=1e-3)
    assert tracker.hottest(1)[0][0] == "hot"
    assert len(tracker.hottest(2 * PATHS)) == PATHS
    tracker.forget("hot")
    assert tracker.spent("hot").calls == 0


@pytest.mark.parametrize(
    "options", [{"min_calls": 0}, {"min_calls": True}, {"payback": -1.0}, {"payback": float("nan")}]
)
def test_options_that_mean_nothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        HotPathTracker(**options)  # type: ignore[arg-type]
