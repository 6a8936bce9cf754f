"""`TorchFitted`: a learned network, and how it is rebuilt from its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tidewright.data.task import Task
from tidewright.errors import BundleError, DataError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.spec import ModelSpec
from tidewright.models.torch.heads import StudentHead, head_of
from tidewright.models.torch.lengths import Lengths, fits, free_network
from tidewright.models.torch.network import ForecastNet, build
from tidewright.models.torch.shape import Shape, shape_of
from tidewright.runtime import apply_threads

CHUNK = 1024  # windows answered at once: bounds the memory of a recurrent network's states
CELLS = 4_000_000  # numbers that a head holds at once for all quantiles of a chunk


@dataclass(frozen=True, eq=False)
class TorchFitted:
    """A learned network. It is put into evaluation mode and never changes again: any thread may ask it.

    With `lengths` it answers windows of so many steps too, the shortest and the longest; see `lengths.py`.
    """

    spec: ModelSpec
    task: Task
    view: View
    shape: Shape
    network: ForecastNet
    history: tuple[Mapping[str, Any], ...] = field(default=())
    lengths: Lengths | None = None

    def __post_init__(self) -> None:
        self.network.eval().requires_grad_(False)
        if isinstance(self.network.head, StudentHead):
            self.network.head.settle()

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`. One thread, so that equal windows give equal bits. Raises `DataError`."""
        shape = replace(self.shape, lookback=windows.lookback) if fits(self.lengths, windows.lookback) else self.shape
        check_windows(windows, shape, spec=self.spec, task=self.task)
        return ask_network(self.network if shape == self.shape else self.free, windows)

    @cached_property
    def free(self) -> ForecastNet:
        """The network for windows of any of its `lengths`."""
        assert self.lengths is not None, "a network that was given none has one length"
        return free_network(self.network, self.lengths[1])

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: copies of the network's parameters and buffers."""
        return {name: tensor.numpy().copy() for name, tensor in self.network.state_dict().items()}


def ask_network(network: ForecastNet, windows: Windows) -> Doubles:
    """What a network says of windows of its shape [N, H, Q], a bounded number at a time, on one thread."""
    shape = network.shape
    out = np.empty((len(windows), shape.horizon, len(shape.quantiles)))
    cells = network.head.cells * out[:1].size if len(out) else 1
    size = min(CHUNK, max(CELLS // cells, 1))
    with apply_threads(1), torch.inference_mode():
        for start in range(0, len(windows), size):
            batch = windows.batch(slice(start, start + size))
            inputs = {name: torch.from_numpy(getattr(batch, name)) for name in shape.inputs}
            out[start : start + size] = network(**inputs).numpy()
    return out


def from_tensors(
    spec: ModelSpec,
    *,
    task: Task,
    view: View,
    shape: Shape,
    tensors: Mapping[str, npt.NDArray[Any]],
    history: tuple[Mapping[str, Any], ...] = (),
) -> TorchFitted:
    """The model whose `tensors()` these are. Raises `BundleError` for a name, shape or type that differs."""
    if head_of(tensors)[0] == "position":
        raise BundleError("these are the weights of positions and no forecast. Use positions_from_tensors.")
    network = network_from_tensors(spec, view=view, shape=shape, tensors=tensors)
    return TorchFitted(spec, task, view, shape, network, history)


def network_from_tensors(
    spec: ModelSpec, *, view: View, shape: Shape, tensors: Mapping[str, npt.NDArray[Any]]
) -> ForecastNet:
    """The network of any head whose weights and buffers these are. Raises `BundleError` as `from_tensors` does."""
    head, components = head_of(tensors)
    with torch.device("meta"):  # no memory, and no draw from anybody's generator
        network = build(spec, shape, head=head, components=components, relative=view.relative)
    wanted = network.state_dict()
    if set(wanted) != set(tensors):
        missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
        raise BundleError(
            f"these are not the weights of this {spec.name}: missing {missing or 'none'}, "
            f"unknown {extra or 'none'}. Give the spec and the shape that the weights were learned with."
        )
    for name, tensor in wanted.items():
        given = torch.from_numpy(np.array(tensors[name]))
        if given.shape != tensor.shape or given.dtype != tensor.dtype:
            raise BundleError(
                f"{name} of {spec.name} should be {tuple(tensor.shape)} {tensor.dtype}; got {tuple(given.shape)} "
                f"{given.dtype}. Give the spec and the shape that the weights were learned with."
            )
        wanted[name] = given
    network.load_state_dict(wanted, assign=True)
    return network


def check_windows(windows: Windows, shape: Shape, *, spec: ModelSpec, task: Task) -> None:
    """Raises `DataError` for windows unlike those a model of that shape learned from."""
    found = shape_of(windows, task)
    if found != shape:
        raise DataError(f"{spec.name} learned from windows of {shape}; got {found}. Give the view it has.")
