"""Studies as they are kept, read by somebody who only looks: no lock is taken, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidewright.errors import ConfigError
from tidewright.optional import require
from tidewright.tuning.open_store import POSTGRES, SQLITE, hide_password
from tidewright.tuning.store import TrialStore
from tidewright.tuning.trial import Trial, TrialState

LOG = "journal.log"
DEPTH = 4  # folders below the one that is looked at


@dataclass(frozen=True, slots=True)
class Address:
    """Where a study is kept, and its name there."""

    where: str
    name: str

    def __str__(self) -> str:
        place = self.where if "://" in self.where else Path(self.where).name
        return self.name if self.name == place else f"{self.name} in {hide_password(place)}"


@dataclass(frozen=True, eq=False, slots=True)
class Kept:
    """A study's trials so far, what it searches (`facts`: model, metric, data ...) and how long it took in seconds."""

    name: str
    facts: Mapping[str, str]
    trials: tuple[Trial, ...]
    spent: float

    @property
    def metric(self) -> str:
        """What is made good; empty where nobody said so."""
        return self.facts.get("metric", "")

    @property
    def running(self) -> tuple[Trial, ...]:
        """The trials that have not ended; where nobody is at work any more, those that were interrupted."""
        return tuple(trial for trial in self.trials if trial.state is TrialState.RUNNING)


def list_studies(where: str | Path) -> tuple[Address, ...]:
    """The studies at an address (see `open_store`), or in the folders below one. Raises `ConfigError` where there is
    nothing."""
    text = str(where)
    if "://" in text:
        return tuple(Address(text, name) for name in _names(text))
    folder = Path(text)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise ConfigError(f"'{folder}' is {what}. Give a folder of runs or studies, sqlite:///FILE or postgresql://...")
    logs = (log for depth in range(DEPTH) for log in sorted(folder.glob("*/" * depth + LOG)))
    places = [str(log.parent) for log in logs]
    return tuple(Address(place, name) for place in places for name in _names(place))


def read_kept(address: Address) -> Kept:
    """A study as it is now. Raises `ConfigError` where it is gone."""
    with _opened(address.where) as storage:
        if address.name not in [study.study_name for study in storage.get_all_studies()]:
            raise ConfigError(f"there is no study '{address.name}' at '{hide_password(address.where)}' any more.")
        store = TrialStore(storage, name=address.name)
        return Kept(address.name, store.facts(), store.trials(), store.spent())


def _names(where: str) -> list[str]:
    with _opened(where) as storage:
        return [study.study_name for study in storage.get_all_studies()]


@contextmanager
def _opened(where: str) -> Iterator[Any]:
    """The storage at an address, which must be there; no connection to a database is left open."""
    storage = _open(where)
    try:
        yield storage
    finally:
        if "://" in where:
            storage.remove_session()
            storage.engine.dispose()


def _open(where: str) -> Any:
    optuna = require("optuna", extra="tuning", purpose="studies that are kept")
    if "://" not in where:
        backend = optuna.storages.journal.JournalFileBackend(str(Path(where) / LOG))
        return optuna.storages.JournalStorage(backend)
    if where.startswith(SQLITE) and not Path(where.removeprefix(SQLITE)).is_file():
        raise ConfigError(f"there is no file '{where.removeprefix(SQLITE)}'. Give that of studies that were made.")
    if where.startswith(POSTGRES):
        require("psycopg", extra="postgres", purpose="a study on PostgreSQL")
        where = f"postgresql+psycopg://{where.removeprefix(POSTGRES)}"
    elif not where.startswith(SQLITE):
        raise ConfigError(f"studies are kept in a folder, sqlite:///FILE or postgresql://...; got '{where}'.")
    sqlalchemy = require("sqlalchemy", extra="tuning", purpose="studies that are kept")
    try:
        return optuna.storages.RDBStorage(where, skip_table_creation=True)
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        line = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"'{hide_password(where)}' can't be read: {line}. Give the address of studies.") from error
