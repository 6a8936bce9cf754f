"""Numbered versions in one folder: which there are, which is pointed at, and one writer at a time.

folder/v0001/manifest.json ...     written whole or not at all, never changed again; without its manifest it is none
folder/current.json                what is in use, replaced as a whole
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidewright.checks import check_whole
from tidewright.errors import BundleError, ConfigError
from tidewright.registry.write import MARK
from tidewright.tracking.files import write_whole

CURRENT = "current.json"
_NAME = re.compile(r"v(\d{4,})")


def list_numbers(folder: Path) -> tuple[int, ...]:
    """The numbers of the versions that are there, ascending."""
    return tuple(number for number, path in _taken(folder) if (path / MARK).is_file())


def next_number(folder: Path) -> int:
    """A number above every one that was taken, by a version or by anything else."""
    return max((number for number, _ in _taken(folder)), default=0) + 1


def place_of(folder: Path, number: int) -> Path:
    """The folder of a version."""
    return folder / f"v{number:04d}"


def check_number(folder: Path, number: int) -> None:
    """Raises `ConfigError` where there is no such version."""
    check_whole("a version", number)
    there = list_numbers(folder)
    if number not in there:
        raise ConfigError(f"there is no version {number} in '{folder}'. There are: {', '.join(map(str, there))}.")


def write_pointer(folder: Path, told: Mapping[str, Any]) -> None:
    """Replaces what is in use, at once for every reader and any crash."""
    write_whole(folder / CURRENT, json.dumps(told, indent=1, allow_nan=False) + "\n")


def read_pointer(folder: Path) -> dict[str, Any]:
    """What is in use. Raises `BundleError` where nothing was written, or something else."""
    path = folder / CURRENT
    if not path.is_file():
        raise BundleError(f"no version was saved in '{folder}'. Save one first.")
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleError(explain_changed(path, error)) from error
    if not isinstance(told, dict):
        raise BundleError(explain_changed(path, "no JSON object"))
    return told


def explain_changed(path: Path, why: object) -> str:
    """What is said of a pointer that can't be read."""
    return f"'{path}' was changed by hand: {why}. Name a version, or roll back to one."


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits until no other process writes versions here."""
    if not folder.is_dir():
        raise BundleError(f"no version was saved in '{folder}'. Save one first.")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # falls with the process, so a kill leaves it free
        yield


def _taken(folder: Path) -> list[tuple[int, Path]]:
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("v*"))
    return sorted((int(match.group(1)), path) for match, path in found if match)
