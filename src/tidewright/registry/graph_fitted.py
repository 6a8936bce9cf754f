"""A bundle's graph as a `Fitted`, so that it is scored as models are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Windows
from tidewright.models.spec import ModelSpec
from tidewright.registry.manifest import Manifest
from tidewright.registry.parity import open_graph, run_graph

CHUNK = 1024  # windows at once


@dataclass(frozen=True, eq=False)
class GraphFitted:
    """An ONNX graph of a manifest's model."""

    manifest: Manifest
    graph: bytes
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self.manifest.spec

    @property
    def task(self) -> Task:
        """What it answers."""
        return self.manifest.task

    @property
    def view(self) -> View:
        """What it sees."""
        return self.manifest.view

    @cached_property
    def _session(self) -> Any:
        return open_graph(self.graph)

    def predict(self, windows: Windows) -> npt.NDArray[np.float64]:
        """See `Fitted.predict`."""
        starts = range(0, len(windows), CHUNK)
        parts = [run_graph(self._session, windows.batch(slice(start, start + CHUNK))) for start in starts]
        return np.concatenate(parts).astype(np.float64)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """None: they are in the graph."""
        return {}
