"""A training run on disk: one safetensors file, replaced whole; a kill leaves the old one or the new one."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tidewright.errors import ConfigError, FitError
from tidewright.optional import require

FORMAT = "tidewright-checkpoint-1"
Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: epochs done, the lowest validation loss, the loss that patience counts from,
    how many epochs it has waited, why it stopped (empty: it hasn't) and one record an epoch."""

    epoch: int = 0
    best: float = inf
    reference: float = inf
    waited: int = 0
    stopped: str = ""
    history: tuple[Mapping[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The one file of a run; `key` names what is learned from what, and no other run may go on with it."""

    path: Path
    key: str

    def save(self, progress: Progress, tensors: Tensors) -> None:
        """Replaces the file: temporary file, fsync, rename, fsync of the folder."""
        safetensors = require("safetensors.torch", extra="nets", purpose="a checkpoint")
        head = {"format": FORMAT, "key": self.key, "progress": json.dumps(asdict(progress))}
        write_whole(self.path, safetensors.save(tensors, metadata=head))

    def load(self) -> tuple[Progress, Tensors] | None:
        """What was saved last; None before the first epoch's end. Raises `FitError` and `ConfigError`."""
        if not self.path.exists():
            return None
        safetensors = require("safetensors", extra="nets", purpose="a checkpoint")
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                head = file.metadata() or {}
                names = list(file.keys())
                tensors = {name: file.get_tensor(name).clone() for name in names}
        except safetensors.SafetensorError as error:
            raise FitError(f"the checkpoint {self.path} can't be read: {error}. Remove it to start anew.") from error
        if head.get("format") != FORMAT:
            raise FitError(f"{self.path} is not a checkpoint of this version. Remove it to start anew.")
        if head["key"] != self.key:
            raise ConfigError(
                f"the checkpoint {self.path} belongs to another run (other data, model, view or training options). "
                "Give the same ones, name another file, or remove this one to start anew."
            )
        return read_progress(head["progress"]), tensors


def saved_history(path: Path) -> tuple[Mapping[str, Any], ...]:
    """One record an epoch of the run that a checkpoint keeps, without its tensors."""
    safetensors = require("safetensors", extra="nets", purpose="a checkpoint")
    with safetensors.safe_open(path, framework="pt") as file:
        return read_progress((file.metadata() or {})["progress"]).history


@contextmanager
def hold_checkpoint(path: Path | None, key: str) -> Iterator[Checkpoint | None]:
    """The checkpoint at a path, held by this process alone. Raises `ConfigError` when another holds it."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # falls with the process, so a kill leaves it free
        except BlockingIOError as error:
            raise ConfigError(f"another run is writing the checkpoint {path}. Name another file, or wait.") from error
        yield Checkpoint(path, key)


def read_progress(text: str) -> Progress:
    """The record that was saved. A deadline ended that call and not the run: it goes on."""
    saved = json.loads(text)
    history = [dict(record) for record in saved.pop("history")]
    if saved["stopped"] == "deadline":
        saved["stopped"] = ""
        history[-1]["stopped"] = ""
    return Progress(**saved, history=tuple(history))


def pack_state(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """Weights, buffers and the optimiser's state by name."""
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    state = optimizer.state_dict()["state"]
    return weights | {
        f"optimizer.{place}.{name}": tensor
        for place, values in state.items()
        for name, tensor in values.items()
        if isinstance(tensor, Tensor)
    }


def unpack_state(tensors: Tensors, *, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Puts back what `pack_state` took."""
    load_whole(network, pick(tensors, "network."))
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in pick(tensors, "optimizer.").items():
        place, _, what = name.partition(".")
        weight = weights[int(place)]
        alike = tensor.shape == weight.shape  # else it is a count of steps
        state.setdefault(int(place), {})[what] = part_like(tensor, weight) if alike else tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_whole(network: torch.nn.Module, tensors: Tensors) -> None:
    """Puts whole weights and buffers into a network that may hold a part of them."""
    own = network.state_dict()
    network.load_state_dict({name: part_like(tensor, own[name]) for name, tensor in tensors.items()})


def pick(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def whole(tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors with their parts in all processes put together; every process must ask."""
    given: Mapping[str, Any] = tensors
    names = sorted(given)  # the same order everywhere: each is an exchange
    return {name: given[name].full_tensor() if is_part(given[name]) else given[name] for name in names}


def part_like(tensor: Tensor, example: Tensor) -> Tensor:
    """This process's part of a whole tensor, cut as the example is; the whole one if the example is."""
    if not is_part(example):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    placed: Any = example
    return distribute_tensor(tensor, placed.device_mesh, placed.placements, src_data_rank=None)


def is_part(tensor: Any) -> bool:
    """Whether it is a process's part of a larger tensor (a DTensor, whose module takes long to import)."""
    return hasattr(tensor, "full_tensor")


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file's content at once, for every reader and any crash."""
    temporary = path.with_name(path.name + ".new")  # one writer: the lock is held
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
