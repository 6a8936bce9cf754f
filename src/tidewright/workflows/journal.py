"""`Journal`: what a search has done, one line a deed, so that a run that is killed goes on where it was."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidewright.errors import ConfigError

Entry = Mapping[str, Any]
NAME, LOCK = "journal.jsonl", ".lock"


class Journal:
    """The deeds of one run, each kept before the next begins. A line that a kill tore is none."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._path = folder / NAME
        self._entries = list(self._read())

    @property
    def at(self) -> float:
        """How many seconds the run had taken when its last deed was done; 0 for a new one."""
        return float(self._entries[-1]["at"]) if self._entries else 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, kind: str, key: str) -> Entry | None:
        """The deed of that kind and key, if it was done."""
        return next((one for one in self._entries if one["kind"] == kind and one["key"] == key), None)

    def add(self, kind: str, key: str, *, at: float, **facts: Any) -> Entry:
        """Keeps a deed, on the disk before this returns."""
        entry = json.loads(json.dumps({"kind": kind, "key": key, **facts, "at": at}))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._entries.append(entry)
        return dict(entry)

    def _read(self) -> Iterator[Entry]:
        """The whole lines; what stands after them is cut off."""
        if not self._path.exists():
            return
        content, end = self._path.read_bytes(), 0
        for line in content.splitlines(keepends=True):
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                break
            end += len(line)
            yield entry
        if end < len(content):
            with self._path.open("rb+") as file:
                file.truncate(end)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """The folder of a search, held by this process alone. Raises `ConfigError` where another one goes on with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # falls with the process
        except BlockingIOError as error:
            raise ConfigError(f"the run {folder.parent.name} goes on in another process. Wait for it.") from error
        yield
