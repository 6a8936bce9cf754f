"""The trades of a backtest, from entry to exit: K trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidewright.portfolio.inputs import FloatArray, TimeArray

REASONS = ("exit", "stop", "target", "trailing", "time", "end")


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """K trades in the order in which they ended; every field is a read-only array [K].

    asset: its name. entered, left: the bars of its fills. entry_price, exit_price: what these were filled at. units:
    how many, below zero for a short position. profit: money after the costs of both fills. ended: "exit" (a signal),
    "stop", "target" (take-profit), "trailing", "time" (max_bars) or "end": still open at the last bar, valued at its
    close and charged with the costs of its entry alone.
    """

    asset: NDArray[np.str_]
    entered: TimeArray
    left: TimeArray
    entry_price: FloatArray
    exit_price: FloatArray
    units: FloatArray
    profit: FloatArray
    ended: NDArray[np.str_]

    def __post_init__(self) -> None:
        for name in _FIELDS:
            getattr(self, name).flags.writeable = False

    def __repr__(self) -> str:
        """How many in a line; `to_table` shows them."""
        closed = self.profit[self.ended != "end"]
        return (
            f"Trades({closed.size} ended with a profit of {closed.sum():,.2f} in all, {len(self) - closed.size} open)"
        )

    def __len__(self) -> int:
        return len(self.units)

    def to_table(self) -> Any:
        """A polars table with a row a trade and a column a field."""
        import polars as pl

        return pl.DataFrame({name: _readable(getattr(self, name)) for name in _FIELDS})

    def summary(self) -> dict[str, float]:
        """Counts and rates of the trades that ended: those still open are counted in `open` and nowhere else.

        `win_rate` is the share with a profit above zero, `profit_factor` what the winners made over what the others
        lost, `mean_profit` and `best` and `worst` are money; nan where there is nothing to count.
        """
        closed = self.profit[self.ended != "end"]
        gained, lost = float(closed[closed > 0.0].sum()), float(-closed[closed <= 0.0].sum())
        some = closed.size > 0
        return {
            "trades": float(closed.size),
            "open": float(len(self) - closed.size),
            "win_rate": float((closed > 0.0).mean()) if some else np.nan,
            "mean_profit": float(closed.mean()) if some else np.nan,
            "best": float(closed.max()) if some else np.nan,
            "worst": float(closed.min()) if some else np.nan,
            "profit_factor": gained / lost if lost > 0.0 else np.nan,
        }


_FIELDS = ("asset", "entered", "left", "entry_price", "exit_price", "units", "profit", "ended")


def _readable(values: NDArray[Any]) -> NDArray[Any]:
    """Times in a unit that polars has; names as they are."""
    return values.astype("datetime64[us]") if values.dtype.kind == "M" else values
