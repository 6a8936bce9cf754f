"""`EnsembleFitted`: several fitted models as one, each asked about its own part of what the ensemble sees.

N windows, L lookback, H horizon, Q quantiles, K members.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Windows
from tidewright.models.fitted import Fitted
from tidewright.models.specs.ensemble import Ensemble, Member

Said = tuple[Doubles, npt.NDArray[np.bool_] | None]  # by a member [N, H, Q], and where it sees a value [N]: None, all
MOST_NUMBERS = 20_000_000  # of all members together that a median holds at once


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
        if self.spec.combine == "mean":
            weights = np.array([part.weights(self.task.horizon) for part in self.spec.members])
            return take_mean(self._ask(windows), weights=weights)
        numbers = len(self.members) * self.task.horizon * len(self.task.quantiles)  # a window
        parts = np.array_split(np.arange(len(windows)), max(1, len(windows) * numbers // MOST_NUMBERS))
        return np.concatenate([take_median(list(self._ask(windows.subset(rows)))) for rows in parts])

    def _ask(self, windows: Windows) -> Iterator[Said]:
        """What each member says, NaN where it sees nothing."""
        shape = (len(windows), self.task.horizon, len(self.task.quantiles))
        for part, fitted in zip(self.spec.members, self.members, strict=True):
            own = narrow(windows, part)
            rows = np.flatnonzero(sees_any(own))
            if len(rows) == len(windows):
                yield fitted.predict(own), None
                continue
            said, seen = np.full(shape, np.nan), np.zeros(len(windows), dtype=np.bool_)
            seen[rows] = True
            if len(rows):
                said[rows] = fitted.predict(own.subset(rows))
            yield said, seen

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: those of each member, under its place."""
        return {
            f"{prefix(place)}{name}": array
            for place, fitted in enumerate(self.members)
            for name, array in fitted.tensors().items()
        }


def take_mean(said: Iterable[Said], *, weights: Doubles) -> Doubles:
    """The mean [N, H, Q] of what members say, by `weights` [K, H]; one that sees nothing has no say there.

    >>> alone = [(np.full((1, 1, 1), value), None) for value in (2.0, 5.0)]
    >>> take_mean(alone, weights=np.array([[0.75], [0.25]])).ravel()
    array([2.75])
    """
    total: Any = 0.0
    shares: Any = 0.0
    for (one, seen), weight in zip(said, weights, strict=True):
        share = np.broadcast_to(weight[:, None], (len(one), len(weight), 1))
        if seen is None:
            total, shares = total + share * one, shares + share
            continue
        sees = seen[:, None, None]
        total, shares = total + np.where(sees, share * one, 0.0), shares + np.where(sees, share, 0.0)
    with np.errstate(invalid="ignore"):  # nobody sees anything: NaN
        return np.asarray(total / shares)


def take_median(said: Sequence[Said]) -> Doubles:
    """The middle [N, H, Q] of what members say, the mean of both middle ones where their number is even; one that sees
    nothing has no say there.

    >>> take_median([(np.full((1, 1, 1), value), None) for value in (1.0, 9.0, 2.0)]).ravel()
    array([2.])
    """
    in_order = np.sort(np.stack([one for one, _ in said]), axis=0)  # NaN, of those who see nothing, stand last
    count = sum(np.ones(len(one), np.int64) if seen is None else seen.astype(np.int64) for one, seen in said)
    rows = np.arange(in_order.shape[1])
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
