"""The allocation rules by name, and what each of them is. T bars, A assets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from numpy.typing import ArrayLike

from tidewright.catalog import Catalog, Entry
from tidewright.portfolio.weights import Weights

_HOME = "tidewright.portfolio.allocate"


class Rule(Protocol):
    """What every allocation rule is: past returns [T, A] in, weights of the same assets out.

    A rule may have keyword options besides, such as `covariance`, each with a default.
    """

    def __call__(self, returns: ArrayLike, /, *, assets: Sequence[str], times: ArrayLike | None = None) -> Weights: ...


RULES = Catalog(
    "allocation rule",
    [
        Entry("hrp", f"{_HOME}.hrp:hrp_weights", "hierarchical risk parity, Lopez de Prado 2016", "hierarchy"),
        Entry("herc", f"{_HOME}.herc:herc_weights", "hierarchical equal risk contribution, Raffinot 2018", "hierarchy"),
        Entry("nco", f"{_HOME}.nco:nco_weights", "nested clustered optimisation, Lopez de Prado 2019", "hierarchy"),
        Entry("risk_parity", f"{_HOME}.budget:risk_parity_weights", "every asset carries the same risk", "risk"),
        Entry("risk_budget", f"{_HOME}.budget:risk_budget_weights", "every asset carries its budget of risk", "risk"),
        Entry("inverse_variance", f"{_HOME}.floors:inverse_variance_weights", "one over the variance", "floor"),
        Entry("equal", f"{_HOME}.floors:equal_weights", "the same weight for every asset", "floor"),
    ],
)
