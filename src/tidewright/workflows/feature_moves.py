"""What may be changed of what a model sees: units, seasons before, rolling lengths, categories, windows, calendar.

Changes of a model's own options are found in the fields of its record, so that they hold for every model that has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from tidewright.data.frequency import Frequency
from tidewright.errors import UnknownNameError
from tidewright.features.calendar import check_calendar, holiday_columns
from tidewright.features.view import View
from tidewright.models.spec import ModelSpec
from tidewright.models.specs.tabular import Categories
from tidewright.optional import has
from tidewright.workflows.allot import HOPE

FEATURE_HOPE = 0.2  # of a model's error: near what they took off on the board of benchmarks/board_retail.py
PARTS = (26, 13, 6, 4)  # of a season, whose sums are set against the season before
AROUND = (-2, -1, 0, 1, 2)  # rows beside the step's place a season before
SHORTEST_ROLLED = 4
OTHER: dict[Categories, Categories] = {"one_hot": "native", "native": "one_hot"}


@dataclass(frozen=True, slots=True)
class Move:
    """A change in words and by address (`model.unit`, `view.lookback`), and the `hope` for it, a share of the error."""

    what: str
    options: Mapping[str, Any]
    hope: float = HOPE


def list_features(spec: ModelSpec, *, view: View, season: int) -> Iterator[Move]:
    """Changes of a model's own features, those that promise most first; an option that was settled stays."""
    free = {field.name for field in fields(spec) if getattr(spec, field.name) == field.default}  # type: ignore[arg-type]  # every spec is a dataclass
    seasonal = season > 1
    if "unit" in free:
        yield _set(FEATURE_HOPE, unit="growth" if seasonal else "level")
    if seasonal and {"ratios", "around"} <= free:
        ratios = tuple(sorted({season // part for part in PARTS} - {0}))
        yield _set(FEATURE_HOPE, ratios=ratios, around=tuple(n for n in AROUND if abs(n) < season))
    if "loss" in free and getattr(spec, "loss", "") == "quantile":
        yield _set(FEATURE_HOPE, loss="median")
    if seasonal and "unit" in free:
        yield _set(unit="season")
    if "rolling" in free and view.lookback >= 2 * SHORTEST_ROLLED:
        yield _set(rolling=_double(view.lookback))
    if "categories" in free and any(levels for _, levels in view.static.columns):
        yield _set(categories=OTHER[getattr(spec, "categories", "one_hot")])
    if seasonal and "unit" in free:
        yield _set(unit="level")


def name_holidays(frequency: Frequency) -> tuple[str, ...]:
    """The calendar column of the holidays that a grid itself names: an exchange's, where the package knows them."""
    if frequency.unit != "session" or not has("holidays"):
        return ()
    found = holiday_columns((str(frequency.calendar),))
    try:
        check_calendar(found, frequency)
    except UnknownNameError:
        return ()
    return found


def _set(hope: float = HOPE, **options: Any) -> Move:
    """A change of a model's options, in words: "unit growth", "ratios 2 4, around -1 0 1"."""
    what = ", ".join(f"{name} {_say(value)}" for name, value in options.items())
    return Move(what, {f"model.{name}": value for name, value in options.items()}, hope)


def _say(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _double(lookback: int) -> tuple[int, ...]:
    """Lengths from four rows to the lookback, each twice the one before."""
    lengths = [SHORTEST_ROLLED]
    while 2 * lengths[-1] <= lookback:
        lengths.append(2 * lengths[-1])
    return tuple(lengths)
