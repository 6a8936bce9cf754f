"""`Abreast`: one formula whose outputs are the steps of the horizon, for models of the strategy "multi".

N windows, H horizon, F features of a cell, A of them those of its window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.models.formula import Formula, read_formula


@dataclass(frozen=True, eq=False)
class Abreast:
    """A formula that sees a window's own features [A] and then, side by side, those of each step [H * (F - A)]."""

    formula: Formula
    shared: int
    horizon: int

    def predict(self, inputs: npt.NDArray[np.float32], *, width: int) -> npt.NDArray[np.float64]:
        """See `Formula.predict`; rows [N * H, F] stand by window, and within a window by step."""
        assert width == 1
        cells = inputs.reshape(-1, self.horizon, inputs.shape[1])
        steps = cells[:, :, self.shared :].reshape(len(cells), -1)
        rows = np.hstack([cells[:, 0, : self.shared], steps])
        return self.formula.predict(rows, width=self.horizon).reshape(-1, 1)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Formula.tensors`; `abreast_from_tensors` is the way back."""
        return self.formula.tensors()


def abreast_from_tensors(
    model: str, tensors: Mapping[str, npt.NDArray[Any]], *, horizon: int, shared: int, n_features: int
) -> Abreast:
    """The formula of a model of the catalog from its tensors. Raises `BundleError`."""
    wide = shared + horizon * (n_features - shared)
    return Abreast(read_formula(model, tensors, n_features=wide, width=horizon), shared, horizon)
