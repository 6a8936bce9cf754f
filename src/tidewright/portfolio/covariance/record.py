"""The covariance of returns as a record: what it is, how it came about, what was mended. A assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import FloatArray, read_assets, read_matrix
from tidewright.portfolio.labels import name_assets
from tidewright.portfolio.show import show

if TYPE_CHECKING:
    import polars as pl


_SYMMETRY = 1e-10  # of the product of two deviations


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """The covariance `values` [A, A] of one-period returns of `assets`, read-only and positive definite.

    `method` says how it was estimated and `notes` what was chosen and what was mended. Values that are not finite,
    not symmetric or not positive definite are an AllocationError; `repair_covariance` mends such a matrix.

    >>> cov = Covariance(values=np.array([[0.04, 0.01], [0.01, 0.09]]), assets=("A", "B"), method="by hand")
    >>> cov.volatility(), cov.correlation().round(4).tolist()
    (array([0.2, 0.3]), [[1.0, 0.1667], [0.1667, 1.0]])
    """

    values: FloatArray
    assets: tuple[str, ...]
    method: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = read_square(self.values, assets=self.assets).copy()
        if not is_positive_definite(to_correlation(values)):
            raise AllocationError(
                f"the covariance of {len(self.assets)} assets is not positive definite: some portfolio of them "
                "would have no risk, or less. Mend it with repair_covariance, or estimate it by another method."
            )
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "assets", tuple(self.assets))

    def __repr__(self) -> str:
        return show(self)

    def to_table(self) -> pl.DataFrame:
        """A polars table: a row and a column an asset."""
        import polars as pl

        return pl.DataFrame({"asset": self.assets} | dict(zip(self.assets, self.values, strict=True)))

    def volatility(self) -> FloatArray:
        """The standard deviation [A] of one period's returns."""
        return np.sqrt(np.diag(self.values))

    def correlation(self) -> FloatArray:
        """The correlations [A, A]; the diagonal is exactly one."""
        return to_correlation(self.values)

    def order(self, assets: Sequence[str]) -> Covariance:
        """The same covariance with the assets, by name, in another order, or some of them alone."""
        places = {name: place for place, name in enumerate(self.assets)}
        missing = [name for name in assets if name not in places]
        if missing:
            there = f"{', '.join(self.assets[:8])}{' ...' if len(self.assets) > 8 else ''}"
            raise AllocationError(
                f"the covariance has no asset {missing[0]!r} ({len(missing)} such of {len(assets)}); it has {there}. "
                "Estimate it for the same assets."
            )
        if tuple(assets) == self.assets:
            return self
        rows = [places[name] for name in assets]
        return replace(self, values=self.values[np.ix_(rows, rows)], assets=tuple(assets))


def read_square(values: ArrayLike, *, assets: Sequence[str]) -> FloatArray:
    """A symmetric table [A, A] of finite numbers with variances above zero on its diagonal."""
    matrix = read_matrix(values, noun="covariances")
    names = read_assets(name_assets(values, assets, noun="covariances"), columns=matrix.shape[1])
    if matrix.shape[0] != matrix.shape[1]:
        raise AllocationError(f"covariances have the shape {matrix.shape}; rows and columns are the same assets.")
    wrong = np.argwhere(~np.isfinite(matrix))
    if wrong.size:
        row, column = (int(place) for place in wrong[0])
        raise AllocationError(
            f"the covariance of {names[row]!r} and {names[column]!r} is {matrix[row, column]}. Mend it."
        )
    variance = np.diag(matrix)
    low = np.flatnonzero(variance <= np.finfo(np.float64).tiny)
    if low.size:
        raise AllocationError(
            f"the variance of {names[int(low[0])]!r} is {variance[low[0]]:g}; it must be above zero. Leave it out."
        )
    deviation = np.sqrt(variance)
    apart = np.abs(matrix - matrix.T) / deviation / deviation[:, None]
    if apart.max() > _SYMMETRY:
        row, column = (int(place) for place in np.unravel_index(int(apart.argmax()), apart.shape))
        raise AllocationError(
            f"the covariance of {names[row]!r} and {names[column]!r} is {matrix[row, column]:g}, that of "
            f"{names[column]!r} and {names[row]!r} {matrix[column, row]:g}. A covariance is symmetric."
        )
    return matrix


def to_correlation(values: FloatArray) -> FloatArray:
    """Correlations [A, A] of covariances [A, A]; the diagonal is exactly one."""
    deviation = np.sqrt(np.diag(values))
    correlation = values / deviation / deviation[:, None]
    np.fill_diagonal(correlation, 1.0)
    return correlation


def is_positive_definite(matrix: FloatArray) -> bool:
    """Whether a Cholesky factor exists; it costs a tenth of the eigenvalues."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
