"""A folder written whole or not at all: a kill at any moment leaves the old version or the new one.

The files are written into a hidden folder beside the place, each is synced, and the folder is moved there in
one step; an older version changes places with it in one step (Linux renameat2) and is then deleted. What a
killed writer left behind is deleted by the next one: a live writer holds a lock (flock) on its hidden folder.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from tidewright.errors import BundleError

MARK = "manifest.json"  # a folder without it is no bundle, and is never replaced
_HERE, _NO_REPLACE, _EXCHANGE = -100, 1, 2  # AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE


def write_folder(files: Mapping[str, bytes], folder: Path, *, overwrite: bool = False) -> None:
    """Writes the files into `folder`, which appears or changes in one step.

    Raises `BundleError` where something stands there already (unless `overwrite`, which replaces bundles
    only) or the disk refuses; what stood there is whole then.
    """
    folder = Path(os.path.abspath(folder))
    _check_place(folder, overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent):
            delete_leftovers(folder)
            temporary = folder.parent / f".{folder.name}.{token_hex(8)}.partial"
            os.mkdir(temporary)
            handle = _lock(temporary)
        try:
            _fill(temporary, files=files, handle=handle)
            with _locked(folder.parent):
                _put(temporary, folder, overwrite=overwrite)
        finally:
            os.close(handle)
            shutil.rmtree(temporary, ignore_errors=True)  # the old version, or what could not be finished
    except OSError as error:
        raise BundleError(
            f"'{folder}' could not be written: {error.strerror or error}. What stood there before is unchanged."
        ) from error


def delete_leftovers(folder: Path) -> None:
    """Deletes what killed writers of this folder left beside it; folders of live writers are locked, and
    stay.
    """
    for path in folder.parent.glob(f".{_literal(folder.name)}.*.partial"):
        try:
            handle = _lock(path)
        except (BlockingIOError, FileNotFoundError, NotADirectoryError):
            continue
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _check_place(folder: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise BundleError(
            f"'{folder}' exists already. Give another folder, or overwrite=True to replace it in one step."
        )
    if folder.is_symlink() or not (folder / MARK).is_file():
        raise BundleError(f"'{folder}' is no bundle, so it is not replaced. Give another folder.")


def _fill(temporary: Path, *, files: Mapping[str, bytes], handle: int) -> None:
    for name, content in files.items():
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=handle)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    os.fsync(handle)


def _put(temporary: Path, folder: Path, *, overwrite: bool) -> None:
    """Moves the finished folder to its place, or exchanges it with the bundle that stands there."""
    _check_place(folder, overwrite=overwrite)  # another writer may have come first
    _rename(temporary, folder, flags=_EXCHANGE if folder.exists() else _NO_REPLACE)
    _sync(folder.parent)


def _rename(source: Path, target: Path, *, flags: int) -> None:
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        if flags == _EXCHANGE:
            raise OSError(errno.ENOSYS, "this system can't exchange two folders in one step; give a new folder")
        os.rename(source, target)
        return
    if renameat2(_HERE, os.fsencode(source), _HERE, os.fsencode(target), flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(folder: Path) -> int:
    """An open handle of a folder that this process alone holds locked. Raises `BlockingIOError` where another
    does.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits for the lock of a folder and holds it: the moments in which its entries change."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
