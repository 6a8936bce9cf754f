"""`Line`: a linear map of features as flat arrays, evaluated without the library that learned it.

C rows, F features, Q outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.errors import BundleError, ConfigError

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
REACH = 10.0  # deviations beyond which a feature counts as this far: a line has no bounds of its own


@dataclass(frozen=True, eq=False)
class Line:
    """bias + z weights, z being a row less `centre` [F], over `scale` [F], within ten; a missing feature is 0.

    `weights` [F, Q] and `bias` [Q] are in units of the answer.
    """

    weights: Doubles
    bias: Doubles
    centre: Doubles
    scale: Doubles

    def predict(self, inputs: Singles, *, width: int) -> Doubles:
        """The outputs [C, Q] of rows [C, F]; NaN is a missing value."""
        if inputs.dtype != np.float32:
            raise ConfigError(f"a line reads float32 values; got {inputs.dtype}. Cast the inputs first.")
        assert width == len(self.bias)
        from tidewright.models.machine_kernel import add_up

        return np.asarray(
            add_up(np.ascontiguousarray(inputs), (self.centre, self.scale), self.weights, self.bias, REACH)
        )

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def line_from_tensors(tensors: Mapping[str, npt.NDArray[Any]], *, n_features: int, width: int) -> Line:
    """The line of such arrays. Raises `BundleError` where they don't fit each other."""
    shapes = {
        "weights": (n_features, width),
        "bias": (width,),
        "centre": (n_features,),
        "scale": (n_features,),
    }
    for name, shape in shapes.items():
        given = tensors.get(name)
        if given is None or given.shape != shape or given.dtype != np.float64 or not np.isfinite(given).all():
            raise BundleError(
                f"the line's array '{name}' should hold finite float64 of the shape {shape}. Train the model anew."
            )
    if not (tensors["scale"] > 0).all():
        raise BundleError("the line's scale is above 0. Train the model anew.")
    return Line(**{name: np.ascontiguousarray(tensors[name]) for name in shapes})
