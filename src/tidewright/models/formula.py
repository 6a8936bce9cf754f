"""`Formula`: what a learner of cells gives back, as arrays and nothing else.

C cells, F features, Q outputs. A formula needs no training library, is kept by a bundle as its tensors, is read again
by the reader of its model's name, and enters an ONNX graph by the adder of its class (registry/onnx_formulas).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

# `package.module:function(tensors, *, n_features, width)`, which raises `BundleError` for arrays that don't fit
FOREST = "tidewright.models.forest:forest_from_tensors"
READERS = {
    "lightgbm": FOREST,
    "xgboost": FOREST,
    "catboost": FOREST,
    "random_forest": FOREST,
    "extra_trees": FOREST,
    "svr": "tidewright.models.machine:machine_from_tensors",
    "elastic_net": "tidewright.models.line:line_from_tensors",
}


class Formula(Protocol):
    """A learned function of features."""

    def predict(self, inputs: npt.NDArray[np.float32], *, width: int) -> npt.NDArray[np.float64]:
        """The outputs [C, Q] of rows [C, F]; NaN is a missing value. A row alone gets what it gets among others."""
        ...

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Every learned number, by name."""
        ...


def read_formula(model: str, tensors: Mapping[str, npt.NDArray[Any]], *, n_features: int, width: int) -> Formula:
    """The formula of a model of the catalog from its tensors. Raises `BundleError`."""
    module, _, name = READERS[model].partition(":")
    formula: Formula = getattr(import_module(module), name)(tensors, n_features=n_features, width=width)
    return formula
