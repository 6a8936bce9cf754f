"""Tables as Arrow IPC streams: from strangers, so every message is looked at before it is opened; and back."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import polars as pl
import polars.selectors as cs

from tidewright.errors import RequestError

ARROW = "application/vnd.apache.arrow.stream"
COLUMNS = 1000
ROWS_A_PART = 4096  # of an answer
_HEADER, _LENGTH, _COMPRESSION = 2, 0, 3  # fields of the flatbuffers Message and RecordBatch
_MOST_DAYS = 700_000  # from 1970, in either direction: the years 53 to 3886
_MOST_TICKS = 2**63 - 1  # nanoseconds reach no further than 1677 to 2262
_UNITS_A_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_PLAIN = (
    "is_integer",
    "is_floating",
    "is_boolean",
    "is_string",
    "is_large_string",
    "is_date",
    "is_timestamp",
    "is_null",
)


def read_arrow(body: bytes, *, rows: int) -> pl.DataFrame:
    """The table of an Arrow IPC stream of plain columns. Raises `RequestError`: a table may not hold more `rows`, and
    nothing of it may be compressed or encoded, so that its bytes say how large it is.
    """
    import pyarrow as pa

    try:
        messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
        _check_messages(messages, rows=rows)
        reader = pa.ipc.open_stream(pa.py_buffer(body))
        _check_schema(reader.schema)
        table = reader.read_all()
        table.validate(full=True)
        return _check_times(pl.DataFrame(pl.from_arrow(table)))
    except (pa.ArrowException, OSError, ValueError, struct.error, pl.exceptions.PolarsError) as error:
        why = (str(error).splitlines() or ["it is torn"])[0][:200]
        raise RequestError(f"the body is no Arrow stream: {why}. Write it with pyarrow.ipc.new_stream.") from error


def _check_messages(messages: Any, *, rows: int) -> None:
    """Batches alone follow the schema, plain ones, and all of them together have at most so many rows."""
    total = 0
    for number, message in enumerate(messages):
        if message.type not in ("schema", "record batch") or (message.type == "schema") != (number == 0):
            raise RequestError(
                f"the Arrow stream holds a {message.type} at place {number}; a schema and batches are read. Send plain "
                "columns, without dictionaries."
            )
        if number:
            length, packed = _describe_batch(message.metadata.to_pybytes())
            if packed:
                raise RequestError(
                    "the Arrow stream is compressed. Send it without, or compress the whole body (gzip)."
                )
            total += length
            if not 0 <= length <= rows or total > rows:
                raise RequestError(f"the table has {total} rows or more; {rows} are allowed. Send fewer at a time.")


def _describe_batch(metadata: bytes) -> tuple[int, bool]:
    """A batch's rows, and whether its buffers are compressed, from its flatbuffer."""
    message = struct.unpack_from("<I", metadata)[0]
    place = _field(metadata, message, _HEADER)
    if place is None:
        raise ValueError("a message without a header")
    batch = place + struct.unpack_from("<I", metadata, place)[0]
    length = _field(metadata, batch, _LENGTH)
    rows = 0 if length is None else struct.unpack_from("<q", metadata, length)[0]
    return rows, _field(metadata, batch, _COMPRESSION) is not None


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table lies; None where it is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0:
        raise ValueError("a message that points before its start")
    if 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + offset if offset else None


def _check_schema(schema: Any) -> None:
    import pyarrow as pa

    if len(schema) > COLUMNS:
        raise RequestError(f"the table has {len(schema)} columns; {COLUMNS} are allowed. Leave out what has no role.")
    for field in schema:
        if not any(getattr(pa.types, kind)(field.type) for kind in _PLAIN):
            raise RequestError(f"column '{field.name[:80]}' holds {field.type}. Send numbers, text, booleans or times.")
    if len(set(schema.names)) < len(schema):
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        raise RequestError(f"the column name '{twice[:80]}' stands more than once. Rename one of them.")


def _check_times(frame: pl.DataFrame) -> pl.DataFrame:
    """Times that a calendar has, for others can't even be shown."""
    for column in frame.select(cs.temporal()):
        unit = getattr(column.dtype, "time_unit", None)
        most = min(_MOST_DAYS * (1 if unit is None else _UNITS_A_DAY[unit]), _MOST_TICKS)
        ticks = column.to_physical()
        if bool(((ticks < -most) | (ticks > most)).any()):
            raise RequestError(f"column '{column.name[:80]}' holds a time that is thousands of years away.")
    return frame


def write_arrow(table: pl.DataFrame, *, told: bytes) -> Iterator[bytes]:
    """A table as an Arrow IPC stream, in parts; `told` is kept in its schema under "tidewright"."""
    import pyarrow as pa

    whole = table.to_arrow(compat_level=pl.CompatLevel.oldest()).replace_schema_metadata({b"tidewright": told})
    sink = _Parts()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), whole.schema) as writer:
        for batch in whole.to_batches(max_chunksize=ROWS_A_PART):
            writer.write_batch(batch)
            yield sink.take()
    yield sink.take()


class _Parts:
    """A file that is written, and taken away in parts."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken

    def flush(self) -> None:
        """Nothing is held back."""

    def tell(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""
