"""Black and Litterman's views: what is expected beside the equilibrium, and how sure that is. K views, A assets.

Sources: He and Litterman 1999, The Intuition Behind Black-Litterman Model Portfolios; the mean's own uncertainty is tau
times the covariance, and the posterior covariance has it added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.inputs import FloatArray, read_assets, read_matrix
from tidewright.portfolio.labels import align
from tidewright.portfolio.show import show

if TYPE_CHECKING:  # it loads polars
    from tidewright.portfolio.forecasts.predictions import Predictions


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """K views on A assets: picks [K, A] @ returns are expected to be `values` [K], with errors of `variances` [K].

    All a period of the returns. A variance of zero is certainty; `variances` may be the errors' covariance [K, K]. The
    equilibrium is that of the `market` weights (asset to weight; None: all alike, noted) at a `risk_aversion` (2.5 is
    He and Litterman's), unless `prior` gives expected returns [A]. `tau` is how uncertain the equilibrium is, as a
    multiple of the covariance.
    """

    assets: tuple[str, ...]
    picks: FloatArray
    values: FloatArray
    variances: FloatArray
    market: Mapping[str, float] | None = None
    prior: ArrayLike | None = None
    risk_aversion: float = 2.5
    tau: float = 0.05

    def __post_init__(self) -> None:
        picks = np.zeros((0, len(self.assets))) if np.size(self.picks) == 0 else read_matrix(self.picks, noun="picks")
        names = read_assets(self.assets, columns=picks.shape[1])
        values, variances = np.array(self.values, dtype=np.float64).reshape(-1), _read_errors(self.variances)
        if not values.shape == variances.shape[:1] == (len(picks),):
            raise AllocationError(
                f"{len(picks)} rows of picks came with {values.size} values and {len(variances)} variances. Give one "
                "of each a view."
            )
        if not (np.isfinite(picks).all() and np.isfinite(values).all()):
            raise AllocationError("a view is not finite. Leave out what is not known.")
        for name in ("risk_aversion", "tau"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise AllocationError(f"{name} is {getattr(self, name)!r}; it is a finite number above 0.")
        for name, array in (("picks", picks), ("values", values), ("variances", variances)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "assets", names)

    def __repr__(self) -> str:
        return show(self)

    @classmethod
    def from_predictions(
        cls,
        predictions: Predictions,
        *,
        weight: float = 1.0,
        cutoff: np.datetime64 | None = None,
        correlation: ArrayLike | None = None,
        market: Mapping[str, float] | None = None,
        risk_aversion: float = 2.5,
        tau: float = 0.05,
    ) -> Views:
        """The forecasts of one cutoff (None: the newest) with their errors; see `Predictions.views` for `weight`.

        A forecast is of the sum of its steps, each taken for one period of the returns: picks are that many.
        """
        said = predictions.views(cutoff, weight=weight, correlation=correlation)
        return cls(
            assets=said.assets,
            picks=predictions.times.shape[1] * np.eye(len(said.assets)),
            values=said.expected,
            variances=said.covariance,
            market=market,
            risk_aversion=risk_aversion,
            tau=tau,
        )

    @classmethod
    def from_forecasts(
        cls,
        expected: ArrayLike,
        *,
        uncertainty: ArrayLike,
        assets: Sequence[str],
        market: Mapping[str, float] | None = None,
        risk_aversion: float = 2.5,
        tau: float = 0.05,
    ) -> Views:
        """One view an asset: a forecast return [A] with the standard deviation [A] of its error; NaN is no view.

        >>> views = Views.from_forecasts([0.01, float("nan")], uncertainty=[0.02, 0.02], assets=("A", "B"))
        >>> views.picks.tolist(), views.variances.round(6).tolist()
        ([[1.0, 0.0]], [0.0004])
        """
        names = read_assets(assets, columns=len(tuple(assets)))
        means, errors = (
            np.asarray(align(one, assets=names, noun=noun, missing=np.nan), dtype=np.float64)
            for one, noun in ((expected, "forecasts"), (uncertainty, "uncertainties"))
        )
        if means.shape != (len(names),) or errors.shape != means.shape:
            raise AllocationError(
                f"forecasts have the shapes {means.shape} and {errors.shape} for {len(names)} assets. Give one each."
            )
        there = ~np.isnan(means)
        below = np.flatnonzero(there & (errors < 0.0))
        if below.size:
            raise AllocationError(
                f"the uncertainty of {names[int(below[0])]!r} is {errors[below[0]]:g}. Pass the standard deviation "
                "of its error, at least 0."
            )
        return cls(
            assets=names,
            picks=np.eye(len(names))[there],
            values=means[there],
            variances=errors[there] ** 2,
            market=market,
            risk_aversion=risk_aversion,
            tau=tau,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What is expected after the views: `mean` [A] a period, the `covariance` of returns, and the `prior` [A]."""

    assets: tuple[str, ...]
    mean: FloatArray
    covariance: Covariance
    prior: FloatArray
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return show(self, by_asset=("mean", "prior"))


def black_litterman(views: Views, *, covariance: Covariance, risk_free: float = 0.0) -> Posterior:
    """Expected returns and covariance of the covariance's assets after the views.

    mean = prior + tau S P' (P tau S P' + Omega)^-1 (q - P prior); covariance = S + tau S - tau S P' (...)^-1 P tau S.
    Without views the mean is the prior's; with certain views P @ mean are their values.

    >>> alike = Covariance(values=np.diag([0.04, 0.04]), assets=("A", "B"), method="by hand")
    >>> sure = Views(("A", "B"), picks=[[1.0, -1.0]], values=[0.02], variances=[0.0])
    >>> black_litterman(sure, covariance=alike).mean.round(6).tolist()
    [0.06, 0.04]
    """
    names, matrix = covariance.assets, covariance.values
    picks = _order(views, names)
    prior, notes = _find_prior(views, names, matrix, risk_free=risk_free)
    spread = views.tau * matrix
    errors = views.variances if views.variances.ndim == 2 else np.diag(views.variances)
    inner = picks @ spread @ picks.T + errors
    try:
        gain = np.linalg.solve(inner, picks @ spread).T
    except np.linalg.LinAlgError:
        raise AllocationError(
            "two certain views are about the same portfolio. Leave one out, or give them variances."
        ) from None
    after = matrix + spread - gain @ (picks @ spread)
    kept = Covariance(
        values=(after + after.T) / 2.0,
        assets=names,
        method=f"{covariance.method}+views",
        notes=covariance.notes,
    )
    mean = prior + gain @ (views.values - picks @ prior)
    told = f"{len(views.values)} views on the equilibrium, tau {views.tau:g}, risk aversion {views.risk_aversion:g}"
    return Posterior(assets=names, mean=mean, covariance=kept, prior=prior, notes=(told, *notes))


def _read_errors(variances: ArrayLike) -> FloatArray:
    """Variances [K], or a covariance [K, K] without a direction of less than none."""
    errors = np.array(variances, dtype=np.float64)
    if errors.ndim == 2 and errors.shape[0] == errors.shape[1]:
        sound = np.isfinite(errors).all() and np.allclose(errors, errors.T)
        if not sound or np.linalg.eigvalsh(errors).min(initial=0.0) < -1e-12 * np.abs(errors).max(initial=0.0):
            raise AllocationError("the covariance of the views' errors is not finite, symmetric or positive. Mend it.")
        return errors
    errors = errors.reshape(-1)
    if not (errors >= 0.0).all():
        raise AllocationError("the variance of a view is below zero or missing. Leave out what is not known.")
    if np.isinf(errors).any():
        raise AllocationError("the variance of a view is infinite: it says nothing. Leave it out.")
    return errors


def _order(views: Views, names: tuple[str, ...]) -> FloatArray:
    """The picks with their columns as the covariance's assets stand; an asset without a view has zeros."""
    places = {name: place for place, name in enumerate(names)}
    picks = np.zeros((len(views.values), len(names)))
    for column, name in enumerate(views.assets):
        if name in places:
            picks[:, places[name]] = views.picks[:, column]
        elif views.picks[:, column].any():
            raise AllocationError(f"a view is about {name!r}, which is not among the assets. Leave it out.")
    return picks


def _find_prior(
    views: Views, names: tuple[str, ...], matrix: FloatArray, *, risk_free: float
) -> tuple[FloatArray, tuple[str, ...]]:
    """Expected returns without views: those given, or those at which the market's weights are the best ones."""
    if views.prior is not None:
        prior = np.array(align(views.prior, assets=views.assets, noun="the prior's returns"), dtype=np.float64)
        if prior.shape != (len(views.assets),) or not np.isfinite(prior).all():
            raise AllocationError(f"the prior has the shape {prior.shape}; give one finite return an asset.")
        given = dict(zip(views.assets, prior.tolist(), strict=True))
        missing = [name for name in names if name not in given]
        if missing:
            raise AllocationError(f"the prior has no return of {missing[0]!r}. Give one an asset.")
        return np.array([given[name] for name in names]), ("the prior is given",)
    if views.market is None:
        held, notes = (
            np.full(len(names), 1.0 / len(names)),
            ("no market weights given: the equilibrium is of equal ones",),
        )
    else:
        unknown = [name for name in views.market if name not in names]
        if unknown:
            raise AllocationError(f"the market holds {unknown[0]!r}, which is not among the assets. Leave it out.")
        total = float(sum(views.market.values()))
        if not abs(total - 1.0) <= 1e-6:
            raise AllocationError(
                f"the market weights sum to {total:.6g}, not to one. Divide them, or the capitalisations, by their sum."
            )
        held, notes = (
            np.array([float(views.market.get(name, 0.0)) for name in names]),
            ("the market weights are given",),
        )
    return views.risk_aversion * (matrix @ held) + risk_free, notes
