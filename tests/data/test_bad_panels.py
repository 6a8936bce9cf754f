"""Every kind of malformed panel gets a right answer, an announced repair, or a clear error."""

from __future__ import annotations

import datetime as dt
import decimal
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tidewright.data.panel import Panel
from tidewright.data.task import Task
from tidewright.errors import ColumnError, ConfigError, DataError, FrequencyError, RepairWarning

DAYS = 40
ROLES = {"time": "day", "target": "sold", "series": "shop"}
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
Columns = dict[str, list[Any]]


def good(*, length: int = DAYS, step: dt.timedelta = DAY, start: dt.datetime = dt.datetime(2024, 1, 1)) -> Columns:
    """Two series, a and b, with distinct values."""
    times = [start + step * i for i in range(length)]
    return {
        "shop": ["a"] * length + ["b"] * length,
        "day": times * 2,
        "sold": [float(10 + i % 7 + i // 7) for i in range(2 * length)],
    }


def change(columns: Columns, **changes: Callable[[list[Any]], list[Any]]) -> Columns:
    return {name: changes[name](list(values)) if name in changes else values for name, values in columns.items()}


def put(row: int, value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [*values[:row], value, *values[row + 1 :]]


def rows(columns: Columns, order: list[int]) -> Columns:
    return {name: [values[i] for i in order] for name, values in columns.items()}


def text(form: str) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [value.strftime(form) for value in values]


@dataclass(frozen=True)
class Case:
    """One bad table: what it raises (with what words in its message) or which repairs it announces."""

    columns: Columns
    error: type[Exception] | None = None
    words: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, Any] = field(default_factory=lambda: dict(ROLES))
    kinds: tuple[str, ...] = ("pandas", "polars", "pyarrow")
    values: list[float | None] | None = None  # the target that comes out, when the case says


SHUFFLED = [int(i) for i in np.random.default_rng(0).permutation(2 * DAYS)]
HOURLY = good(step=HOUR, length=72)
MIXED = {
    "shop": ["a"] * DAYS + ["b"] * DAYS,
    "day": good()["day"][:DAYS] + good(step=HOUR)["day"][:DAYS],
    "sold": good()["sold"],
}
CHANGING = {
    "day": good(step=HOUR, length=100)["day"][:100] + good(start=dt.datetime(2024, 1, 6))["day"][:20],
    "sold": [float(i % 5) for i in range(120)],
}
ALONE = {"time": "day", "target": "sold"}
SPRING = [dt.datetime(2024, 3, 30) + HOUR * i for i in range(60) if i != 26]
AUTUMN = [dt.datetime(2024, 10, 26) + HOUR * i for i in range(60)]
AUTUMN = AUTUMN[:27] + AUTUMN[26:]

CASES = {
    "empty": Case({"shop": [], "day": [], "sold": []}, DataError, ("no rows", "Bring")),
    "one row": Case(rows(good(), [0]), FrequencyError, ("no series has two rows", "give frequency=")),
    "one row with a frequency": Case(rows(good(), [0]), options={"frequency": "1d"}, values=[10.0]),
    "NaN in the target": Case(change(good(), sold=put(3, float("nan")))),
    "None in the target": Case(change(good(), sold=put(3, None))),
    "a target that is all NaN": Case(
        change(good(), sold=lambda v: [float("nan")] * len(v)),
        DataError,
        ("'a'", "no observed value", "Drop it"),
    ),
    "one series that is all NaN": Case(
        change(good(), sold=lambda v: v[:DAYS] + [float("nan")] * DAYS),
        DataError,
        ("'b'", "no observed", "1 such"),
    ),
    "a target of nulls only": Case(change(good(), sold=lambda v: [None] * len(v)), DataError, ("no observed value",)),
    "inf": Case(
        change(good(), sold=put(45, float("inf"))),
        DataError,
        ("infinite", "row 45", "'b'", "2024-01-06", "empty"),
    ),
    "minus inf": Case(change(good(), sold=put(1, float("-inf"))), DataError, ("infinite", "row 1", "'a'")),
    "1e300": Case(change(good(), sold=put(2, 1e300)), DataError, ("1e+300", "row 2", "'a'", "rescale")),
    "duplicates that conflict": Case(
        change(good(), day=put(5, dt.datetime(2024, 1, 5))),
        DataError,
        ("'a'", "2 different rows", "2024-01-05", "[14.0, 15.0]", "aggregate"),
    ),
    "duplicates that agree": Case(rows(good(), [*range(2 * DAYS), 7, 7]), repairs=("sorted rows", "dropped repeats")),
    "no series column named": Case(good(), DataError, ("2 different rows", "name the series column"), roles=ALONE),
    "shuffled": Case(rows(good(), SHUFFLED), repairs=("sorted rows",), values=good()["sold"]),
    "reversed": Case(rows(good(), list(range(2 * DAYS))[::-1]), repairs=("sorted rows",), values=good()["sold"]),
    "series interleaved day by day": Case(
        rows(good(), [i + j for i in range(DAYS) for j in (0, DAYS)]), values=good()["sold"]
    ),
    "gaps": Case(
        rows(good(), [i for i in range(2 * DAYS) if i not in (3, 4, 50)]),
        repairs=("filled gaps",),
        values=[None if i in (3, 4, 50) else v for i, v in enumerate(good()["sold"])],
    ),
    "hourly data called daily": Case(
        HOURLY,
        FrequencyError,
        ("'a'", "2024-01-01 01:00", "off the grid 1d", "commonest gap is 1h", "aggregate"),
        options={"frequency": "1d"},
    ),
    "daily data called hourly": Case(
        good(),
        FrequencyError,
        ("never 1h apart", "commonest gap is 1d", "Give the frequency"),
        options={"frequency": "1h"},
    ),
    "daily data called monthly": Case(
        good(),
        FrequencyError,
        ("'a'", "2024-01-01", "off the grid 1mo", "aggregate"),
        options={"frequency": "1mo"},
    ),
    "series of different frequencies": Case(
        MIXED, FrequencyError, ("different frequencies", "'b' is spaced 1h, 'a' 1d", "Resample")
    ),
    "a series whose frequency changes": Case(
        CHANGING,
        FrequencyError,
        ("'sold' changes its spacing", "2024-01-06", "from 1h to 1d", "Resample"),
        roles=ALONE,
    ),
    "irregular times": Case(
        change(good(), day=lambda v: [v[0] + DAY * (i % DAYS) ** 2 for i in range(len(v))]),
        FrequencyError,
        ("irregular", "commonest gap", "Resample"),
    ),
    "a spring night of local times": Case(
        {"day": SPRING, "sold": [float(i) for i in range(59)]}, repairs=("filled gaps",), roles=ALONE
    ),
    "an autumn night of local times": Case(
        {"day": AUTUMN, "sold": [float(i) for i in range(61)]},
        DataError,
        ("2024-10-27 02:00", "different rows", "daylight saving", "time zone"),
        roles=ALONE,
    ),
    "dates as text": Case(change(good(), day=text("%Y-%m-%d")), repairs=("parsed times",), values=good()["sold"]),
    "dates as day/month text": Case(change(good(), day=text("%d/%m/%Y")), repairs=("parsed times",)),
    "dates that may be day/month or month/day": Case(
        rows(change(good(), day=text("%d/%m/%Y")), [0, 1, 2, 3]),
        DataError,
        ("day/month or month/day", "Write times"),
    ),
    "dates as text, one bad": Case(
        change(good(), day=lambda v: put(9, "2024-02-30")(text("%Y-%m-%d")(v))),
        DataError,
        ("row 9", "'2024-02-30'", "Write times"),
    ),
    "dates as text of two forms": Case(
        change(good(), day=lambda v: put(9, "10.01.2024")(text("%Y-%m-%d")(v))),
        DataError,
        ("row 9", "'10.01.2024'"),
    ),
    "dates with two-digit years": Case(
        change(good(), day=text("%y-%m-%d")), DataError, ("row 0", "two digits", "four digits")
    ),
    "text that is no date": Case(change(good(), day=lambda v: ["soon"] * len(v)), DataError, ("row 0", "'soon'")),
    "an empty date among text": Case(
        change(good(), day=lambda v: put(4, " ")(text("%Y-%m-%d")(v))), DataError, ("row 4", "'a'", "no time")
    ),
    "NaT": Case(change(good(), day=put(44, None)), DataError, ("row 44", "'b'", "no time", "drop")),
    "a year 9999": Case(
        change(good(), day=lambda v: put(3, "9999-12-31")(text("%Y-%m-%d")(v))),
        DataError,
        ("row 3", "9999", "stand-in"),
    ),
    "dates as numbers": Case(
        change(good(), day=lambda v: [int(t.strftime("%Y%m%d")) for t in v]),
        DataError,
        ("look like dates", "20240101"),
    ),
    "epoch seconds": Case(
        change(good(), day=lambda v: [1_700_000_000 + 86_400 * (i % DAYS) for i in range(len(v))]),
        DataError,
        ("epoch", "datetimes"),
    ),
    "times that are fractions": Case(
        change(good(), day=lambda v: [i + 0.5 for i in range(len(v))]),
        ColumnError,
        ("'day'", "Float64", "datetimes"),
    ),
    "times that are true or false": Case(change(good(), day=lambda v: [True] * len(v)), ColumnError, ("Boolean",)),
    "one date of 1970": Case(
        change(good(), day=put(0, dt.datetime(1970, 1, 1))),
        FrequencyError,
        ("'a'", "1970-01-01", "read as zero", "drop"),
    ),
    "one date far away": Case(
        change(good(), day=put(39, dt.datetime(2094, 1, 1))),
        FrequencyError,
        ("'a'", "2094-01-01", "wrong", "fix"),
    ),
    "numbers as text": Case(
        change(good(), sold=lambda v: [str(x) for x in v]), repairs=("parsed numbers",), values=good()["sold"]
    ),
    "numbers as text, one absent": Case(
        change(good(), sold=lambda v: put(1, "NA")([str(x) for x in v])), repairs=("parsed numbers",)
    ),
    "numbers with thousands separators": Case(
        change(good(), sold=lambda v: put(41, "1,234")([str(x) for x in v])),
        DataError,
        ("'1,234'", "row 41", "'b'", "without thousands separators"),
    ),
    "text in the target": Case(
        change(good(), sold=lambda v: put(2, "sold out")([str(x) for x in v])),
        DataError,
        ("'sold out'", "'sold'", "row 2", "'a'", "not a number"),
    ),
    "dates in the target": Case(change(good(), sold=lambda v: good()["day"]), ColumnError, ("'sold'", "Datetime")),
    "a constant target": Case(change(good(), sold=lambda v: [5.0] * len(v))),
    "a boolean target": Case(change(good(), sold=lambda v: [i % 2 == 0 for i in range(len(v))])),
    "a decimal target": Case(
        change(good(), sold=lambda v: [decimal.Decimal(str(x)) for x in v]), values=good()["sold"]
    ),
    "an integer target": Case(change(good(), sold=lambda v: [int(x) for x in v]), values=good()["sold"]),
    "no target column": Case(
        good(),
        ColumnError,
        ("no column is called 'sales'", "There are: day, shop, sold"),
        roles={**ROLES, "target": "sales"},
    ),
    "a near miss of a column": Case(good(), ColumnError, ("Did you mean 'sold'",), roles={**ROLES, "target": "Sold"}),
    "no time column": Case(good(), ColumnError, ("no column is called 'date'",), roles={**ROLES, "time": "date"}),
    "one column with two roles": Case(good(), ColumnError, ("'sold' has two roles",), roles={**ROLES, "past": "sold"}),
    "a null id": Case(change(good(), shop=put(7, None)), DataError, ("row 7", "no series id", "'shop'", "drop")),
    "an empty id": Case(change(good(), shop=put(7, " ")), DataError, ("row 7", "no series id")),
    "a null among integer ids": Case(
        change(good(), shop=lambda v: put(7, None)([1 if x == "a" else 2 for x in v])),
        DataError,
        ("row 7", "no series id"),
    ),
    "ids that are fractions": Case(
        change(good(), shop=lambda v: [0.5 if x == "a" else 1.5 for x in v]),
        ColumnError,
        ("'shop'", "cast it"),
    ),
    "a frequency that does not exist": Case(
        good(),
        FrequencyError,
        ("no frequency is called 'dayly'", "Did you mean 'daily'"),
        options={"frequency": "dayly"},
    ),
    "a frequency of zero days": Case(good(), FrequencyError, ("'0d'",), options={"frequency": "0d"}),
    "a negative frequency": Case(good(), FrequencyError, ("'-1d'",), options={"frequency": "-1d"}),
    "a frequency that is a number": Case(good(), FrequencyError, ("a name", "got 7"), options={"frequency": 7}),
    "a calendar that does not exist": Case(
        good(),
        ConfigError,
        ("no calendar is called 'XNYSE'", "Did you mean 'XNYS'"),
        options={"calendar": "XNYSE"},
    ),
    "weekends on an exchange": Case(
        good(),
        FrequencyError,
        ("'a'", "off the grid XNYS", "without a session"),
        options={"calendar": "XNYS"},
    ),
    "a calendar for hourly data": Case(
        HOURLY, FrequencyError, ("'1h'", "trading day"), options={"calendar": "XNYS", "frequency": "1h"}
    ),
    "series that end on different dates": Case(
        rows(good(), [*range(DAYS), *range(DAYS, DAYS + 20)]), values=good()["sold"][: DAYS + 20]
    ),
    "an extra text column": Case({**good(), "note": ["x"] * 2 * DAYS}, values=good()["sold"]),
    "an extra text column as a covariate": Case(
        {**good(), "note": ["x"] * 2 * DAYS},
        DataError,
        ("'x'", "'note'", "row 0", "'a'", "not a number"),
        roles={**ROLES, "past": ["note"]},
    ),
    "inf in a covariate": Case(
        {**good(), "price": put(41, float("inf"))([1.0] * 2 * DAYS)},
        DataError,
        ("'price'", "row 41", "'b'"),
        roles={**ROLES, "known": ["price"]},
    ),
    "a static column that changes": Case(
        {**good(), "town": ["x"] * (2 * DAYS - 1) + ["y"]},
        DataError,
        ("'town' changes", "'b'", "'x' to 'y'", "role"),
        roles={**ROLES, "static": ["town"]},
    ),
    "a static column with holes": Case(
        {**good(), "town": [None, *["x"] * (2 * DAYS - 1)]},
        repairs=("filled static",),
        roles={**ROLES, "static": ["town"]},
    ),
    "a static column of lists": Case(
        {**good(), "town": [[1]] * 2 * DAYS},
        ColumnError,
        ("'town'", "List"),
        roles={**ROLES, "static": ["town"]},
        kinds=("polars", "pyarrow"),
    ),
}


def table_of(columns: Columns, kind: str) -> Any:
    if kind == "pandas":
        return pd.DataFrame(columns)
    frame = pl.DataFrame(columns, strict=False)
    return frame if kind == "polars" else pa.table(frame.to_arrow())


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_bad_panel_gets_its_answer_from_every_kind_of_table(name: str) -> None:
    case = CASES[name]
    for kind in case.kinds:
        table = table_of(case.columns, kind)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if case.error is not None:
                with pytest.raises(case.error) as raised:
                    Panel.from_table(table, **case.roles, **case.options)
                assert all(word in str(raised.value) for word in case.words), (kind, str(raised.value))
                assert not caught, (kind, caught)
                continue
            panel = Panel.from_table(table, **case.roles, **case.options)
        _check_answer(case, panel, caught, kind)


def _check_answer(case: Case, panel: Panel, caught: list[Any], kind: str) -> None:
    assert tuple(repair.kind for repair in panel.repairs) == case.repairs, kind
    assert [w.category for w in caught] == [RepairWarning] * len(case.repairs), kind
    assert all(w.filename == __file__ for w in caught), kind
    if case.values is not None:
        np.testing.assert_array_equal(panel.target, np.array(case.values, dtype=float))
    assert type(panel.to_native()).__module__.partition(".")[0] == kind


@pytest.mark.parametrize("horizon", [0, -1, 1.5, True, "8"])
def test_a_horizon_that_is_not_a_whole_step_is_refused(horizon: Any) -> None:
    with pytest.raises(ConfigError, match=r"the horizon is the number of steps ahead, 1 or more; got"):
        Task(horizon=horizon)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (2**62, pl.Datetime("us")),
        (2**62, pl.Datetime("ms")),
        (-(2**62), pl.Datetime("ms", "UTC")),
        (2**31 - 1, pl.Date),
    ],
)
def test_a_time_beyond_the_calendar_is_refused_before_anything_is_computed_with_it(last: int, kind: Any) -> None:
    whole = pl.Int32 if kind == pl.Date else pl.Int64
    table = pl.DataFrame({"day": pl.Series([0, last], dtype=whole).cast(kind), "sold": [1.0, 2.0]})
    with pytest.raises(DataError, match=rf"row 1 has the time {last} as .*four digits"):
        Panel.from_table(table, time="day", target="sold")
