"""The weights of a portfolio at one moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, read_assets
from tidewright.portfolio.labels import align
from tidewright.portfolio.show import show

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """How much of the money each asset gets: `values` [A] are read-only fractions that sum to `net`.

    `method` says how they came about and `notes` what the reader should know. A value below zero is a short
    position. `net` is one where all the money is invested, less where a part stays in cash, more where some is
    borrowed, zero for as much short as long. Values that are not finite or don't sum to it (to 1e-9) are an
    AllocationError.

    >>> Weights(assets=("A", "B"), values=np.array([0.25, 0.75]), method="by hand").as_dict()
    {'A': 0.25, 'B': 0.75}
    >>> hedged = Weights(assets=("A", "B"), values=np.array([0.7, -0.3]), method="by hand", net=0.4)
    >>> round(hedged.cash, 6), hedged.gross
    (0.6, 1.0)
    """

    assets: tuple[str, ...]
    values: FloatArray
    method: str
    notes: tuple[str, ...] = ()
    net: float = 1.0

    def __post_init__(self) -> None:
        values = np.array(align(self.values, assets=self.assets, noun="weights"), dtype=np.float64)
        if values.ndim != 1:
            raise AllocationError(f"weights have the shape {values.shape}. Give one number an asset.")
        names = read_assets(self.assets, columns=values.size)
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            raise AllocationError(
                f"the weight of {names[int(wrong[0])]!r} is {values[wrong[0]]}. Every weight is a finite fraction."
            )
        self._check_sum(float(values.sum()))
        values.flags.writeable = False
        object.__setattr__(self, "assets", names)
        object.__setattr__(self, "values", values)

    def __repr__(self) -> str:
        return show(self, by_asset=("values",))

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row an asset."""
        import polars as pl

        return pl.DataFrame({"asset": self.assets, "weight": self.values})

    def _check_sum(self, total: float) -> None:
        if not math.isfinite(self.net):
            raise AllocationError(f"net is {self.net}; it is the finite sum of the weights, one without cash.")
        if abs(total - self.net) > 1e-9:
            named = "one" if self.net == 1.0 else f"the net of {self.net:g}"
            raise AllocationError(
                f"the weights sum to {total:.6g}, not to {named}. Divide them by their sum, or pass net={total:.6g} "
                "where the rest is cash."
            )

    @property
    def cash(self) -> float:
        """The share of the money that stays in cash; below zero it is borrowed."""
        return 1.0 - self.net

    @property
    def gross(self) -> float:
        """The leverage: the sum of the weights' sizes, long and short alike."""
        return float(np.abs(self.values).sum())

    def as_dict(self) -> dict[str, float]:
        """Asset to weight, in the assets' order."""
        return dict(zip(self.assets, self.values.tolist(), strict=True))
