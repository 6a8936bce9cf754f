"""The one door to weights: `allocate`, a method by name with everything that it may heed. T bars, A assets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from tidewright.catalog import explain_unknown
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.allocate.catalog import RULES, find_options
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.labels import name_assets
from tidewright.portfolio.weights import Weights

if TYPE_CHECKING:
    from tidewright.portfolio.costs import Costs
    from tidewright.portfolio.limits import Limits
    from tidewright.portfolio.optimise.read import Held
    from tidewright.portfolio.optimise.views import Views

_PLAIN = ("returns", "assets", "times")
_KEPT = ("limits", "previous")  # what weights that know no limits are moved by
_SHARED = ("covariance", "limits", "previous", "costs", "views", "risk_free")


def allocate(
    returns: ArrayLike | None,
    /,
    *,
    assets: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    method: str = "hrp",
    covariance: str | Covariance | None = None,
    limits: Limits | None = None,
    previous: Held | None = None,
    costs: Costs | None = None,
    views: Views | None = None,
    risk_free: float = 0.0,
    **options: Any,
) -> Weights:
    """Weights of the assets by a method of `RULES`, from simple returns [T, A] known at the moment of the decision.

    `assets` name the columns; a pandas or polars table names them itself.
    `covariance` is a method of `COVARIANCES` or a `Covariance` (None: the method's own), `limits` what the portfolio
    may not do, `previous` the weights held now, `costs` what trading costs, `views` what is expected, `risk_free` a
    period's return without risk. `options` are the method's own, such as `budgets`. Optimisers keep limits themselves;
    the weights of the other methods are moved to the nearest that keep them, with a note. What the method can't heed
    is an AllocationError that says so, never passed over.

    >>> import numpy as np
    >>> rng = np.random.default_rng(3)
    >>> allocate(rng.normal(0, [0.01, 0.02], (500, 2)), assets=("calm", "wild")).values.round(2)
    array([0.8, 0.2])
    """
    names = name_assets(returns, assets)
    rule: Callable[..., Weights] = RULES.load(method)
    known = [name for name in find_options(rule) if name not in _PLAIN]
    for option in options:
        if option not in known:
            raise ConfigError(explain_unknown(f"option of {method}", option, sorted({*known, *_SHARED})))
    asked = {"covariance": covariance, "limits": limits, "previous": previous, "costs": costs, "views": views}
    given = {name: value for name, value in asked.items() if value is not None}
    if risk_free != 0.0:
        given["risk_free"] = risk_free
    if limits is not None and "limits" not in known:
        given = {name: value for name, value in given.items() if name not in _KEPT}
    _refuse_unheeded(given, method=method, known=known)
    weights = rule(returns, assets=names, times=times, **given, **options)
    if limits is None or "limits" in known:
        return weights
    from tidewright.portfolio.optimise.nearest import move_within

    return move_within(weights, returns, limits=limits, times=times, covariance=covariance, previous=previous)


def _refuse_unheeded(given: dict[str, Any], *, method: str, known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            able = [other for other in RULES if name in find_options(RULES.load(other))]
            remedy = f"These do: {', '.join(able)}." if able else "No method does."
            raise AllocationError(f"the method {method} does not heed {name}. Leave it out, or take another. {remedy}")
