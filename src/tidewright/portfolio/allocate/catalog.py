"""The allocation rules by name, and what each of them is. T bars, A assets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, get_annotations, signature
from typing import Any, Protocol, get_args

from numpy.typing import ArrayLike

from tidewright.catalog import Catalog, Entry
from tidewright.portfolio.weights import Weights

_HOME = "tidewright.portfolio.allocate"
_OPTIMISE = "tidewright.portfolio.optimise.rules"


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
        Entry("min_variance", f"{_OPTIMISE}:min_variance_weights", "the least variance", "optimiser"),
        Entry("min_cvar", f"{_OPTIMISE}:min_cvar_weights", "the least expected shortfall", "optimiser"),
        Entry("mean_cvar", f"{_OPTIMISE}:mean_cvar_weights", "the least shortfall for a return", "optimiser"),
        Entry("max_sharpe", f"{_OPTIMISE}:max_sharpe_weights", "the highest Sharpe ratio", "optimiser"),
        Entry("max_utility", f"{_OPTIMISE}:max_utility_weights", "the highest mean-variance utility", "optimiser"),
        Entry("target_return", f"{_OPTIMISE}:target_return_weights", "the least risk for a return", "optimiser"),
        Entry("target_risk", f"{_OPTIMISE}:target_risk_weights", "the highest return for a risk", "optimiser"),
        Entry("black_litterman", f"{_OPTIMISE}:black_litterman_weights", "views on an equilibrium", "optimiser"),
        Entry("inverse_variance", f"{_HOME}.floors:inverse_variance_weights", "one over the variance", "floor"),
        Entry("equal", f"{_HOME}.floors:equal_weights", "the same weight for every asset", "floor"),
    ],
)


def find_options(rule: Callable[..., Any]) -> tuple[str, ...]:
    """What a rule takes by name, with what the record of its further keywords names (`**told: Unpack[Record]`)."""
    parameters = signature(rule).parameters.values()
    names = [one.name for one in parameters if one.kind is not Parameter.VAR_KEYWORD]
    if not any("Unpack" in str(one.annotation) for one in parameters):  # a user's own annotations are left unread
        return tuple(names)
    (record,) = get_args(get_annotations(rule, eval_str=True)["told"])
    return (*names, *record.__annotations__)
