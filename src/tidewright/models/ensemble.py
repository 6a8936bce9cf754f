"""`EnsembleFitted`: several fitted models as one, each asked about its own part of what the ensemble sees.

N windows, L lookback, H horizon, Q quantiles, K members.
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
    """The weighted mean, or the median, of the members' quantiles. A member whose own lookback holds no observed value
    is left out of that window, and the weights of the others are raised to sum to 1.
    """

    spec: Ensemble
    task: Task
    view: View
    members: tuple[Fitted, ...]
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`."""
        said, seen = self._ask(windows)
        if self.spec.combine == "median":
            return take_median(said, seen)
        weights = np.array([part.weights(self.task.horizon) for part in self.spec.members])
        return take_mean(said, seen, weights=weights)

    def _ask(self, windows: Windows) -> tuple[Doubles, npt.NDArray[np.bool_]]:
        """What every member says [K, N, H, Q], NaN where it sees nothing, and where it sees something [K, N]."""
        shape = (len(windows), self.task.horizon, len(self.task.quantiles))
        said, seen = np.full((len(self.members), *shape), np.nan), np.zeros((len(self.members), shape[0]), np.bool_)
        for place, (part, fitted) in enumerate(zip(self.spec.members, self.members, strict=True)):
            own = narrow(windows, part)
            seen[place] = sees_any(own)
            rows = np.flatnonzero(seen[place])
            if len(rows):
                said[place, rows] = fitted.predict(own.subset(rows))
        return said, seen

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: those of each member, under its place."""
        return {
            f"{prefix(place)}{name}": array
            for place, fitted in enumerate(self.members)
            for name, array in fitted.tensors().items()
        }


def take_mean(said: Doubles, seen: npt.NDArray[np.bool_], *, weights: Doubles) -> Doubles:
    """The mean [N, H, Q] of what members say [K, N, H, Q] where they see something [K, N], by `weights` [K, H].

    >>> said, seen = np.array([2.0, 5.0]).reshape(2, 1, 1, 1), np.array([[True], [True]])
    >>> take_mean(said, seen, weights=np.array([[0.75], [0.25]])).ravel()
    array([2.75])
    """
    total, shares = np.zeros(said.shape[1:]), np.zeros(said.shape[1:3])
    for one, rows, weight in zip(said, seen, weights, strict=True):
        total[rows] += weight[:, None] * one[rows]
        shares[rows] += weight
    with np.errstate(invalid="ignore"):  # nobody sees anything: NaN
        return np.asarray(total / shares[:, :, None])


def take_median(said: Doubles, seen: npt.NDArray[np.bool_]) -> Doubles:
    """The middle [N, H, Q] of what members say [K, N, H, Q], the mean of both middle ones where their number is even.

    >>> take_median(np.array([1.0, 9.0, 2.0]).reshape(3, 1, 1, 1), np.array([[True], [True], [True]])).ravel()
    array([2.])
    """
    in_order = np.sort(said, axis=0)  # NaN, of those who see nothing, stand last
    count = seen.sum(axis=0)
    rows = np.arange(len(count))
    low, high = in_order[np.maximum(count - 1, 0) // 2, rows], in_order[np.minimum(count // 2, len(said) - 1), rows]
    return np.asarray((low + high) / 2.0)


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
