"""The forecast of a table, by one version or, where a model is split, by several, each for its own series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import polars as pl

from tidewright.data.forecast import Forecast
from tidewright.data.panel import Repair
from tidewright.errors import TidewrightError
from tidewright.serving.arrow import read_arrow
from tidewright.serving.served import Served
from tidewright.serving.split import Split
from tidewright.serving.tables import read_table


class Part(NamedTuple):
    """What one version answered: its rows of the table, its forecast, and what was mended in them."""

    served: Served
    frame: pl.DataFrame
    forecast: Forecast
    repairs: tuple[Repair, ...]


class Share(NamedTuple):
    """How a table is shared out: the split, the key of the whole request (None: each series is its own), and what
    stands for one where there are no series.
    """

    split: Split
    key: bytes | None
    spare: bytes | None


class VersionError(Exception):
    """A version that did not answer, and why."""

    def __init__(self, served: Served, why: TidewrightError) -> None:
        super().__init__(str(why))
        self.served, self.why = served, why


def make_parts(served: Served, table: Any, *, rows: int, share: Share | None = None) -> list[Part]:
    """The forecasts of a table. Raises `RequestError` for the table, and `VersionError` of a version."""
    schema = served.bundle.manifest.schema
    frame = read_arrow(table, rows=rows) if isinstance(table, bytes) else read_table(table, schema, rows=rows)
    if share is None:
        return [_forecast(served, frame)]
    series = schema.roles.series
    if share.key is not None or series is None or series not in frame.columns:
        key = share.spare if share.key is None else share.key
        return [_forecast(share.split.draw(key), frame)]
    arms = {one: share.split.draw(str(one)) for one in frame[series].unique(maintain_order=True)}
    found = []
    for arm in dict.fromkeys(arms.values()):
        own = [one for one, drawn in arms.items() if drawn is arm]
        found.append(_forecast(arm, frame.filter(pl.col(series).is_in(own, nulls_equal=True))))
    return found


def join_parts(parts: Sequence[Part]) -> tuple[Forecast, dict[str, Any]]:
    """The whole forecast, in the order of one version's, and what is told beside it."""
    served, first = parts[0].served, parts[0].forecast
    roles = served.bundle.manifest.schema.roles
    whole = first
    if len(parts) > 1:
        table = pl.concat([part.forecast.table for part in parts])
        whole = replace(first, table=table.sort(roles.series, roles.time, maintain_order=True))
    told = {"model": served.name, "version": _join(part.served.version for part in parts)}
    told |= {"digest": _join(part.served.bundle.digest for part in parts)}
    columns = {"series": roles.series, "time": roles.time, "target": roles.target}
    answer: dict[str, Any] = {**told, **columns, "levels": list(first.levels), "classes": list(first.classes)}
    return whole, {**answer, "repairs": [repair.detail for part in parts for repair in part.repairs]}


def tell_arms(parts: Sequence[Part]) -> dict[str, list[str]]:
    """The series that each version answered for, where there are series."""
    series = parts[0].served.bundle.manifest.schema.roles.series
    if series is None:
        return {part.served.version: [] for part in parts}
    return {
        part.served.version: [str(one) for one in part.forecast.table[series].unique(maintain_order=True)]
        for part in parts
    }


def _forecast(served: Served, frame: pl.DataFrame) -> Part:
    try:
        panel = served.session.read(frame)
        return Part(served, frame, served.session.forecast(panel), panel.repairs)
    except TidewrightError as error:
        raise VersionError(served, error) from error


def _join(words: Iterable[str]) -> str:
    return ",".join(words)
