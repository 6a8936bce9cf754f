"""`EnsembleFitted`: several fitted models as one, each asked about its own part of what the ensemble sees.

N windows, L lookback, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.fitted import Fitted
from tidewright.models.specs.ensemble import Ensemble, Member


@dataclass(frozen=True, eq=False)
class EnsembleFitted:
    """The weighted mean of the members' quantiles. A member whose own lookback holds no observed value is left out of
    that window, and the weights of the others are raised to sum to 1.
    """

    spec: Ensemble
    task: Task
    view: View
    members: tuple[Fitted, ...]
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`."""
        total = np.zeros((len(windows), self.task.horizon, len(self.task.quantiles)))
        shares = np.zeros(len(windows))
        for part, fitted in zip(self.spec.members, self.members, strict=True):
            own = narrow(windows, part)
            rows = np.flatnonzero(sees_any(own))
            if len(rows):
                total[rows] += part.weight * fitted.predict(own.subset(rows))
                shares[rows] += part.weight
        with np.errstate(invalid="ignore"):  # nobody sees anything: NaN
            return np.asarray(total / shares[:, None, None])

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: those of each member, under its place."""
        return {
            f"{prefix(place)}{name}": array
            for place, fitted in enumerate(self.members)
            for name, array in fitted.tensors().items()
        }


def prefix(place: int) -> str:
    """How the names of a member's tensors begin."""
    return f"member{place}."


def narrow(windows: Windows, part: Member) -> Windows:
    """The same windows as a member sees them."""
    return replace(
        windows,
        past=_columns(windows.past, part.past),
        known=_columns(windows.known, part.known),
        static=_columns(windows.static, part.static),
        lookback=part.view.lookback,
    )


def sees_any(windows: Windows) -> npt.NDArray[np.bool_]:
    """Whether each window [N] holds an observed value in its lookback."""
    count = np.concatenate([[0], np.cumsum(~np.isnan(windows.y))])
    first = np.maximum(windows.rows + 1 - windows.lookback, windows.offsets[windows.series])
    return np.asarray(count[windows.rows + 1] > count[first])


def _columns(table: npt.NDArray[np.float32], places: tuple[int, ...]) -> npt.NDArray[np.float32]:
    whole = places == tuple(range(table.shape[1]))
    return table if whole else np.ascontiguousarray(table[:, list(places)])
