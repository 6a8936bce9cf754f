"""The one door to covariances: `estimate_covariance` (as `tidewright.covariance`). T bars, A assets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tidewright.catalog import Catalog, Entry, explain_unknown
from tidewright.errors import AllocationError, ConfigError
from tidewright.portfolio.covariance.record import Covariance
from tidewright.portfolio.covariance.repair import Repair, repair_matrix
from tidewright.portfolio.inputs import FloatArray, read_returns, tell_percent
from tidewright.portfolio.labels import name_assets

_HOME = "tidewright.portfolio.covariance"

COVARIANCES = Catalog(
    "covariance",
    [
        Entry("sample", f"{_HOME}.plain:sample", "the sample covariance"),
        Entry("ledoit_wolf", f"{_HOME}.shrink:ledoit_wolf", "shrunk to constant correlation or identity, 2004"),
        Entry("oas", f"{_HOME}.shrink:oas", "shrunk to identity by the oracle approximation, Chen et al. 2010"),
        Entry("denoised", f"{_HOME}.denoise:denoised", "eigenvalues of noise averaged, Lopez de Prado 2019"),
        Entry("ewma", f"{_HOME}.plain:ewma", "exponential weights, RiskMetrics 1996"),
        Entry("factor", f"{_HOME}.factor:factor", "principal components or given factors, and own variances"),
    ],
)


def estimate_covariance(
    returns: ArrayLike,
    /,
    *,
    assets: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    method: str = "ledoit_wolf",
    repair: Repair = "clip",
    **options: Any,
) -> Covariance:
    """The covariance of simple returns [T, A] for one bar, positive definite, by a method of `COVARIANCES`.

    Options by method: ledoit_wolf `target` ("constant_correlation" or "identity"), denoised `detone`, ewma `decay`,
    factor `factors` (a count or factor returns [T, K]); see each. What is not positive definite by 1e-8 of a
    correlation is repaired ("clip" or "higham", see `repair_covariance`), and a note says how far it moved.
    Returns with missing values, without variance, or that look like prices are an AllocationError.

    >>> rng = np.random.default_rng(0)
    >>> cov = estimate_covariance(rng.normal(0, 0.01, (250, 3)), assets=("A", "B", "C"), method="oas")
    >>> cov.notes, cov.volatility().round(3).tolist()
    (('shrunk by 1 towards identity',), [0.01, 0.01, 0.01])
    """
    names = name_assets(returns, assets)
    values = read_returns(returns, assets=names, times=times)
    found = estimate_read(values, assets=names, method=method, repair=repair, options=options)
    told = tell_percent(values, assets=names)
    return replace(found, notes=found.notes + told) if told else found


def estimate_read(
    values: FloatArray,
    *,
    assets: Sequence[str],
    method: str,
    repair: Repair = "clip",
    options: dict[str, Any] | None = None,
) -> Covariance:
    """The same for returns [T, A] that were checked already."""
    matrix, notes = measure(values, assets=assets, method=method, options=options or {})
    mended, repairs = repair_matrix(matrix, method=repair)
    return Covariance(values=mended, assets=tuple(assets), method=method, notes=notes + repairs)


def measure(
    values: FloatArray, *, assets: Sequence[str], method: str = "sample", options: dict[str, Any]
) -> tuple[FloatArray, tuple[str, ...]]:
    """Covariances [A, A] of checked returns as the method gives them, perhaps singular, and notes."""
    estimator: Callable[..., tuple[FloatArray, tuple[str, ...]]] = COVARIANCES.load(method)
    known = [name for name in signature(estimator).parameters if name != "returns"]
    for option in options:
        if option not in known:
            raise ConfigError(explain_unknown(f"option of {method}", option, known))
    scale = 2.0 ** np.floor(np.log2(np.abs(values).max()))  # a power of two: fourth powers stay finite, bits the same
    with np.errstate(over="ignore", invalid="ignore"):
        matrix, notes = estimator(values / scale, **options)
        matrix = (matrix + matrix.T) / 2.0 * scale * scale
    _refuse_extremes(np.diag(matrix), values=values, assets=assets)
    return matrix, notes


def _refuse_extremes(variance: FloatArray, *, values: FloatArray, assets: Sequence[str]) -> None:
    wrong = np.flatnonzero(~np.isfinite(variance) | (variance <= np.finfo(np.float64).tiny))
    if wrong.size:
        asset = int(wrong[0])
        raise AllocationError(
            f"the variance of {tuple(assets)[asset]!r} is {variance[asset]:g}: its returns reach "
            f"{np.abs(values[:, asset]).max():g}, too far from 1 to be squared. Mend them or leave the asset out."
        )
