"""`Shape`: how wide a network's inputs and outputs are. It needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from tidewright.data.task import Task
from tidewright.features.windows import Windows


@dataclass(frozen=True, slots=True)
class Shape:
    """Lookback L, horizon H, how many past P, known K and static M features, and the quantile levels (Q).

    >>> Shape(lookback=8, horizon=2, past=0, known=3, static=0, quantiles=(0.5,)).inputs
    ('target', 'known')
    """

    lookback: int
    horizon: int
    past: int
    known: int
    static: int
    quantiles: tuple[float, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs that have a feature at least, in the order of `ForecastNet.forward`."""
        widths = {"target": 1, "past": self.past, "known": self.known, "static": self.static}
        return tuple(name for name, width in widths.items() if width)

    @property
    def median(self) -> int:
        """The place of the median among the quantiles."""
        return self.quantiles.index(0.5)


def shape_of(windows: Windows, task: Task) -> Shape:
    """The shape that a network needs to answer `task` on these windows."""
    return Shape(
        lookback=windows.lookback,
        horizon=windows.horizon,
        past=windows.past.shape[1],
        known=windows.known.shape[1],
        static=windows.static.shape[1],
        quantiles=tuple(task.quantiles),
    )
