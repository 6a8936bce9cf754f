"""Limits in words and as a record: what they say, and what they refuse."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio import Limits

ASSETS = ("AAPL", "XOM", "CVX")
GROUPS = {"AAPL": "Tech", "XOM": "Energy", "CVX": "Energy"}
BETA = {"beta": {"AAPL": 1.2, "XOM": 0.8, "CVX": 0.9}}


def parse(*sentences: str, **more: Any) -> Limits:
    return Limits.parse(*sentences, groups=GROUPS, exposures=BETA, **more)


def test_sentences_say_what_the_fields_say() -> None:
    said = parse(
        "long only", "each <= 60 %", "0.01 <= AAPL <= 0.5", "Energy <= 0.2", "beta >= 0.9", "net = 1",
        "leverage <= 1.5",
        "turnover <= 0.3", "names <= 2", "min position >= 1%", "tracking error <= 0.04 a period",
        benchmark={"AAPL": 1.0},
    )  # fmt: skip
    assert said.each == (None, 0.6)
    assert said.bounds == {"AAPL": (0.01, 0.5)}
    assert said.group_bounds == {"Energy": (None, 0.2)}
    assert said.exposure_bounds == {"beta": (0.9, None)}
    assert (said.long_only, said.net, said.leverage, said.turnover) == (True, (1.0, 1.0), 1.5, 0.3)
    assert (said.names, said.min_position, said.tracking_error) == (2, 0.01, 0.04)


def test_cash_is_what_is_missing_to_one_and_shorts_must_be_said() -> None:
    assert Limits.parse("cash >= 0.1", "net >= 0.8").net == (0.8, 0.9)
    assert not Limits.parse("shorts allowed", "each >= -0.1").long_only


def test_a_tracking_error_a_year_is_spread_by_the_root_of_time() -> None:
    said = parse("tracking error <= 0.04", benchmark={"AAPL": 1.0}, periods_per_year=252)
    assert said.tracking_error == pytest.approx(0.04 / 252**0.5)


def test_each_limit_is_measured_as_its_sentence_says() -> None:
    weights, previous = np.array([0.7, 0.4, -0.1]), np.array([0.2, 0.4, 0.4])
    limits = parse("shorts allowed", "each <= 0.5", "Energy >= 0.5", "beta <= 1", "leverage <= 1", "turnover <= 0.4",
                   "names <= 2", "min position >= 0.2", "tracking error <= 0.01 a period",
                   benchmark={"AAPL": 0.2, "XOM": 0.4, "CVX": 0.4})  # fmt: skip
    found = limits.excess(weights, assets=ASSETS, previous=previous, covariance=np.eye(3) * 0.01)
    assert found == pytest.approx({
        "each <= 0.5": 0.2, "Energy >= 0.5": 0.2, "beta <= 1": 0.84 + 0.32 - 0.09 - 1, "leverage <= 1": 0.2,
        "turnover <= 0.4": 0.6, "names <= 2": 1, "min position >= 0.2": 0.1,
        "tracking error <= 0.01 a period": 0.1 * 0.5**0.5 - 0.01,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        (["long onli"], "'long onli' is no limit. Did you mean 'long only'"),
        (["AAPL < 0.2"], "'AAPL < 0.2' is no limit. .*Write a subject"),
        (["AAPL >= 0.3", "AAPL <= 0.2"], "'AAPL >= 0.3' and 'AAPL <= 0.2' contradict each other"),
        (["each <= 0.2", "AAPL >= 0.3"], "'AAPL >= 0.3' and 'each <= 0.2' contradict each other"),
        (["each >= 0.2", "AAPL <= 0.1"], "'each >= 0.2' and 'AAPL <= 0.1' contradict each other"),
        (["net >= 1", "net <= 0.9"], "'net >= 1' and 'net <= 0.9' contradict each other"),
        (["AAPL <= 0.3", "AAPL <= 0.2"], "'AAPL <= 0.2' and 'AAPL <= 0.3' are about the same"),
        (["AAPL = 0.3", "AAPL <= 0.4"], "'AAPL <= 0.4' and 'AAPL = 0.3' are about the same"),
        (["turnover >= 0.3"], "'turnover >= 0.3' has the wrong sign: turnover is at most a number"),
        (["AAPL >= -0.1"], "'AAPL >= -0.1' lets an asset be short and the limits are long only"),
        (["AAPL <= 0.1 a year"], "only a tracking error is a year"),
        (["tracking error <= 0.1"], "does not say of what time"),
        (["tracking error <= 0.1 a period"], "has no benchmark"),
        (["names <= 1.5"], "names are counted in whole numbers"),
        (["names <= 0"], "names is 0; it is how many"),
    ],
)
def test_what_can_t_be_meant_is_refused_in_its_own_words(sentences: list[str], message: str) -> None:
    with pytest.raises(AllocationError, match=message):
        parse(*sentences)


def test_a_subject_that_nothing_has_is_told_with_the_near_one() -> None:
    for sentence, near in (("turnovr <= 0.3", "turnover"), ("Enrgy <= 0.2", "Energy"), ("APL <= 0.2", "AAPL")):
        with pytest.raises(AllocationError, match=f"Did you mean '{near}'"):
            parse(sentence).resolve(ASSETS)
    with pytest.raises(AllocationError, match="factor 'beta' has no exposure of 'MSFT'"):
        parse("beta <= 1").resolve((*ASSETS, "MSFT"))


def test_a_name_of_two_things_needs_its_kind() -> None:
    both = {"Energy": "Energy", "XOM": "Energy"}
    with pytest.raises(AllocationError, match=r"more than one thing. Write 'asset Energy', 'group Energy'"):
        Limits.parse("Energy <= 0.2", groups=both)
    said = Limits.parse("group Energy <= 0.2", "asset Energy <= 0.1", groups=both)
    assert (said.group_bounds, said.bounds) == ({"Energy": (None, 0.2)}, {"Energy": (None, 0.1)})


def test_fields_are_checked_like_sentences() -> None:
    for bad, message in (
        ({"each": 0.1}, "each is 0.1; it is a pair"),
        ({"each": (0.0, float("nan"))}, "a side is a finite number"),
        ({"turnover": -1.0}, "turnover is -1.0"),
        ({"names": 2.0}, "names is 2.0"),
        (
            {"group_bounds": {"Energi": (None, 0.1)}, "groups": GROUPS},
            "no group is called 'Energi'. Did you mean 'Energy'",
        ),
        ({"exposure_bounds": {"b": (None, 0.1)}}, "no factor is called 'b'"),
        ({"benchmark": {"A": float("inf")}}, "benchmark's weight of 'A' is inf"),
    ):
        with pytest.raises(AllocationError, match=message):
            Limits(**bad)
    with pytest.raises(ConfigError, match="long_only is True or False"):
        Limits(long_only="no")  # type: ignore[arg-type]


YAML = """
limits:
  - Energy <= 30 %
  - tracking error <= 0.04
turnover: 0.5
bounds:
  AAPL: [0.1, null]
groups:
  Energy: [XOM, CVX]
benchmark: {AAPL: 0.5, XOM: 0.5}
periods_per_year: 252
"""


def test_a_yaml_file_holds_sentences_and_fields(tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(YAML)
    said = Limits.from_yaml(tmp_path / "limits.yaml")
    assert (said.group_bounds, said.bounds, said.turnover) == ({"Energy": (None, 0.3)}, {"AAPL": (0.1, None)}, 0.5)
    assert said.groups == {"XOM": "Energy", "CVX": "Energy"}
    assert "Energy <= 30 %" in [limit.words for limit in said.resolve(ASSETS)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("turnovr: 0.3", "limits.yaml: no key is called 'turnovr'. Did you mean 'turnover'"),
        ("limits: AAPL <= 0.1", "it is a list of sentences"),
        ("limits: [turnover <= 0.3]\nturnover: 0.2", "turnover is given as a key and in a sentence"),
        ("limits: [AAPL <= 0.3]\nbounds: {AAPL: [0, 1]}", "bounds of 'AAPL' is given as a key and in a sentence"),
        ("groups: {Energy: [XOM], Oil: [XOM]}", "'XOM' is in two groups, 'Energy' and 'Oil'"),
        ("a: &x 1", "anchors and aliases are not read"),
        ("[1, 2]", "holds no keys"),
        ("bounds: 3", "bounds is 3; it holds names"),
    ],
)
def test_a_yaml_file_that_can_t_be_meant_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(text)
    with pytest.raises(AllocationError, match=message):
        Limits.from_yaml(tmp_path / "limits.yaml")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AllocationError, match=r"none\.yaml' can't be read: No such file"):
        Limits.from_yaml(tmp_path / "none.yaml")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_no_sentence_brings_another_error(sentence: str) -> None:
    read = None
    with suppress(AllocationError):
        read = parse(sentence)
    assert read is None or isinstance(read, Limits)  # refused in words, or read whole


@pytest.mark.parametrize("sentence", ["each <= 5", "Energy <= 20", "A <= 2", "turnover <= 30", "0 <= A <= 10"])
def test_percent_without_the_sign_are_refused(sentence: str) -> None:
    with pytest.raises(AllocationError, match=r"% of the money, which binds no long-only weights. Write \d+ % or"):
        Limits.parse(sentence, groups={"A": "Energy"})
    Limits.parse("shorts allowed", "net = 1", "each <= 5")
    Limits.parse("net <= 2", "each <= 2")
    Limits.parse("each <= 100 %", "turnover <= 200 %")
