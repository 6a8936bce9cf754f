"""The second level of a cache: answers in files that outlive the process.

A file's name is a digest of the bundle, the backend, the input's type, shape and bytes. It holds plain numbers after a
line of JSON, and a digest of both; one that does not agree with its digest is counted, deleted and made again.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from tidewright.checks import check_whole
from tidewright.errors import ConfigError
from tidewright.inference.private_folder import read_own, write_own
from tidewright.inference.session import Prediction

SUFFIX = ".answer"
_MAGIC = b"tidewright answer 1\n"
_DIGEST = 32
_ROOM = 0.9  # of the budget: what is left after answers were let go
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class DiskCounts(NamedTuple):
    """Answers found and not found on disk, files that were damaged, answers let go for age and for room, files that
    could not be written, and about how many bytes are there.
    """

    hits: int
    misses: int
    damaged: int
    expiries: int
    evictions: int
    unwritten: int
    bytes: int


class DiskLevel:
    """Answers in a folder, by input. Threads and processes may share it: a file is written in one step, and each of
    them lets the least recently used go where all together are over the budget that it was given.
    """

    def __init__(
        self, folder: Path, *, most_bytes: int, ttl_s: float | None, clock: Callable[[], float], salt: bytes
    ) -> None:
        check_whole("disk_bytes", most_bytes)
        _open_folder(folder)
        self._folder, self._salt = folder, blake2b(salt, digest_size=_DIGEST).digest()
        self._most, self._ttl_s, self._clock = most_bytes, ttl_s, clock
        self._lock = Lock()
        self._counts = DiskCounts(0, 0, 0, 0, 0, 0, sum(size for _, size, _ in self._scan()))
        self._trim()

    def find(self, data: bytes, form: tuple[Any, ...]) -> tuple[Prediction, float] | None:
        """The answer to an input and its age in seconds, or None."""
        path = self._place(data, form)
        try:
            content = read_own(path, most=self._most)
        except OSError:  # not there, or not ours to read
            self._add(misses=1)
            return None
        made = _unpack(content)
        if made is None:
            self._delete(path, size=len(content))
            self._add(misses=1, damaged=1)
            return None
        answer, written = made
        now = self._clock()
        if self._ttl_s is not None and now >= written + self._ttl_s:
            self._delete(path, size=len(content))
            self._add(misses=1, expiries=1)
            return None
        self._add(hits=1)
        _try(lambda: os.utime(path, (now, now)))
        return answer, max(now - written, 0.0)

    def keep(self, data: bytes, form: tuple[Any, ...], *, answer: Prediction) -> None:
        """Writes an answer, and lets others go if there is no room. A disk that is full or gone is counted, no more."""
        content = _pack(answer, written=self._clock())
        if len(content) > self._most:
            return
        path = self._place(data, form)
        try:
            write_own(path, content)
            os.utime(path, (self._clock(),) * 2)
        except OSError:
            self._add(unwritten=1)
            return
        self._add(bytes=len(content))
        if self._counts.bytes > self._most:
            self._trim()

    def counts(self) -> DiskCounts:
        """What it did so far."""
        return self._counts

    def clear(self) -> None:
        """Deletes every answer, of every session that shares the folder."""
        for path, size, _ in self._scan():
            self._delete(path, size=size)

    def _place(self, data: bytes, form: tuple[Any, ...]) -> Path:
        digest = blake2b(self._salt, digest_size=_DIGEST)
        digest.update(f"{form!r}\n".encode())
        digest.update(data)
        return self._folder / (digest.hexdigest() + SUFFIX)

    def _add(self, **more: int) -> None:
        with self._lock:
            self._counts = self._counts._replace(
                **{name: max(getattr(self._counts, name) + number, 0) for name, number in more.items()}
            )

    def _delete(self, path: Path, *, size: int) -> None:
        if _try(path.unlink):
            self._add(bytes=-size)

    def _trim(self) -> None:
        """Counts what is there, and lets the least recently used go down to nine tenths of the budget if it is more."""
        files = sorted(self._scan(), key=lambda file: file[2])
        total = sum(size for _, size, _ in files)
        evictions = 0
        if total > self._most:
            for path, size, _ in files:
                if total <= self._most * _ROOM:
                    break
                evictions += _try(path.unlink)
                total -= size
        with self._lock:
            self._counts = self._counts._replace(bytes=total, evictions=self._counts.evictions + evictions)

    def _scan(self) -> Iterator[tuple[Path, int, float]]:
        """Every answer's file, its bytes and when it was last used."""
        try:
            with os.scandir(self._folder) as found:
                names = [entry for entry in found if entry.name.endswith((SUFFIX, ".part"))]
        except OSError:
            return
        for entry in names:
            try:
                told = entry.stat(follow_symlinks=False)
            except OSError:  # another process let it go
                continue
            yield Path(entry.path), told.st_size, told.st_mtime


def _open_folder(folder: Path) -> None:
    """Makes it. Raises `ConfigError` where that fails, or others could write answers into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise ConfigError(f"the cache folder {folder} can't be made: {error.strerror}. Give another one.") from error
    if found.st_uid != os.getuid() or found.st_mode & _OTHERS:
        raise ConfigError(
            f"the cache folder {folder} can be written to by others, who could put answers there. Give one that is "
            "yours alone (chmod 700)."
        )


def _try(call: Callable[[], Any]) -> bool:
    """Whether it could be done."""
    try:
        call()
    except OSError:
        return False
    return True


def _pack(answer: Prediction, *, written: float) -> bytes:
    values = np.ascontiguousarray(answer.quantiles, np.float32)
    told = {"shape": values.shape, "latency_ms": answer.latency_ms, "backend": answer.backend, "median": answer.median}
    content = json.dumps({**told, "written": written}).encode() + b"\n" + values.astype("<f4").tobytes()
    return _MAGIC + blake2b(content, digest_size=_DIGEST).digest() + content


def _unpack(content: bytes) -> tuple[Prediction, float] | None:
    """The answer and when it was written; None where a byte is wrong."""
    head = len(_MAGIC) + _DIGEST
    rest = content[head:]
    if not content.startswith(_MAGIC) or blake2b(rest, digest_size=_DIGEST).digest() != content[len(_MAGIC) : head]:
        return None
    line, _, numbers = rest.partition(b"\n")
    told = json.loads(line)
    values = np.frombuffer(numbers, "<f4").astype(np.float32).reshape(told["shape"])
    values.setflags(write=False)
    return Prediction(values, told["latency_ms"], told["backend"], told["median"]), told["written"]
