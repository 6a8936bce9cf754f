"""Who works on a trial: a hold on its number that falls when its worker dies, whatever any clock says."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

WIDTH = 20  # bytes of a note, so that a later one replaces it whole


class Holds(Protocol):
    """The holds of this process on the trials of one study."""

    def take(self, number: int) -> bool:
        """Holds a trial; False while a living worker, of this process too, holds it."""
        ...

    def note(self, number: int, spent: float) -> None:
        """Keeps the seconds of the study's time at this sign of life."""
        ...

    def last(self, number: int) -> float:
        """What was noted last of a trial; 0 where nothing was."""
        ...

    def owns(self, number: int) -> bool:
        """Whether the hold is still this process's: a worker that nobody heard for long may have lost it."""
        ...

    def drop(self, number: int, *, ended: bool) -> None:
        """Lets a trial go; one that has `ended` is never taken again."""
        ...


class OwnHolds:
    """Holds in memory, of one process."""

    def __init__(self) -> None:
        self._held: set[int] = set()

    def take(self, number: int) -> bool:
        """See `Holds`."""
        if number in self._held:
            return False
        self._held.add(number)
        return True

    def note(self, number: int, spent: float) -> None:
        """See `Holds`."""

    def last(self, number: int) -> float:
        """See `Holds`."""
        return 0.0

    def owns(self, number: int) -> bool:
        """See `Holds`."""
        return number in self._held

    def drop(self, number: int, *, ended: bool) -> None:
        """See `Holds`."""
        self._held.discard(number)


class FileHolds:
    """A locked file a trial, in a folder of this machine: the system unlocks it when the process is gone."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._files = folder, dict[int, int]()

    def take(self, number: int) -> bool:
        """See `Holds`."""
        if number in self._files:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path(number), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._files[number] = file
        return True

    def note(self, number: int, spent: float) -> None:
        """See `Holds`."""
        if number in self._files:  # one that was let go may still be heard of
            os.pwrite(self._files[number], f"{spent:0{WIDTH}.6f}".encode(), 0)

    def last(self, number: int) -> float:
        """See `Holds`."""
        path = self._path(number)
        text = path.read_bytes() if path.exists() else b""
        return float(text) if len(text) == WIDTH else 0.0

    def owns(self, number: int) -> bool:
        """See `Holds`."""
        return number in self._files

    def drop(self, number: int, *, ended: bool) -> None:
        """See `Holds`."""
        if ended:
            self._path(number).unlink(missing_ok=True)
        os.close(self._files.pop(number))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}"


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """The only one, of all threads and processes of this machine, that has this file locked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class FileLock:
    """`lock_file` as one object that is entered again and again, by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._locked = lock_file(self._path)
        self._locked.__enter__()

    def __exit__(self, *error: object) -> None:
        self._locked.__exit__(None, None, None)


class JournalLock:
    """The lock of Optuna's journal, which a killed writer does not leave behind; half a line that it left is cut off.

    Optuna's own locks stay for 30 seconds, and a half line makes its journal unreadable.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, FileLock(path.with_name(path.name + ".lock"))

    def acquire(self) -> bool:
        """Waits for the lock."""
        self._lock.__enter__()
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if size and file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Lets the next one in."""
        self._lock.__exit__()
