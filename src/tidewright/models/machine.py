"""`Machine`: a kernel machine as flat arrays, evaluated without the library that learned it.

C rows, F features, V vectors, Q outputs.
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


@dataclass(frozen=True, eq=False)
class Machine:
    """A sum of Gaussian bumps: bias + sum over vectors of weight * exp(-gamma |z - vector|^2).

    z is a row less `centre` [F], over `scale` [F]; a missing feature counts as its centre. `vectors` [V, F] stand in
    the same units, `weights` [V, Q] and `bias` [Q] in units of the answer, `gamma` [1] is above 0.
    """

    vectors: Doubles
    weights: Doubles
    bias: Doubles
    gamma: Doubles
    centre: Doubles
    scale: Doubles

    def predict(self, inputs: Singles, *, width: int) -> Doubles:
        """The outputs [C, Q] of rows [C, F]; NaN is a missing value."""
        if inputs.dtype != np.float32:
            raise ConfigError(f"a machine reads float32 values; got {inputs.dtype}. Cast the inputs first.")
        assert width == len(self.bias)
        from tidewright.models.machine_kernel import respond

        rows, units = np.ascontiguousarray(inputs), (self.centre, self.scale)
        return np.asarray(respond(rows, units, self.vectors, self.weights, self.bias, float(self.gamma[0])))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def machine_from_tensors(tensors: Mapping[str, npt.NDArray[Any]], *, n_features: int, width: int) -> Machine:
    """The machine of such arrays. Raises `BundleError` where they don't fit each other."""
    count = len(tensors["vectors"]) if "vectors" in tensors else 0
    shapes = {
        "vectors": (count, n_features),
        "weights": (count, width),
        "bias": (width,),
        "gamma": (1,),
        "centre": (n_features,),
        "scale": (n_features,),
    }
    for name, shape in shapes.items():
        given = tensors.get(name)
        if given is None or given.shape != shape or given.dtype != np.float64 or not np.isfinite(given).all():
            raise BundleError(
                f"the machine's array '{name}' should hold finite float64 of the shape {shape}. Train the model anew."
            )
    found = {name: np.ascontiguousarray(tensors[name]) for name in shapes}
    if not ((found["scale"] > 0).all() and found["gamma"][0] > 0):
        raise BundleError("the machine's scale and gamma are above 0. Train the model anew.")
    return Machine(**found)
