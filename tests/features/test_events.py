"""Event columns: what is on, and how far the next and the last one are, against a loop over days."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewright.data.panel import Panel
from tidewright.errors import ColumnError, ConfigError, DataError, RepairWarning
from tidewright.features.events import add_events

START = date(2024, 1, 1)
DAYS = 60


def make_panel(step: int = 1, series: tuple[str, ...] = ("a", "b")) -> Panel:
    times = [START + timedelta(days=step * n) for n in range(DAYS)]
    parts = [pl.DataFrame({"s": name, "t": times, "y": range(DAYS)}) for name in series]
    return Panel.from_table(pl.concat(parts), series="s", time="t", target="y")


def day(number: int) -> date:
    return START + timedelta(days=number)


def draw_events(seed: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(seed)
    return [
        {
            "from": day(int(first)),
            "to": day(int(first + draw.integers(0, 4))),
            "who": str(draw.choice(["a", "b"])),
            "what": str(draw.choice(["promo", "strike"])),
            "size": float(draw.integers(1, 5)),
        }
        for first in draw.integers(-5, DAYS + 5, 14)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_columns_are_those_of_a_loop_over_days(seed: int) -> None:
    events = draw_events(seed)
    options: dict[str, Any] = {"time": "from", "until": "to", "series": "who", "kind": "what", "size": "size"}
    panel = add_events(make_panel(), pl.DataFrame(events), **options, before=3, after=2)
    for kind in {event["what"] for event in events}:
        for number, name in enumerate(("a", "b")):
            own = [event for event in events if event["what"] == kind and event["who"] == name]
            for row in range(DAYS):
                now, place = day(row), number * DAYS + row
                on = [event for event in own if event["from"] <= now <= event["to"]]
                assert panel.values(kind)[place] == sum(event["size"] for event in on)
                ahead = [(event["from"] - now).days for event in own if event["from"] > now] + [4]
                back = [(now - event["to"]).days for event in own if event["to"] < now] + [3]
                assert panel.values(f"{kind}_next")[place] == (0 if on else min(4, *ahead, 4))
                assert panel.values(f"{kind}_last")[place] == (0 if on else min(3, *back, 3))


def test_an_event_without_a_series_is_for_all_and_without_a_kind_is_called_event() -> None:
    panel = add_events(make_panel(), pl.DataFrame({"when": [day(7)]}), time="when")
    assert np.flatnonzero(panel.values("event")).tolist() == [7, DAYS + 7]
    assert panel.roles.known == ("event",)


def test_a_day_falls_into_the_week_that_holds_it() -> None:
    events = pl.DataFrame({"when": [day(14), day(18)]})
    weeks = make_panel(step=7, series=("a",))
    ends, starts = (add_events(weeks, events, time="when", dated=one) for one in ("end", "start"))  # type: ignore[arg-type]
    assert np.flatnonzero(ends.values("event")).tolist() == [2, 3]
    assert ends.values("event").max() == 1.0
    assert np.flatnonzero(starts.values("event")).tolist() == [2]
    assert starts.values("event")[2] == 2.0


def test_the_future_is_known_and_what_is_not_known_ahead_sees_nothing_of_it() -> None:
    events = pl.DataFrame({"when": [str(day(DAYS + 2))]})
    panel = add_events(make_panel(series=("a",)), events, time="when", ahead=5, before=4)
    assert panel.values("event").tolist()[DAYS:] == [0, 0, 1, 0, 0]
    assert panel.values("event_next").tolist()[DAYS - 3 :] == [5, 4, 3, 2, 1, 0, 5, 5]
    past = add_events(make_panel(series=("a",)), pl.DataFrame({"when": [day(9)]}), time="when", after=3, role="past")
    assert past.roles.past == ("event", "event_last")
    with pytest.raises(ConfigError, match="aren't known ahead can't say how near"):
        add_events(make_panel(), events, time="when", before=1, role="past")


def test_steps_of_a_panel_without_dates() -> None:
    steps = Panel.from_table(pl.DataFrame({"t": range(10), "y": range(10)}), time="t", target="y")
    panel = add_events(steps, pl.DataFrame({"when": [3], "till": [5]}), time="when", until="till")
    assert np.flatnonzero(panel.values("event")).tolist() == [3, 4, 5]
    with pytest.raises(ColumnError, match="holds whole steps"):
        add_events(steps, pl.DataFrame({"when": [day(1)]}), time="when")


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"when": [day(1)]}, {"time": "wen"}, "no column of the events is called 'wen'. Did you mean 'when'"),
        ({"when": [None, day(1)]}, {"time": "when"}, "row 0 of the events has no time"),
        ({"when": ["soon"]}, {"time": "when"}, "row 0: 'soon' in column 'when' is not a time"),
        ({"when": [1.5]}, {"time": "when"}, "Times of events are dates"),
        ({"when": [day(5)], "to": [day(4)]}, {"time": "when", "until": "to"}, "row 0 ends before it begins"),
        ({"when": [day(5)], "who": ["z"]}, {"time": "when", "series": "who"}, "series 'z', which the panel lacks"),
        ({"when": [day(5)], "what": [None]}, {"time": "when", "kind": "what"}, "row 0 of the events has no kind"),
        ({"when": [day(5)], "size": [None]}, {"time": "when", "size": "size"}, "sizes of events in 'size' are finite"),
        ({"when": [day(5)]}, {"time": "when", "before": -1}, "before is a whole number of rows, 0 or more; got -1"),
        ({"when": []}, {"time": "when"}, "there are no events"),
        ({"when": [day(5)], "what": ["y"]}, {"time": "when", "kind": "what"}, "would have two columns 'y'"),
    ],
)
def test_malformed_events_are_answered_with_the_row_and_the_remedy(
    table: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises((DataError, ConfigError), match=message):
        add_events(make_panel(), pl.DataFrame(table), **options)


@pytest.mark.parametrize("zone", ["America/New_York", "UTC"])
def test_a_moment_is_a_day_of_the_panels_zone(zone: str) -> None:
    late = pl.Series([datetime(2024, 1, 3, 22)]).dt.replace_time_zone("America/New_York").dt.convert_time_zone(zone)
    midnights = [datetime(2024, 1, 1) + timedelta(days=n) for n in range(6)]
    times = pl.Series(midnights).dt.replace_time_zone("America/New_York")
    panel = Panel.from_table(pl.DataFrame({"t": times, "y": range(6)}), time="t", target="y")
    made = add_events(panel, pl.DataFrame({"when": late}), time="when").values("event")
    np.testing.assert_array_equal(made, [0, 0, 1, 0, 0, 0])


def test_hours_take_whole_days_only() -> None:
    times = [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(72)]
    panel = Panel.from_table(pl.DataFrame({"t": times, "y": range(72)}), time="t", target="y")
    with pytest.raises(DataError, match="row 0 is at 2024-01-02 14:00:00 in 'when', and events are whole days"):
        add_events(panel, pl.DataFrame({"when": [datetime(2024, 1, 2, 14)]}), time="when")
    made = add_events(panel, pl.DataFrame({"when": [datetime(2024, 1, 2)]}), time="when").values("event")
    assert made[24:48].sum() == made.sum() == 24


def test_days_that_may_be_read_two_ways_are_refused_and_others_told() -> None:
    with pytest.raises(DataError, match="may be day/month or month/day"):
        add_events(make_panel(), pl.DataFrame({"when": ["01/02/2024"]}), time="when")
    with pytest.warns(RepairWarning, match="text in 'when' was read as %m/%d/%Y"):
        made = add_events(make_panel(), pl.DataFrame({"when": ["01/13/2024"]}), time="when")
    assert np.flatnonzero(made.values("event")[:DAYS]).tolist() == [12]


def test_two_kinds_never_share_a_column() -> None:
    events = pl.DataFrame({"when": [day(3), day(9)], "what": ["promo", "promo_next"]})
    with pytest.raises(ColumnError, match="two kinds of events would have the column 'promo_next'"):
        add_events(make_panel(), events, time="when", kind="what", before=2)


@pytest.mark.parametrize("options", [{"before": 1.5}, {"after": "3"}, {"ahead": 0.5}, {"before": True}])
def test_rows_around_events_are_whole_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is a whole number of rows, 0 or more"):
        add_events(make_panel(), pl.DataFrame({"when": [day(3)]}), time="when", **options)


def test_a_role_that_there_is_not_is_an_error() -> None:
    role: Any = "static"
    with pytest.raises(ConfigError, match="no role of events is called 'static'"):
        add_events(make_panel(), pl.DataFrame({"when": [day(3)]}), time="when", role=role)
