"""Numbered versions of a `ModelConfig`'s network in one folder, the current one by name, and the way back.

folder/v0001/manifest.json, weights.safetensors     written whole or not at all, never changed again
folder/current.json                                 which version is in use
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tidewright.errors import BundleError, ConfigError
from tidewright.models.classic import ModelConfig
from tidewright.models.torch.classic import ClassicNet, build_classic
from tidewright.optional import require
from tidewright.registry.numbered import (
    CURRENT,
    alone,
    check_number,
    explain_changed,
    list_numbers,
    next_number,
    place_of,
    read_pointer,
    write_pointer,
)
from tidewright.registry.verify import WEIGHTS, read_verified, seal
from tidewright.registry.write import write_folder

FORMAT = "tidewright-version-1"


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
    with alone(folder):
        number = next_number(folder)
        write_folder(files, place_of(folder, number))
        write_pointer(folder, {"version": number})
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
    check_number(folder, number)
    content = read_verified(place_of(folder, number), names=(WEIGHTS,))
    manifest = content.manifest
    if manifest.get("format") != FORMAT:
        raise BundleError(f"'{place_of(folder, number)}' has the format {manifest.get('format')!r}; {FORMAT} is read.")
    config = ModelConfig(**manifest["config"])
    model = build_classic(config)
    _fill(model, content.files[WEIGHTS], place=place_of(folder, number))
    return ModelVersion(number, config, model.eval(), manifest["notes"])


def list_versions(folder: str | Path) -> tuple[int, ...]:
    """The numbers of the versions that are there, ascending."""
    return list_numbers(Path(folder))


def current_version(folder: str | Path) -> int:
    """The number of the version in use. Raises `BundleError` where none was saved."""
    told = read_pointer(Path(folder))
    try:
        return int(told["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(explain_changed(Path(folder) / CURRENT, error)) from error


def rollback(folder: str | Path, *, number: int | None = None) -> int:
    """Makes an older version the current one: the one before the current, or the one named. No version is deleted."""
    folder = Path(folder)
    with alone(folder):
        if number is None:
            current = current_version(folder)
            older = [one for one in list_numbers(folder) if one < current]
            if not older:
                raise ConfigError(f"version {current} of '{folder}' is the oldest; there is none to roll back to.")
            number = older[-1]
        check_number(folder, number)
        write_pointer(folder, {"version": number})
    return number


def _fill(model: ClassicNet, content: bytes, *, place: Path) -> None:
    """Puts weights of just the right names, shapes and types into a network."""
    tensors = require("safetensors.torch", extra="nets", purpose="loading a model").load(content)
    wanted = {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}
    if {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} != wanted:
        raise BundleError(f"the weights in '{place}' are not those of its config. Save the model again.")
    with torch.no_grad():
        model.load_state_dict(tensors)
