"""`ByStep`: a formula for each step of the horizon, for models of the strategy "direct".

C cells, F features, H horizon, Q outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.models.formula import Formula, read_formula


@dataclass(frozen=True, eq=False)
class ByStep:
    """Formulas of the steps 1 to H; `place` is that of the feature that says which step a row is of."""

    formulas: tuple[Formula, ...]
    place: int

    def predict(self, inputs: npt.NDArray[np.float32], *, width: int) -> npt.NDArray[np.float64]:
        """See `Formula.predict`; each row is answered by its step's own formula."""
        out = np.empty((len(inputs), width))
        for step, formula in enumerate(self.formulas, start=1):
            chosen = np.flatnonzero(inputs[:, self.place] == step)
            if chosen.size:
                out[chosen] = formula.predict(inputs[chosen], width=width)
        return out

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Formula.tensors`; `by_step_from_tensors` is the way back."""
        pairs = enumerate(self.formulas, start=1)
        return {f"{_start(step)}{name}": array for step, one in pairs for name, array in one.tensors().items()}


def by_step_from_tensors(
    model: str, tensors: Mapping[str, npt.NDArray[Any]], *, horizon: int, place: int, n_features: int, width: int
) -> ByStep:
    """The formulas of a model of the catalog from their tensors. Raises `BundleError`."""
    formulas = []
    for step in range(1, horizon + 1):
        start = _start(step)
        own = {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}
        formulas.append(read_formula(model, own, n_features=n_features, width=width))
    return ByStep(tuple(formulas), place)


def _start(step: int) -> str:
    return f"step{step}."
