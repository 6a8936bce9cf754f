"""The user's cache folder for what can be made again: verdicts on backends, and compiled networks.

It is XDG_CACHE_HOME/tidewright, or ~/.cache/tidewright. What lies there is believed only where nobody but its user can
have written it, for a compiled network is code.
"""

from __future__ import annotations

import os
import platform
import stat
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import get_ident

from tidewright.errors import BackendError
from tidewright.runtime import CPUINFO, read_cpu_flags

_PACKAGES = ("tidewright", "numpy", "onnxruntime", "torch", "numba")
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def find_cache() -> Path:
    """Where the cache is, or would be. Raises `BackendError` where its user has no home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given and Path(given).is_absolute():
        return Path(given) / "tidewright"
    try:
        return Path.home() / ".cache" / "tidewright"
    except RuntimeError as error:
        raise BackendError("this user has no home, so nothing is kept. Set XDG_CACHE_HOME to a folder.") from error


def open_folder(name: str) -> Path:
    """A folder of the cache, made where it is missing, that nobody else can write to. Raises `BackendError`."""
    folder = find_cache() / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise BackendError(f"the cache folder {folder} can't be made: {error.strerror}.") from error
    if not stat.S_ISDIR(found.st_mode) or not _is_own(found):
        raise BackendError(f"the cache folder {folder} can be written to by others. Delete it; it is made again.")
    return folder


def read_own(path: Path, *, most: int) -> bytes:
    """The bytes of a plain file that nobody else can have written, `most` of them at most. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or not _is_own(found):
            raise PermissionError(0, "it is no plain file that its user alone can write to", str(path))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(0, f"it has more than {most} bytes", str(path))
    return content


def write_own(path: Path, content: bytes) -> None:
    """Writes a file in one step, readable for its user alone. Raises `OSError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(part, path)


@cache
def describe_machine() -> dict[str, str]:
    """What a measurement or a compiled network is good for: the processor, the system and the versions."""
    flags = " ".join(sorted(read_cpu_flags()))
    told = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cpu": _name_processor(),
        "flags": blake2b(flags.encode(), digest_size=6).hexdigest(),
        "cores": str(os.cpu_count()),
    }
    for package in _PACKAGES:
        try:
            told[package] = version(package)
        except PackageNotFoundError:
            told[package] = "none"
    return told


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.getuid() and not found.st_mode & _OTHERS


def _name_processor() -> str:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "CPU part"))]
    return names[0] if names else platform.processor()
