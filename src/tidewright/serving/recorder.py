"""`Recorder`: keeps the forecasts that a store's models gave, for `tidewright store compare`; nobody waits for it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from time import monotonic

import polars as pl

from tidewright.inference.metrics_text import Sample
from tidewright.registry.record import Kind, join_tables, trim_record, write_part

HELD = 64 << 20  # bytes that wait to be written; what comes beyond is dropped
FLUSH_S = 30.0  # after which what waits is written, if it is little
FLUSH_ROWS = 100_000  # or at once
EVENTS = ("kept", "dropped", "failed")

log = logging.getLogger(__name__)


class Recorder:
    """See the file. `take` is quick, and `flush` writes: it is for a thread that may wait for a disk."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._held: dict[tuple[str, str, Kind], list[pl.DataFrame]] = {}
        self._bytes, self._rows, self._since = 0, 0, monotonic()
        self._lock = Lock()
        self.rows: Counter[str] = Counter()  # by event
        self.removed = 0

    def take(self, table: pl.DataFrame, *, name: str, version: str, kind: Kind) -> None:
        """Forecasts of a version."""
        size = int(table.estimated_size())
        with self._lock:
            if self._bytes + size > HELD:
                self.rows["dropped"] += len(table)
                return
            if not self._rows:
                self._since = monotonic()
            self._held.setdefault((name, version, kind), []).append(table)
            self._bytes, self._rows = self._bytes + size, self._rows + len(table)

    @property
    def due(self) -> bool:
        """Whether something should be written now."""
        return self._rows >= FLUSH_ROWS or (self._rows > 0 and monotonic() - self._since >= FLUSH_S)

    def flush(self) -> None:
        """Writes all that waits. What can't be written is counted, and the log says why."""
        with self._lock:
            held, self._held = self._held, {}
            self._bytes = self._rows = 0
        for (name, version, kind), tables in held.items():
            rows = sum(map(len, tables))
            try:
                write_part(self._folder, join_tables(tables), name=name, version=version, kind=kind)
                self.removed += trim_record(self._folder, most_bytes=self._most_bytes)
            except (OSError, pl.exceptions.PolarsError) as error:
                self.rows["failed"] += rows
                log.error("not recorded", extra={"fields": {"model": name, "version": version, "why": str(error)}})
            else:
                self.rows["kept"] += rows

    def samples(self) -> Iterable[Sample]:
        """Its numbers."""
        for event in EVENTS:
            yield Sample("tidewright_record_rows_total", {"event": event}, self.rows[event])
        yield Sample("tidewright_record_removed_total", {}, self.removed)
