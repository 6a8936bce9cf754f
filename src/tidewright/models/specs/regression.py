"""Smooth regressions over cells: support vectors and the elastic net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.tabular import Loss, Tabular, check_tabular, refuse_below


@dataclass(frozen=True, slots=True, kw_only=True)
class SVR(Tabular):
    """Support vector regression (Drucker et al. 1997) with a Gaussian kernel, on features in units of their deviation.

    `cost` weighs errors against smoothness, `tube` is the error that costs nothing, in deviations of the labels, and
    `width` over the number of features is the kernel's gamma. Its cost grows with the square of `most_rows`, so these
    are few, and the history says how many cells it learned from. It learns the median (absolute errors beyond the
    tube); residuals make the other quantiles. A missing feature counts as the column's mean. Of classes it learns each
    one against the rest (support vector classification; Cortes and Vapnik 1995), where `tube` has no say.
    """

    cost: float = 1.0
    tube: float = 0.1
    width: float = 0.3
    loss: Loss = "median"
    most_rows: int = 3_000
    name: Literal["svr"] = "svr"

    def __post_init__(self) -> None:
        for option in ("cost", "tube", "width"):
            value = getattr(self, option)
            if isinstance(value, bool) or not 0.0 < value < float("inf"):
                raise ConfigError(f"svr: {option} is a number above 0; got {value!r}.")
        check_tabular(self, losses=("median",))


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticNet(Tabular):
    """A linear map of the features (Zou and Hastie 2005), the same at every step, which is a feature itself.

    Features are in units of their deviation, at most ten of them; a missing one counts as the column's mean. Of the
    `penalties` on weights, in units of the labels' variance, the best one on validation cells is taken. `l1_share` 1 is
    the lasso, which leaves features out; 0 is ridge regression. It learns the mean; residuals make the quantiles.
    """

    penalties: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
    l1_share: float = 0.5
    loss: Loss = "mean"
    name: Literal["elastic_net"] = "elastic_net"

    def __post_init__(self) -> None:
        if not 0.0 <= self.l1_share <= 1.0:
            raise ConfigError(f"elastic_net: l1_share lies between 0 (ridge) and 1 (lasso); got {self.l1_share!r}.")
        wrong = [one for one in self.penalties if isinstance(one, bool) or not 0.0 < one < float("inf")]
        if wrong or not self.penalties or len(set(self.penalties)) != len(self.penalties):
            raise ConfigError(
                f"elastic_net: penalties are different numbers above 0, one or more; got {self.penalties}."
            )
        refuse_below(self, most_rows=2)
        check_tabular(self, losses=("mean",))


ENTRIES = (
    Entry("svr", f"{__name__}:SVR", "support vectors on lags: smooth, for few cells", "trees"),
    Entry("elastic_net", f"{__name__}:ElasticNet", "linear on lags and covariates; l1_share=0 is ridge", "trees"),
)
