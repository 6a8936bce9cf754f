"""The optimiser's door: `optimise` gives weights with what was reached, and by which method. T bars, A assets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from numpy.typing import ArrayLike

from tidewright.catalog import Catalog, Entry, explain_unknown
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.limits import Limits
from tidewright.portfolio.optimise.few_names import solve_few
from tidewright.portfolio.optimise.problem import Problem
from tidewright.portfolio.optimise.read import CostBasis, Held, check_expected, read_problem
from tidewright.portfolio.optimise.solve import Solved
from tidewright.portfolio.optimise.views import Views
from tidewright.portfolio.show import show
from tidewright.portfolio.weights import Weights

_HOME = "tidewright.portfolio.optimise"

METHODS = Catalog(
    "optimiser",
    [
        Entry("min_variance", f"{_HOME}.goals:min_variance", "variance a period", "risk"),
        Entry("min_cvar", f"{_HOME}.tail:min_cvar", "expected shortfall a period", "cost"),
        Entry("mean_cvar", f"{_HOME}.tail:mean_cvar", "expected shortfall a period", "return"),
        Entry("max_sharpe", f"{_HOME}.goals:max_sharpe", "Sharpe ratio a period", "return"),
        Entry("max_utility", f"{_HOME}.goals:max_utility", "mean-variance utility a period", "return"),
        Entry("target_return", f"{_HOME}.goals:reach_return", "variance a period", "return"),
        Entry("target_risk", f"{_HOME}.goals:reach_risk", "expected return over cash's a period", "return"),
    ],
)
_NOTHING = 1e-3  # of the money
TAILS = ("min_cvar", "mean_cvar")  # they weigh scenarios
# what a kind of method has no use for, and refuses
_UNHEEDED = {
    "risk": ("costs", "views", "risk_free", "expected"),
    "cost": ("views", "risk_free", "expected"),
    "return": (),
}


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """Weights and what they reach: the `objective` (what it is stands in `meaning`), computed from the weights.

    `gap` is the relative distance of the solver's two objectives, `status` how it ended ("Solved" or "AlmostSolved",
    the latter noted), `excess` the most that any limit is broken by.
    """

    weights: Weights
    objective: float
    meaning: str
    gap: float
    status: str
    iterations: int
    excess: float

    def __repr__(self) -> str:
        return show(self)


def optimise(
    returns: ArrayLike | None,
    /,
    *,
    assets: Sequence[str] | None = None,
    method: str = "min_variance",
    times: ArrayLike | None = None,
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    basis: CostBasis | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
    expected: ArrayLike | None = None,
    **options: Any,
) -> Optimum:
    """The best weights by a method of `METHODS`, within every limit.

    `returns` [T, A] are simple returns (None where a `Covariance` and `expected` say all that the method needs).
    `expected` [A] are expected returns a period, the sample's means where there are none, or what `views` make of the
    equilibrium. Costs of going from `previous` to the weights are in the objective, see `CostBasis`. Options: target
    (target_return, target_risk, mean_cvar: a period), risk_aversion (max_utility), confidence (min_cvar, mean_cvar).
    Limits that can't be kept together, a risk-free rate that nothing beats, and weights that nothing bounds are
    AllocationErrors in words.

    >>> import numpy as np
    >>> rng = np.random.default_rng(3)
    >>> found = optimise(rng.normal(0, [0.01, 0.02], (500, 2)), assets=("calm", "wild"))
    >>> found.weights.values.round(2), found.meaning, found.status
    (array([0.81, 0.19]), 'variance a period', 'Solved')
    """
    entry = METHODS[method]
    _refuse_unheeded(entry, costs=costs, views=views, expected=expected, risk_free=risk_free or None)
    problem = read_problem(
        returns,
        assets=assets,
        times=times,
        covariance=covariance,
        limits=limits,
        previous=previous,
        costs=costs,
        basis=basis,
        views=views,
        risk_free=risk_free,
        expected=expected,
    )
    if method in TAILS and covariance is not None and views is None and not _weighs_covariance(problem):
        raise AllocationError(
            f"{method} weighs scenarios: a covariance is for a limit on tracking error, or impact. Leave it out."
        )
    if entry.kind == "return":
        check_expected(problem, method=method)
    return _record(problem, solve_few(problem, _fill(entry, options=options)), entry=entry)


def _weighs_covariance(problem: Problem) -> bool:
    return problem.impact is not None or any(limit.kind == "tracking_error" for limit in problem.convex)


def _refuse_unheeded(entry: Entry, **given: Any) -> None:
    for name in _UNHEEDED[entry.kind]:
        if given[name] is not None:
            able = [one for one in METHODS if name not in _UNHEEDED[METHODS[one].kind]]
            raise AllocationError(f"{entry.name} has no use for {name}. Leave it out, or take {' or '.join(able)}.")


def _fill(entry: Entry, *, options: dict[str, Any]) -> Callable[..., Solved]:
    """The method with its own options; unknown ones and missing ones are told."""
    method: Callable[..., Solved] = entry.load()
    known = {name: one for name, one in signature(method).parameters.items() if name not in ("problem", "extra")}
    for option in options:
        if option not in known:
            raise ConfigError(explain_unknown(f"option of {entry.name}", option, known))
    for name, one in known.items():
        if one.default is one.empty and options.get(name) is None:
            raise AllocationError(f"{entry.name} needs {name}=, a number.")
    return partial(method, **options)


def _record(problem: Problem, solved: Solved, *, entry: Entry) -> Optimum:
    net = 1.0 if abs(solved.weights.sum() - 1.0) <= 1e-9 else float(solved.weights.sum())
    idle = float(abs(solved.weights).sum()) < _NOTHING
    empty = ("nothing is held: all of the money stays in cash, as the limits allow",) if idle else ()
    told = f"{entry.summary} {solved.value:.6g}, relative gap {solved.gap:.1e}"
    weights = Weights(
        assets=problem.assets,
        values=solved.weights,
        method=entry.name,
        notes=(*problem.notes, told, *solved.notes, *empty),
        net=net,
    )
    return Optimum(
        weights=weights,
        objective=solved.value,
        meaning=entry.summary,
        gap=solved.gap,
        status=solved.status,
        iterations=solved.iterations,
        excess=solved.excess,
    )
