"""Numbered versions of a `ModelConfig`'s network in one folder, the current one by name, and the way back.

folder/v0001/manifest.json, weights.safetensors     written whole or not at all, never changed again
folder/current.json                                 which version is in use
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tidewright.errors import BundleError, ConfigError
from tidewright.models.classic import ModelConfig
from tidewright.models.torch.classic import ClassicNet, build_classic
from tidewright.optional import require
from tidewright.registry.verify import WEIGHTS, read_verified, seal
from tidewright.registry.write import write_folder
from tidewright.training.checkpoint import write_whole

FORMAT = "tidewright-version-1"
CURRENT = "current.json"
_NAME = re.compile(r"v(\d{4,})")


@dataclass(frozen=True, eq=False, slots=True)
class ModelVersion:
    """A version that was loaded: its number, what the network is, the network in evaluation mode, and what was said
    of it when it was saved."""

    number: int
    config: ModelConfig
    model: ClassicNet
    notes: Mapping[str, Any]


def save_version(model: ClassicNet, folder: str | Path, *, notes: Mapping[str, Any] | None = None) -> int:
    """Writes the next version, makes it the current one and gives its number. `notes` is plain data to keep with it."""
    folder = Path(folder)
    safetensors = require("safetensors.torch", extra="nets", purpose="saving a model")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    check_notes(notes)
    manifest = {"format": FORMAT, "config": model.config.to_dict(), "notes": dict(notes or {})}
    files = seal(manifest, {WEIGHTS: safetensors.save(tensors)})
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        number = max(list_versions(folder), default=0) + 1
        write_folder(files, _place(folder, number))
        _point(folder, number)
    return number


def check_notes(notes: Mapping[str, Any] | None) -> None:
    """Raises `ConfigError` for notes that are no plain data."""
    try:
        json.dumps(dict(notes or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"notes are plain data, text and numbers by name: {error}. Leave the rest out.") from error


def load_version(folder: str | Path, *, number: int | None = None) -> ModelVersion:
    """A version, by default the current one, verified. Raises `TamperedError` and `BundleError`."""
    folder = Path(folder)
    number = current_version(folder) if number is None else number
    _check_there(folder, number)
    content = read_verified(_place(folder, number), names=(WEIGHTS,))
    manifest = content.manifest
    if manifest.get("format") != FORMAT:
        raise BundleError(f"'{_place(folder, number)}' has the format {manifest.get('format')!r}; {FORMAT} is read.")
    config = ModelConfig(**manifest["config"])
    model = build_classic(config)
    _fill(model, content.files[WEIGHTS], place=_place(folder, number))
    return ModelVersion(number, config, model.eval(), manifest["notes"])


def list_versions(folder: str | Path) -> tuple[int, ...]:
    """The numbers of the versions that are there, ascending."""
    found = [_NAME.fullmatch(path.name) for path in Path(folder).glob("v*")]
    return tuple(sorted(int(match.group(1)) for match in found if match))


def current_version(folder: str | Path) -> int:
    """The number of the version in use. Raises `BundleError` where none was saved."""
    path = Path(folder) / CURRENT
    if not path.is_file():
        raise BundleError(f"no version was saved in '{folder}'. Save one with save_version.")
    try:
        return int(json.loads(path.read_text())["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"'{path}' was changed by hand: {error}. Name a version, or roll back to one.") from error


def rollback(folder: str | Path, *, number: int | None = None) -> int:
    """Makes an older version the current one: the one before the current, or the one named. No version is deleted."""
    folder = Path(folder)
    with _alone(folder):
        if number is None:
            current = current_version(folder)
            older = [one for one in list_versions(folder) if one < current]
            if not older:
                raise ConfigError(f"version {current} of '{folder}' is the oldest; there is none to roll back to.")
            number = older[-1]
        _check_there(folder, number)
        _point(folder, number)
    return number


def _place(folder: Path, number: int) -> Path:
    return folder / f"v{number:04d}"


def _point(folder: Path, number: int) -> None:
    write_whole(folder / CURRENT, json.dumps({"version": number}).encode())


def _check_there(folder: Path, number: int) -> None:
    there = list_versions(folder)
    if number not in there:
        raise ConfigError(f"there is no version {number} in '{folder}'. There are: {', '.join(map(str, there))}.")


def _fill(model: ClassicNet, content: bytes, *, place: Path) -> None:
    """Puts weights of just the right names, shapes and types into a network."""
    tensors = require("safetensors.torch", extra="nets", purpose="loading a model").load(content)
    wanted = {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}
    if {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} != wanted:
        raise BundleError(f"the weights in '{place}' are not those of its config. Save the model again.")
    with torch.no_grad():
        model.load_state_dict(tensors)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other process writes versions here."""
    if not folder.is_dir():
        raise BundleError(f"no version was saved in '{folder}'. Save one with save_version.")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # falls with the process, so a kill leaves it free
        yield
