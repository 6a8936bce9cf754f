"""Tables in JSON: columns by name, or rows, made into a frame with the types that the model learned from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from tidewright.data.schema import Schema
from tidewright.errors import RequestError
from tidewright.serving.arrow import COLUMNS

_ZONE = re.compile(r"time_zone='([^']+)'")
_CELLS = (str, int, float, bool, type(None))


def read_table(given: Any, schema: Schema, *, rows: int) -> pl.DataFrame:
    """The frame of a table: {"column": [values]}, or [{"column": value}]. Times are ISO 8601, or whole step numbers.

    Raises `RequestError` naming the column and the row.
    """
    if given == {} or (type(given) is list and all(row == {} for row in given)):
        raise RequestError("'table' is empty: it has no rows. Send {\"column\": [values]}, or a list of rows.")
    columns = _columns(given)
    if not columns or len(columns) > COLUMNS:
        raise RequestError(f"'table' has {len(columns)} columns; 1 to {COLUMNS} are needed.")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        low, high = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise RequestError(f"column '{low[:80]}' of 'table' has {lengths[low]} values, '{high[:80]}' {lengths[high]}.")
    if max(lengths.values()) > rows:
        raise RequestError(f"'table' has {max(lengths.values())} rows; {rows} are allowed. Send fewer at a time.")
    read = {name: _series(name, values) for name, values in columns.items()}
    time = schema.roles.time
    if time in read and read[time].dtype == pl.String:
        read[time] = _times(read[time], wanted=schema.types.get(time, ""))
    return pl.DataFrame(read)


def _columns(given: Any) -> Mapping[str, list[Any]]:
    if type(given) is list:
        return _from_rows(given)
    if type(given) is not dict:
        raise RequestError("'table' is missing, or no object of columns: {\"column\": [values]}. Send one.")
    for name, values in given.items():
        if type(values) is not list:
            raise RequestError(f"column '{name[:80]}' of 'table' is no list of values. Send one a row.")
    return given


def _from_rows(given: list[Any]) -> Mapping[str, list[Any]]:
    """Rows as columns; a name that a row leaves out is a missing value."""
    for number, row in enumerate(given):
        if type(row) is not dict:
            raise RequestError(f"row {number} of 'table' is no object. Send every row as {{\"column\": value}}.")
    names = dict.fromkeys(name for row in given for name in row)
    if len(names) > COLUMNS:
        raise RequestError(f"'table' has {len(names)} columns; 1 to {COLUMNS} are needed.")
    return {name: [row.get(name) for row in given] for name in names}


def _series(name: str, values: list[Any]) -> pl.Series:
    """One column, of numbers (whole ones may stand among fractions), text or booleans."""
    kinds = {type(value): place for place, value in reversed(list(enumerate(values)))}
    strange = [kind for kind in kinds if kind not in _CELLS]
    if strange:
        raise RequestError(f"row {kinds[strange[0]]} of column '{name[:80]}' of 'table' is a list or an object.")
    found = sorted((place, kind) for kind, place in kinds.items() if kind is not type(None)) if len(kinds) > 1 else []
    names = {kind for _, kind in found}
    if len(names) > 1 and names != {int, float}:
        raise RequestError(f"column '{name[:80]}' of 'table' mixes text, numbers and booleans (row {found[1][0]}).")
    try:
        return pl.Series(name, values, dtype=pl.Float64 if float in kinds else None)
    except (pl.exceptions.PolarsError, OverflowError, TypeError, ValueError) as error:
        raise RequestError(f"column '{name[:80]}' of 'table' holds a number that is too large.") from error


def _times(texts: pl.Series, *, wanted: str) -> pl.Series:
    """ISO 8601 as dates or datetimes of the type that the model learned from."""
    if not wanted.startswith(("Date", "Datetime")):
        raise RequestError(f"the times in '{texts.name}' are text; whole step numbers are needed.")
    zone = _ZONE.search(wanted)
    moments = [_moment(text, texts.name, row=row, zoned=bool(zone)) for row, text in enumerate(texts)]
    if zone:
        return pl.Series(texts.name, moments, dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone[1])
    if wanted == "Date":
        return pl.Series(texts.name, [None if one is None else _day(one, texts.name) for one in moments], dtype=pl.Date)
    return pl.Series(texts.name, moments, dtype=pl.Datetime("us"))


def _moment(text: str | None, name: str, *, row: int, zoned: bool) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found
    except (ValueError, OverflowError) as error:
        raise RequestError(
            f"row {row} of column '{name}': '{text[:40]}' is no ISO 8601 time. Write 2024-12-31, or 2024-12-31T23:00."
        ) from error
    if (found.tzinfo is not None) != zoned:
        needed = "a time of a zone is needed, as 2024-12-31T23:00Z" if zoned else "the model's times have no zone"
        raise RequestError(f"row {row} of column '{name}': '{text[:40]}'; {needed}.")
    return found


def _day(moment: datetime, name: str) -> date:
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise RequestError(f"the times in '{name}' are days for this model; got {moment.isoformat()}. Send dates.")
    return moment.date()
