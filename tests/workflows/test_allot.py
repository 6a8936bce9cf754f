"""Which model gets the next seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tidewright.workflows.allot import HOPE, Arm, choose_next


def arm(model: str, *errors: float | None, seconds: float = 1.0, more: bool = True, cut: bool = False) -> Arm:
    return Arm(model, errors, (seconds,) * len(errors), more, cut)


def test_the_model_that_promises_most_for_its_time_is_next() -> None:
    assert choose_next([arm("a", 1.0), arm("b", 1.02)], left_s=9.0).model == "a"
    assert choose_next([arm("a", 1.0, seconds=8.0), arm("b", 1.02)], left_s=9.0).model == "b"  # a fifth as long
    assert choose_next([arm("a", 1.0), arm("far", 1.2, seconds=0.01)], left_s=9.0).model == "a"  # too far behind


def test_a_model_whose_tries_bring_nothing_makes_way_for_another() -> None:
    stuck = arm("a", 1.0, 1.1, 1.1, 1.1)
    assert stuck.hope() == pytest.approx(HOPE / 8)
    assert choose_next([stuck, arm("b", 1.02)], left_s=9.0).model == "b"


def test_a_model_that_just_gained_is_hoped_to_gain_as_much_again() -> None:
    gaining = arm("b", 2.0, 1.5, 1.1)
    assert gaining.hope() == pytest.approx(0.4)
    assert choose_next([arm("a", 1.0), gaining], left_s=9.0).model == "b"


def test_it_ends_where_the_error_no_longer_falls_and_where_the_time_does() -> None:
    idle = arm("a", 1.0, *[1.1] * 6)
    assert choose_next([idle], left_s=9.0).reason.startswith("the validation error no longer fell")
    assert choose_next([arm("a", 1.0, more=False)], left_s=9.0).reason == "there was nothing more to try"
    assert choose_next([arm("a", 1.0, seconds=5.0)], left_s=2.0).reason == "2 s are left, and a try of a takes 5 s"


def test_a_model_that_failed_is_not_tried_again_and_one_that_was_cut_goes_on() -> None:
    assert choose_next([arm("a", None)], left_s=9.0).model is None
    cut = arm("b", 9.0, cut=True, seconds=2.0)
    assert cut.cost == 1.0
    assert choose_next([arm("a", 1.0, 1.1, 1.1, 1.1), cut], left_s=9.0).model == "b"


def test_a_model_far_behind_is_tried_again_where_more_is_hoped_of_its_next_try() -> None:
    ahead, behind = Arm("a", (1.0,), (1.0,), False), Arm("b", (1.1,), (1.0,), True)
    assert choose_next([ahead, behind], left_s=9.0).model is None
    assert choose_next([ahead, replace(behind, hoped=0.2)], left_s=9.0).model == "b"
