"""A column of classes at the border of a Panel."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tidewright.data.digest import digest_panel
from tidewright.data.panel import Panel
from tidewright.data.task import Task
from tidewright.errors import ColumnError, ConfigError, DataError, RepairWarning

DAYS = [date(2024, 1, 1) + timedelta(days=day) for day in range(6)]


def read(values: Any, **more: Any) -> Panel:
    table = pl.DataFrame({"day": DAYS[: len(values)], "state": values}, strict=False)
    return Panel.from_table(table, time="day", target="state", classes=True, **more)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["low", "high", None, "low"], ("high", "low")),
        ([3, 1, None, 3], (1, 3)),
        ([3.0, 1.0, float("nan"), 3.0], (1, 3)),
        ([True, False, None, True], (False, True)),
        (pl.Series(["b", "a", None, "b"], dtype=pl.Categorical), ("a", "b")),
        (pl.Series(["b", "a", None, "b"], dtype=pl.Enum(["b", "a", "unused"])), ("a", "b")),
    ],
)
def test_text_whole_numbers_and_booleans_are_classes_in_their_order(values: Any, classes: tuple[Any, ...]) -> None:
    panel = read(values)
    assert panel.classes == classes
    assert [type(one) for one in panel.classes] == [type(one) for one in classes]
    np.testing.assert_array_equal(panel.target, [1.0, 0.0, np.nan, 1.0])
    assert panel.table["state"].to_list()[0] == classes[1]  # the user's own values stay


def test_a_panel_keeps_its_classes_through_what_is_made_of_it() -> None:
    panel = read(["a", "b", "a", "c"])
    for other in (panel.until(1), panel.extend(2), panel.select(["state"])):
        assert other.classes == ("a", "b", "c")
    np.testing.assert_array_equal(panel.extend(2).target, [0, 1, 0, 2, np.nan, np.nan])
    frame = pd.DataFrame({"day": pd.to_datetime(DAYS[:3]), "state": ["a", "b", "a"]})
    assert Panel.from_table(frame, time="day", target="state", classes=True).to_native()["state"].tolist() == list(
        "aba"
    )
    assert digest_panel(panel) != digest_panel(read(["a", "b", "c", "c"]))


def test_gaps_become_rows_without_a_class() -> None:
    table = pl.DataFrame({"day": [DAYS[0], DAYS[1], DAYS[3]], "state": ["a", "b", "a"]})
    with pytest.warns(RepairWarning):
        panel = Panel.from_table(table, time="day", target="state", classes=True, frequency="1d")
    np.testing.assert_array_equal(panel.target, [0.0, 1.0, np.nan, 0.0])


def test_words_for_nothing_are_told_and_empty_cells_are_not() -> None:
    with pytest.warns(RepairWarning, match="missing classes: NA in 'state' was read as no class"):
        assert read(["a", "NA", "b", " "]).classes == ("a", "b")
    assert read(["a", "", "b", None]).classes == ("a", "b")


def test_what_are_no_classes_is_an_error_in_words() -> None:
    with pytest.raises(ColumnError, match="'state' holds fractions, and classes are text"):
        read([0.5, 1.0, 2.0])
    with pytest.raises(ColumnError, match="holds List"):
        read([[1], [2], [1]])
    many = pl.DataFrame({"step": range(40), "state": [f"c{number}" for number in range(40)]})
    with pytest.raises(
        DataError, match=r"'state' holds 40 classes \(c0, c1, c10, c11, c12 \.\.\.\), and 32 are the most"
    ):
        Panel.from_table(many, time="step", target="state", classes=True)
    with pytest.raises(DataError, match=r"'a' in column 'state' at row 0 .* is not a number"):
        Panel.from_table(pl.DataFrame({"day": DAYS[:2], "state": ["a", "b"]}), time="day", target="state")


def test_a_task_of_classes_has_no_quantiles_and_knows_its_width() -> None:
    task = Task(3, kind="classify", classes=("a", "b", "c"))  # type: ignore[arg-type]  # a user types the word
    assert (task.quantiles, task.width, task.classifies) == ((), 3, True)
    assert (Task(3).width, Task(3).classifies) == (3, False)
    with pytest.raises(ConfigError, match=r"classes have probabilities and no quantiles; got \(0\.1, 0\.5\)"):
        Task(3, (0.1, 0.5), kind="classify")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"no kind of task is called 'clasify'\. Did you mean 'classify'"):
        Task(3, kind="clasify")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="two or more different names"):
        Task(3, kind="classify", classes=("a",))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="classes belong to a task of the kind classify"):
        Task(3, classes=("a", "b"))
