"""`Nodes`: nodes and constants of an ONNX graph as they are added."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper, numpy_helper


@dataclass(frozen=True, eq=False, slots=True)
class Nodes:
    """Nodes and constants by the names that they are given here."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    prefix: str = ""

    def add(self, kind: str, *given: str, outputs: int = 1, name: str = "", domain: str = "", **options: Any) -> str:
        """Adds a node; gives the name of its first output."""
        names = [name or f"{self.prefix}v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(given), names, domain=domain, **options))
        return names[0]

    def constant(self, value: npt.NDArray[Any]) -> str:
        """Adds a constant."""
        name = f"{self.prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def ints(self, numbers: list[int]) -> str:
        """Adds a constant vector of int64."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def number(self, value: float) -> str:
        """Adds a float64 constant."""
        return self.constant(np.array(value, dtype=np.float64))
