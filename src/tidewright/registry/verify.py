"""The check before any parser sees a byte: every file of a bundle is read once, and must be what the manifest
says.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tidewright.errors import BundleError, TamperedError

MANIFEST, GRAPH, WEIGHTS, EXAMPLE, CARD = (
    "manifest.json",
    "model.onnx",
    "weights.safetensors",
    "example.safetensors",
    "card.md",
)
REFERENCE = "reference.safetensors"
BUNDLE = (GRAPH, WEIGHTS, EXAMPLE, CARD, REFERENCE)
MEGABYTE = 1 << 20
LARGEST = {
    MANIFEST: MEGABYTE,
    CARD: MEGABYTE,
    EXAMPLE: 64 * MEGABYTE,
    REFERENCE: 64 * MEGABYTE,
    GRAPH: 2047 * MEGABYTE,
    WEIGHTS: 4096 * MEGABYTE,
}
_TORCH = "an archive of torch, which holds code or pickles and is never loaded"
_PICKLE = "a pickle, which runs what its writer wished and is never loaded"
_ALONE = "a graph alone, which CompiledInferenceLayer and InferenceEngine open"
CODE = {".pt2": _TORCH, ".ts": _TORCH, ".pt": _TORCH, ".pth": _TORCH, ".pkl": _PICKLE, ".pickle": _PICKLE}
CODE |= {".joblib": _PICKLE, ".zip": "an archive, whose names can lead outside its folder: unpack it yourself"}
_HEAD, _TAIL = b'{\n "digest": "', b'",\n'
_DIGITS = 64
_TRIES = 10


@dataclass(frozen=True, eq=False, slots=True)
class Content:
    """The verified bytes of a bundle: its digest, what its manifest says, its files, and the manifest's own bytes."""

    digest: str
    manifest: Mapping[str, Any]
    files: Mapping[str, bytes]
    raw: bytes


def seal(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with the manifest added: their sizes and sha256, and in its first field the sha256 of all
    that follows.
    """
    listed = {name: {"sha256": sha256(content).hexdigest(), "size": len(content)} for name, content in files.items()}
    text = json.dumps({**manifest, "files": listed}, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    body = text.removeprefix("{\n").encode()
    sealed = {**files, MANIFEST: _HEAD + sha256(body).hexdigest().encode() + _TAIL + body}
    for name, content in sealed.items():
        if len(content) > LARGEST[name]:
            raise BundleError(
                f"{name} would have {len(content)} bytes; {LARGEST[name]} are allowed. Make the model smaller."
            )
    return sealed


def read_verified(folder: Path, *, names: tuple[str, ...] = BUNDLE, spare: tuple[str, ...] = (REFERENCE,)) -> Content:
    """The content of a folder that holds a manifest and just the named files, of which the `spare` ones may be left
    out. Raises `BundleError` where there is none, `TamperedError` naming the file.
    """
    for _ in range(_TRIES):
        handle = _open_folder(folder)
        try:
            return _read(folder, handle=handle, wanted=names, spare=spare)
        except (TamperedError, FileNotFoundError) as error:
            if not _replaced(folder, handle=handle):  # a writer may have put a new version there meanwhile
                if isinstance(error, TamperedError):
                    raise
                raise TamperedError(f"'{folder}': a file vanished while it was read: {error.filename}.") from error
        finally:
            os.close(handle)
    raise BundleError(f"'{folder}' was replaced {_TRIES} times while it was read. Try again.")


def read_digest(folder: Path) -> str:
    """The digest that a bundle's manifest has at its head; neither it nor any other byte is verified."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            head = file.read(len(_HEAD) + _DIGITS)
    except OSError as error:
        raise BundleError(f"there is no bundle at '{folder}': {error.strerror}.") from error
    if not head.startswith(_HEAD):
        raise TamperedError(f"{MANIFEST} in '{folder}' was changed: it does not begin with its digest.")
    return head[len(_HEAD) :].decode("ascii", "replace")


def _open_folder(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        why = {**CODE, ".onnx": _ALONE}.get(folder.suffix) if folder.is_file() else None
        raise BundleError(
            f"'{folder}' is {why}, and no bundle. Give the folder that save_bundle wrote."
            if why
            else f"there is no bundle at '{folder}': {error.strerror}. Give the folder that was written."
        ) from error


def _replaced(folder: Path, *, handle: int) -> bool:
    try:
        now = os.stat(folder)
    except FileNotFoundError:
        return False
    then = os.fstat(handle)
    return (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino)


def _read(folder: Path, *, handle: int, wanted: tuple[str, ...], spare: tuple[str, ...]) -> Content:
    names = set(os.listdir(handle))
    if MANIFEST not in names:
        raise TamperedError(f"'{folder}' has no {MANIFEST}: it is no bundle, or was damaged. Export the model again.")
    raw = _read_file(MANIFEST, handle=handle, size=None)
    digest = _check_manifest(raw)
    manifest = _parse(raw)
    listed = _listed(manifest, wanted, spare=spare)
    strangers, missing = names - set(listed) - {MANIFEST}, set(listed) - names
    if strangers or missing:
        what = f"'{min(strangers)}' is not in the manifest" if strangers else f"'{min(missing)}' is missing"
        raise TamperedError(f"'{folder}' was changed: {what}. Export the model again, or restore the folder.")
    files = {name: _check_file(name, handle=handle, entry=entry) for name, entry in listed.items()}
    return Content(digest, manifest, files, raw)


def _check_manifest(raw: bytes) -> str:
    """The digest at the head, which is the sha256 of all that follows it."""
    start = len(_HEAD)
    digest, body = raw[start : start + _DIGITS], raw[start + _DIGITS + len(_TAIL) :]
    framed = raw.startswith(_HEAD) and raw[start + _DIGITS : start + _DIGITS + len(_TAIL)] == _TAIL
    if not framed or sha256(body).hexdigest().encode() != digest:
        raise TamperedError(f"{MANIFEST} was changed: its digest is not that of its content. Export the model again.")
    return digest.decode()


def _parse(raw: bytes) -> Mapping[str, Any]:
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise TamperedError(f"{MANIFEST} is no JSON: {error}. Export the model again.") from error
    if not isinstance(manifest, dict):
        raise TamperedError(f"{MANIFEST} is no JSON object. Export the model again.")
    return manifest


def _listed(
    manifest: Mapping[str, Any], wanted: tuple[str, ...], *, spare: tuple[str, ...]
) -> Mapping[str, Mapping[str, Any]]:
    """The manifest's list of files: just the known names, so that none can point elsewhere."""
    files = manifest.get("files")
    if not isinstance(files, dict) or not set(wanted) - set(spare) <= set(files) <= set(wanted):
        raise TamperedError(f"{MANIFEST} does not list just {', '.join(wanted)}. Export the model again.")
    for name, entry in files.items():
        size = entry.get("size") if isinstance(entry, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST[name]:
            raise TamperedError(f"{MANIFEST} says that {name} has {size!r} bytes; at most {LARGEST[name]} are allowed.")
    return files


def _check_file(name: str, *, handle: int, entry: Mapping[str, Any]) -> bytes:
    content = _read_file(name, handle=handle, size=int(entry["size"]))
    if sha256(content).hexdigest() != entry.get("sha256"):
        raise TamperedError(f"{name} was changed: its sha256 is not the manifest's. Export the model again.")
    return content


def _read_file(name: str, *, handle: int, size: int | None) -> bytes:
    """The bytes of a plain file of its own, of the size that it should have."""
    found = os.stat(name, dir_fd=handle, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        kind = "a hard link" if stat.S_ISREG(found.st_mode) else "no plain file (a link, a folder or a device)"
        raise TamperedError(f"{name} is {kind}. A bundle holds plain files only: copy it with its content.")
    if found.st_size > LARGEST[name] or (size is not None and found.st_size != size):
        wanted = f"{size} bytes by the manifest" if size is not None else f"at most {LARGEST[name]}"
        raise TamperedError(f"{name} was changed: it has {found.st_size} bytes, {wanted}. Export the model again.")
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(found.st_size + 1)
    if len(content) != found.st_size:
        raise TamperedError(f"{name} changed while it was read. Try again.")
    return content
