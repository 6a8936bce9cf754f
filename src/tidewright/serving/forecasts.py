"""`/v1/forecast`: raw history in, quantiles with series and times out; a long answer in parts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import Any
from urllib.parse import parse_qs

import polars as pl

from tidewright.data.forecast import Forecast
from tidewright.errors import RequestError, TidewrightError
from tidewright.serving.arrow import ARROW, write_arrow
from tidewright.serving.depth import parse_json
from tidewright.serving.desk import Desk
from tidewright.serving.forecast_parts import Part, Share, VersionError, join_parts, make_parts, tell_arms
from tidewright.serving.gate import Headers
from tidewright.serving.http import Receive, Scope, Send, read_body, send_error, to_refusal
from tidewright.serving.served import INLINE_BYTES, Served
from tidewright.serving.split import KEY, REQUEST, tell_version

PATH = "/v1/forecast"
LINES = "application/x-ndjson"
FORMS = ("application/json", LINES, ARROW)
ROWS_A_PART = 500
_FIELDS = ("model", "version", "table")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A forecast request: whose, and its table (columns as JSON, or the bytes of an Arrow stream)."""

    model: str | None
    version: str | None
    table: Any


async def answer_forecast(desk: Desk, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
    """One forecast. Raises `RequestError` and `ClientGoneError` before it knows the model."""
    started, limits = perf_counter_ns(), desk.options.limits
    form = choose_form(headers.get(b"accept", b""))
    body = await read_body(receive, headers, limits)
    kind = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower().decode("latin-1")
    read = partial(_read_asked, body, kind, query=scope["query_string"], depth=limits.depth)
    asked = read() if len(body) <= INLINE_BYTES else await desk.run(read)
    served = _find(desk, asked)
    share = None if asked.version is not None else _share(desk, served, headers)
    try:
        parts = await desk.run(partial(make_parts, served, asked.table, rows=limits.rows, share=share))
    except (TidewrightError, VersionError) as error:
        failed, why = (error.served, error.why) if isinstance(error, VersionError) else (served, error)
        refusal = to_refusal(why)
        failed.tally.failed["forecast", refusal.status] += 1
        await send_error(send, refusal)
        return
    forecast, told = join_parts(parts)
    extra: list[tuple[bytes, bytes]] = []
    if share is not None:
        told["arms"] = tell_arms(parts)
        extra = tell_version(*(part.served.version for part in parts))
    await _send_parts(send, write_parts(forecast, told, form=form), form=form, extra=extra)
    for part in parts:
        part.served.tally.count("forecast", perf_counter_ns() - started, rows=len(part.forecast.table))
        if share is not None:
            desk.metrics.split[part.served.name, part.served.version] += 1
        _pass_on(desk, part)
    if desk.options.log_requests:
        fields = {"path": scope["path"], "status": 200, "rows": len(forecast.table)}
        log.info("request", extra={"fields": fields | {"ms": (perf_counter_ns() - started) / 1e6}})


def _read_asked(body: bytes, kind: str, *, query: bytes, depth: int) -> Asked:
    if kind == ARROW:
        return _read_query(query, body)
    if kind not in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        raise RequestError(
            f"Content-Type '{kind[:80]}' is not read here. Send application/json or {ARROW}.", status=415
        )
    given = parse_json(body, depth=depth)
    if type(given) is not dict:
        raise RequestError("the body is no object; one with 'table', and 'model' where there are several, is needed.")
    for name, value in given.items():
        if name not in _FIELDS:
            raise RequestError(f"the field '{name[:80]}' is not known here; there are {', '.join(_FIELDS)}.")
        if name != "table" and type(value) is not str:
            raise RequestError(f"'{name}' is no text. Send its name as text.")
    if "table" not in given:
        raise RequestError("'table' is missing. Send the history as {\"column\": [values]}.")
    return Asked(given.get("model"), given.get("version"), given["table"])


def _read_query(query: bytes, table: bytes) -> Asked:
    try:
        words = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=16)
    except ValueError as error:
        raise RequestError("the query holds too many fields; model and version are read.") from error
    given = {name: words.get(name, [None])[-1] for name in ("model", "version")}
    return Asked(given["model"], given["version"], table)


def _find(desk: Desk, asked: Asked) -> Served:
    """The model that is asked; it need not be named where it is the only one."""
    models = list(desk.roster.models)
    if asked.model is None and len(models) != 1:
        raise RequestError(f"'model' is missing. Name one of {', '.join(models)}.")
    return desk.roster.find(models[0] if asked.model is None else asked.model, asked.version)


def _share(desk: Desk, served: Served, headers: Headers) -> Share | None:
    """How the table is shared out, where the model is split."""
    lineup = desk.roster.lineups.get(served.name)
    split = None if lineup is None else lineup.split
    return None if split is None else Share(split, headers.get(KEY), headers.get(REQUEST))


def _pass_on(desk: Desk, part: Part) -> None:
    """Keeps what was answered, and shows what the champion answered to its shadow."""
    desk.keep(part.served, part.forecast)
    lineup = desk.roster.lineups.get(part.served.name)
    if lineup is not None and lineup.shadow is not None and part.served is lineup.champion:
        lineup.shadow.show_forecast(part.frame, part.forecast)


def choose_form(accept: bytes) -> str:
    """The form of the answer. Raises `RequestError` (406) where none of those that are written is accepted.

    >>> choose_form(b"application/x-ndjson"), choose_form(b"*/*")
    ('application/x-ndjson', 'application/json')
    """
    wanted = [part.partition(";")[0].strip().lower() for part in accept.decode("latin-1").split(",")]
    for name in wanted:
        if name in FORMS:
            return name
        if name in ("", "*/*", "application/*"):
            return FORMS[0]
    raise RequestError(f"Accept names no form that is written here; there are {', '.join(FORMS)}.", status=406)


def write_parts(forecast: Forecast, told: dict[str, Any], *, form: str) -> Iterator[bytes]:
    """A forecast's bytes, part by part: one object with columns, or a line a row after a line of what is told, or
    Arrow.
    """
    if form == ARROW:
        return write_arrow(forecast.table, told=json.dumps(told).encode())
    return _write_lines(forecast.table, told) if form == LINES else _write_object(forecast.table, told)


def _write_lines(table: pl.DataFrame, told: dict[str, Any]) -> Iterator[bytes]:
    yield json.dumps(told).encode() + b"\n"
    for part in table.iter_slices(ROWS_A_PART):
        plain = {name: _plain(part[name]) for name in part.columns}
        rows = (dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True))
        yield "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()


def _write_object(table: pl.DataFrame, told: dict[str, Any]) -> Iterator[bytes]:
    text = json.dumps(told)[:-1] + ', "table": {'
    for number, name in enumerate(table.columns):
        text += f"{', ' if number else ''}{json.dumps(name)}: ["
        for place in range(0, len(table), ROWS_A_PART):
            values = json.dumps(_plain(table[name].slice(place, ROWS_A_PART)), allow_nan=False)[1:-1]
            yield f"{text}{', ' if place else ''}{values}".encode()
            text = ""
        text += "]"
    yield f"{text}}}}}\n".encode()


def _plain(values: pl.Series) -> list[Any]:
    """Values for JSON: times in ISO 8601."""
    return [one.isoformat() for one in values] if values.dtype.is_temporal() else values.to_list()


async def _send_parts(
    send: Send, parts: Iterator[bytes], *, form: str, extra: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Every part as it is made; none is made before the one before it was taken."""
    headers = [(b"content-type", form.encode()), *extra]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts:
        if part:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
