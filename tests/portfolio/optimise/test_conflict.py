"""Limits that can't be kept together are named, all of them and no other."""

from __future__ import annotations

import numpy as np
import pytest

from tests.portfolio.optimise.worlds import draw_returns, name_assets
from tidewright.errors import AllocationError
from tidewright.portfolio import Limits, optimise

NAMES = name_assets(6)
SECTORS = {name: "Energy" if number < 3 else "Tech" for number, name in enumerate(NAMES)}
HELD = np.full(6, 1 / 6)
CASES = {
    ("Energy <= 0.2", "each <= 0.25", "turnover <= 3", "A0 >= 0.01"): {"Energy <= 0.2", "each <= 0.25", "net = 1"},
    ("A0 >= 0.6", "Energy <= 0.5", "leverage <= 2"): {"A0 >= 0.6", "Energy <= 0.5", "long only"},
    ("turnover <= 0.3", "A5 >= 0.5", "Tech <= 0.9"): {"turnover <= 0.3", "A5 >= 0.5", "net = 1", "long only"},
    ("tracking error <= 0.0001 a period", "A1 = 0"): {"tracking error <= 0.0001 a period", "A1 = 0"},
    ("shorts allowed", "leverage <= 0.8", "each >= -1"): {"leverage <= 0.8", "net = 1"},
}


@pytest.mark.parametrize("sentences", CASES, ids=lambda one: one[0])
def test_a_conflict_is_named_in_the_users_words_and_is_minimal(sentences: tuple[str, ...]) -> None:
    limits = Limits.parse(*sentences, groups=SECTORS, benchmark=dict.fromkeys(NAMES, 1 / 6))
    with pytest.raises(AllocationError, match="can't be kept together") as caught:
        optimise(draw_returns(0, assets=6), assets=NAMES, limits=limits, previous=HELD)
    named = {limit.words for limit in limits.resolve(NAMES) if repr(limit.words) in str(caught.value)}
    assert named <= CASES[sentences]
    for one in named & set(sentences):  # without any one of them there is a portfolio
        fewer = [other for other in sentences if other != one]
        kept = Limits.parse(*fewer, groups=SECTORS, benchmark=dict.fromkeys(NAMES, 1 / 6))
        assert optimise(draw_returns(0, assets=6), assets=NAMES, limits=kept, previous=HELD).excess < 1e-8


def test_how_much_each_would_have_to_give_is_told() -> None:
    limits = Limits.parse("Energy <= 0.2", "each <= 0.25", groups=SECTORS)
    with pytest.raises(
        AllocationError, match=r"'each <= 0.25' \(alone, by 0.0167\), 'Energy <= 0.2' \(alone, by 0.05\)"
    ):
        optimise(draw_returns(0, assets=6), assets=NAMES, limits=limits)


@pytest.mark.parametrize(
    ("method", "target", "words"),
    [("target_return", 0.5, "expected return >= 0.5"), ("target_risk", 1e-5, "risk <= 1e-05")],
)
def test_a_target_that_nothing_reaches_is_part_of_the_conflict(method: str, target: float, words: str) -> None:
    with pytest.raises(AllocationError, match=rf"'{words} \(the target\)'"):
        optimise(draw_returns(0, assets=6), assets=NAMES, method=method, target=target)


@pytest.mark.parametrize("method", ["min_variance", "min_cvar", "max_sharpe"])
def test_every_method_names_the_conflict(method: str) -> None:
    with pytest.raises(AllocationError, match=r"'each <= 0.1' .*'net = 1'"):
        optimise(draw_returns(0, assets=6), assets=NAMES, method=method, limits=Limits.parse("each <= 0.1"))


def test_of_very_many_limits_the_first_are_told_and_that_some_may_be_no_part() -> None:
    names = name_assets(120)
    limits = Limits.parse(*(f"{name} >= 0.01" for name in names))
    with pytest.raises(AllocationError, match=r"'net = 1' .* and 1\d\d more, of which some may be no part") as caught:
        optimise(draw_returns(0, assets=120), assets=names, limits=limits)
    assert len(str(caught.value)) < 500
