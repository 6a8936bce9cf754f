"""What the risk of assets and of a portfolio is: A assets, K portfolios or assets.

Value at risk and expected shortfall are losses: positive fractions of the value, over the horizon. A negative one is a
gain that is almost sure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from tidewright.portfolio.inputs import FloatArray
from tidewright.portfolio.show import show

if TYPE_CHECKING:
    import polars as pl


RiskMethod = Literal[
    "historical", "normal", "t", "cornish_fisher", "monte_carlo", "filtered_historical", "extreme_value"
]
HorizonBy = Literal["one bar", "blocks", "root of time", "simulation"]


@dataclass(frozen=True, slots=True, eq=False)
class Tails:
    """Value at risk and expected shortfall [K], and what there is to say about how they came about."""

    var: FloatArray
    es: FloatArray
    notes: tuple[str, ...] = ()


class Tail(Protocol):
    """One way from outcomes [n, A] to their tails."""

    def measure(self, outcomes: FloatArray, *, loadings: FloatArray | None = None, names: Sequence[str] = ()) -> Tails:
        """The tails of each asset, or of the portfolios whose weights are the columns of `loadings` [A, K].

        `names` are what errors call the columns.
        """
        ...

    def split(self, outcomes: FloatArray, *, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What a unit more of each asset adds to the portfolio's VaR and ES: two arrays [A]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PortfolioRisk:
    """The risk of weights [A] and its parts [A].

    `marginal_*` is what a unit more of the asset, paid from cash, would add. `component_*` is that times the weight:
    the components sum to the whole (Euler). `incremental_*` is the whole less what it would be with the asset's money
    in cash, None where it was not asked for.
    """

    weights: FloatArray
    var: float
    es: float
    marginal_var: FloatArray
    marginal_es: FloatArray
    component_var: FloatArray
    component_es: FloatArray
    incremental_var: FloatArray | None = None
    incremental_es: FloatArray | None = None

    def __post_init__(self) -> None:
        freeze_arrays(self)

    def __repr__(self) -> str:
        return show(self)


@dataclass(frozen=True, slots=True, eq=False)
class Risk:
    """Value at risk `var` [A] and expected shortfall `es` [A] of each asset over `horizon` bars, as positive losses.

    `bars` is how many bars of returns it was estimated on, `horizon_by` how the horizon was reached. `portfolio` is
    None where no weights came. `notes` tell what was chosen, what was estimated on the way, and what is only nearly so.
    """

    assets: tuple[str, ...]
    method: RiskMethod
    confidence: float
    horizon: int
    horizon_by: HorizonBy
    bars: int
    var: FloatArray
    es: FloatArray
    portfolio: PortfolioRisk | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze_arrays(self)

    def __repr__(self) -> str:
        return show(self, by_asset=("var", "es"))

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row an asset, with its part of the portfolio's risk where weights came."""
        import polars as pl

        columns = {"asset": self.assets, "var": self.var, "es": self.es}
        parts = self.portfolio
        if parts is not None:
            names = (
                "marginal_var",
                "marginal_es",
                "component_var",
                "component_es",
                "incremental_var",
                "incremental_es",
            )
            found = {"weight": parts.weights} | {name: getattr(parts, name) for name in names}
            columns |= {name: values for name, values in found.items() if values is not None}
        return pl.DataFrame(columns)

    def as_dict(self) -> Mapping[str, tuple[float, float]]:
        """Asset to value at risk and expected shortfall."""
        pairs = zip(self.var.tolist(), self.es.tolist(), strict=True)
        return dict(zip(self.assets, pairs, strict=True))


def freeze_arrays(record: object) -> None:
    """The arrays of a frozen record, which are its own, become read-only."""
    for one in fields(record):  # type: ignore[arg-type]  # records are dataclasses
        value = getattr(record, one.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False


def name_column(names: Sequence[str], column: int) -> str:
    """What an error calls a column."""
    return repr(names[column]) if column < len(names) else f"column {column}"
