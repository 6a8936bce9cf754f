"""`open_store`: where a study is kept, by its address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidewright.errors import ConfigError, TidewrightError
from tidewright.optional import require
from tidewright.tuning.alive import FileHolds, FileLock, JournalLock
from tidewright.tuning.store import RETRIES, TrialStore

SQLITE, POSTGRES = "sqlite:///", "postgresql://"
WAIT_S = 60.0  # for another process's write


def open_store(
    where: str | Path | None,
    *,
    name: str = "study",
    objectives: int = 1,
    folder: str | Path | None = None,
    retries: int = RETRIES,
    grace_s: float = 60.0,
) -> TrialStore:
    """The study of that name at an address; a new one where there is none.

    None is memory. A folder keeps one study: `journal.log`, the holds of living workers, and a folder a trial under
    `trials`. `sqlite:///FILE` and `postgresql://...` keep many; with SQLite trials have their folders in `folder` or
    beside the file, with PostgreSQL in `folder` or nowhere. A folder and SQLite are for one machine, where a worker's
    death is known at once; on PostgreSQL one that was not heard of for `grace_s` seconds of the server's clock is dead.
    Raises `ConfigError`.
    """
    given: dict[str, Any] = {"name": name, "objectives": objectives, "retries": retries}
    optuna = require("optuna", extra="tuning", purpose="tuning")
    if where is None:
        return TrialStore(optuna.storages.InMemoryStorage(), folder=None if folder is None else Path(folder), **given)
    if isinstance(where, Path) or "://" not in where:
        with _explaining(str(where)):
            return _in_folder(Path(where), optuna, given)
    if where.startswith(SQLITE) and where != SQLITE:
        with _explaining(where):
            return _in_sqlite(where, Path(folder) / name if folder else None, optuna, given)
    if where.startswith(POSTGRES):
        from tidewright.tuning.postgres import open_postgres

        with _explaining(where):
            return open_postgres(where, folder=Path(folder) if folder else None, grace_s=grace_s, **given)
    raise ConfigError(
        f"a study is kept in a folder, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE; got '{where}'."
    )


@contextmanager
def _explaining(where: str) -> Iterator[None]:
    """What keeps a storage from being opened is the user's to mend. Raises `ConfigError`."""
    database = require("sqlalchemy", extra="tuning", purpose="tuning").exc.SQLAlchemyError
    try:
        yield
    except (OSError, ValueError, RuntimeError, database) as error:
        if isinstance(error, TidewrightError):
            raise
        said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise ConfigError(
            f"no study can be kept in '{hide_password(where)}': {said}. Look at it, or name another place."
        ) from error


def is_begun(where: str | Path, *, name: str) -> bool:
    """Whether a study of that name with a trial is kept at an address. Raises what `open_store` does."""
    local = str(where).removeprefix(SQLITE)
    if "://" not in local and not Path(local).exists():
        return False
    store = open_store(where, name=name)
    try:
        return bool(store.trials())
    finally:
        store.close()


def hide_password(address: str) -> str:
    """An address as it may be shown.

    >>> hide_password("postgresql://me:secret@host/studies")
    'postgresql://me:***@host/studies'
    """
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", address)


def _in_folder(folder: Path, optuna: Any, given: dict[str, Any]) -> TrialStore:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"'{folder}' is a file. Give a folder for the study.")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "journal.log"
    backend = optuna.storages.journal.JournalFileBackend(str(log), lock_obj=JournalLock(log))
    storage = optuna.storages.JournalStorage(backend)
    names = [study.study_name for study in storage.get_all_studies()]
    if names and given["name"] not in names:
        raise ConfigError(
            f"the folder '{folder}' keeps the study '{names[0]}'; got '{given['name']}'. Give another folder."
        )
    holds = FileHolds(folder / "alive")
    return TrialStore(storage, claiming=FileLock(folder / "claim.lock"), holds=holds, folder=folder / "trials", **given)


def _in_sqlite(address: str, folder: Path | None, optuna: Any, given: dict[str, Any]) -> TrialStore:
    file = Path(address.removeprefix(SQLITE))
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(file.name + ".d") / given["name"]
    lock = FileLock(file.with_name(file.name + ".lock"))
    with lock:  # its tables are made once
        database = optuna.storages.RDBStorage(address, engine_kwargs={"connect_args": {"timeout": WAIT_S}})
    require("sqlalchemy", extra="tuning", purpose="tuning").event.listen(database.engine, "connect", _quicken)
    database.engine.dispose()  # so that each connection is made anew
    storage = cached(database, optuna)
    holds = FileHolds(beside / "alive")
    return TrialStore(
        storage,
        claiming=lock,
        holds=holds,
        folder=folder or beside / "trials",
        closing=database.engine.dispose,
        **given,
    )


def _quicken(connection: Any, record: object) -> None:
    """Fewer waits for the disk: a killed process loses nothing all the same, a power cut may lose the last trials."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def cached(database: Any, optuna: Any) -> Any:
    """A database's storage that reads no ended trial twice."""
    return optuna.storages.get_storage(database)
