"""Studies on a PostgreSQL server, for workers on many machines. Every time is the server's."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from tidewright.optional import require
from tidewright.tuning.open_store import POSTGRES, cached
from tidewright.tuning.store import TrialStore

BEAT_S, GRACE_S = 10.0, 60.0  # a worker's sign of life, and how long without one it takes to be dead
TABLE = """
CREATE TABLE IF NOT EXISTS tidewright_holds (
    study text, number integer, worker text NOT NULL, spent double precision NOT NULL, beat timestamptz NOT NULL,
    PRIMARY KEY (study, number))
"""
TAKE = """
INSERT INTO tidewright_holds VALUES (:study, :number, :worker, 0, clock_timestamp())
ON CONFLICT (study, number) DO UPDATE SET worker = :worker, beat = clock_timestamp()
WHERE tidewright_holds.beat < clock_timestamp() - make_interval(secs => :grace)
"""
OWN = "study = :study AND number = :number AND worker = :worker"


def open_postgres(address: str, *, folder: Path | None, grace_s: float = GRACE_S, **given: Any) -> TrialStore:
    """The store at `postgresql://...`; a worker that gave no sign of life for `grace_s` seconds of the server's clock
    is dead."""
    optuna = require("optuna", extra="tuning", purpose="tuning")
    require("psycopg", extra="postgres", purpose="a study on PostgreSQL")
    address = f"postgresql+psycopg://{address.removeprefix(POSTGRES)}"
    engine = require("sqlalchemy", extra="tuning", purpose="tuning").create_engine(address, pool_pre_ping=True)
    with AdvisoryLock(engine, "tables"):  # two that begin at once make them once
        database = optuna.storages.RDBStorage(address, engine_kwargs={"pool_pre_ping": True})
        run(engine, TABLE)
    holds = BeatHolds(engine, given["name"], grace_s=grace_s)
    stack = ExitStack()
    for close in (database.engine.dispose, engine.dispose, holds.close):  # the last one first
        stack.callback(close)
    lock = AdvisoryLock(engine, given["name"])
    place = None if folder is None else folder / given["name"]
    return TrialStore(cached(database, optuna), claiming=lock, holds=holds, folder=place, closing=stack.close, **given)


def run(engine: Any, statement: str, **values: Any) -> Any:
    """What a statement gives, in a transaction of its own: its rows, or how many it changed."""
    text = require("sqlalchemy", extra="tuning", purpose="tuning").text
    with engine.begin() as connection:
        found = connection.execute(text(statement), values)
        return found.fetchall() if found.returns_rows else found.rowcount


class AdvisoryLock:
    """A lock of the server's that ends with its holder's connection."""

    def __init__(self, engine: Any, name: str) -> None:
        self._engine, self._name = engine, f"tidewright {name}"

    def __enter__(self) -> None:
        text = require("sqlalchemy", extra="tuning", purpose="tuning").text
        self._connection = self._engine.connect()
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        self._connection.execute(lock, {"name": self._name})

    def __exit__(self, *error: object) -> None:
        self._connection.close()  # which ends its transaction


class BeatHolds:
    """Holds as rows of a table; a thread renews this process's own, by the server's clock, while it has any."""

    def __init__(self, engine: Any, study: str, *, grace_s: float) -> None:
        self._engine, self._study, self._grace_s = engine, study, grace_s
        self._worker, self._held = uuid4().hex, set[int]()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def take(self, number: int) -> bool:
        """See `Holds`."""
        if number in self._held or not self._run(TAKE, number, grace=self._grace_s):
            return False
        self._held.add(number)
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="tidewright-beat", daemon=True)
            self._thread.start()
        return True

    def note(self, number: int, spent: float) -> None:
        """See `Holds`."""
        renew = f"UPDATE tidewright_holds SET spent = greatest(spent, :spent), beat = clock_timestamp() WHERE {OWN}"
        if not self._run(renew, number, spent=spent):
            self._held.discard(number)

    def last(self, number: int) -> float:
        """See `Holds`."""
        rows = self._run("SELECT spent FROM tidewright_holds WHERE study = :study AND number = :number", number)
        return float(rows[0][0]) if rows else 0.0

    def owns(self, number: int) -> bool:
        """See `Holds`."""
        return number in self._held

    def drop(self, number: int, *, ended: bool) -> None:
        """See `Holds`."""
        self._held.discard(number)
        change = "DELETE FROM tidewright_holds" if ended else "UPDATE tidewright_holds SET beat = '-infinity'"
        self._run(f"{change} WHERE {OWN}", number)

    def close(self) -> None:
        """Ends the thread."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def renew(self) -> None:
        """A sign of life for every trial of this worker; those that another one has taken are lost."""
        held = set(self._held)
        renew = "UPDATE tidewright_holds SET beat = clock_timestamp() WHERE worker = :worker AND beat > '-infinity'"
        rows = run(self._engine, f"{renew} RETURNING study, number", worker=self._worker)
        self._held -= held - {number for study, number in rows if study == self._study}

    def _beat(self) -> None:
        errors = require("sqlalchemy", extra="tuning", purpose="tuning").exc
        while not self._over.wait(min(BEAT_S, self._grace_s / 6)):
            try:
                self.renew()
            except errors.DBAPIError:  # the server is away for a while; the next beat may reach it
                continue

    def _run(self, statement: str, number: int, **values: Any) -> Any:
        known = {"study": self._study, "number": number, "worker": self._worker}
        return run(self._engine, statement, **known, **values)
