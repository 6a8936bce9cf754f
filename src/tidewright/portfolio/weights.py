"""The weights of a portfolio at one moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, read_assets


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """How much of the money each asset gets: `values` [A] are read-only fractions that sum to one.

    `method` says how they came about and `notes` what the reader should know. Values that are not finite or
    don't sum to one (to 1e-9) are an AllocationError.

    >>> Weights(assets=("A", "B"), values=np.array([0.25, 0.75]), method="by hand").as_dict()
    {'A': 0.25, 'B': 0.75}
    """

    assets: tuple[str, ...]
    values: FloatArray
    method: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1:
            raise AllocationError(f"weights have the shape {values.shape}. Give one number an asset.")
        names = read_assets(self.assets, columns=values.size)
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            raise AllocationError(
                f"the weight of {names[int(wrong[0])]!r} is {values[wrong[0]]}. Every weight is a finite fraction."
            )
        if abs(values.sum() - 1.0) > 1e-9:
            raise AllocationError(f"the weights sum to {values.sum():.6g}, not to one. Divide them by their sum.")
        values.flags.writeable = False
        object.__setattr__(self, "assets", names)
        object.__setattr__(self, "values", values)

    def as_dict(self) -> dict[str, float]:
        """Asset to weight, in the assets' order."""
        return dict(zip(self.assets, self.values.tolist(), strict=True))
