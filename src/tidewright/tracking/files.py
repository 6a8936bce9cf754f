"""Whole files and locks: a kill or a full disk leaves the old file or the new one, and a lock ends with its
owner."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_whole(path: Path, content: str | bytes) -> None:
    """Replaces a file by the text (UTF-8) or the bytes, or leaves it as it was. Raises `OSError`."""
    part = None
    try:
        with NamedTemporaryFile("wb", dir=path.parent, prefix=".part-", delete=False) as file:
            part = Path(file.name)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        part = None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds the lock of that file; `flock`, so that a killed owner holds
    nothing."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
