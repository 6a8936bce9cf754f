"""Estimators of a number that belongs to a whole series, from its features: what each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidewright.catalog import Catalog, Entry
from tidewright.checks import check_whole
from tidewright.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestEstimator:
    """A random forest (Breiman 2001): the mean of trees, each on its own sample of series."""

    trees: int = 300
    min_leaf: int = 3
    feature_share: float = 0.33
    name: Literal["random_forest"] = "random_forest"

    def __post_init__(self) -> None:
        _refuse_below(self, trees=1, min_leaf=1)
        _refuse_part(self, "feature_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorEstimator:
    """Support vector regression (Drucker et al. 1997) with a Gaussian kernel, on features in units of their deviation.

    `cost` weighs errors against smoothness, `tube` is the error that costs nothing, in deviations of the target, and
    `width` over the number of features is the kernel's gamma. `most_rows` series at most are learned from, for its cost
    grows with their square.
    """

    cost: float = 1.0
    tube: float = 0.1
    width: float = 0.5
    most_rows: int = 5_000
    name: Literal["svr"] = "svr"

    def __post_init__(self) -> None:
        _refuse_below(self, most_rows=20)
        for option in ("cost", "tube", "width"):
            if not 0.0 < getattr(self, option) < float("inf"):
                raise ConfigError(f"svr: {option} is a number above 0; got {getattr(self, option)!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingEstimator:
    """Gradient boosting (Friedman 2001) by LightGBM, squared error."""

    rounds: int = 200
    leaves: int = 8
    learning_rate: float = 0.05
    min_leaf: int = 10
    feature_share: float = 0.5
    row_share: float = 0.8
    name: Literal["gradient_boosting"] = "gradient_boosting"

    def __post_init__(self) -> None:
        _refuse_below(self, rounds=1, leaves=2, min_leaf=1)
        _refuse_part(self, "learning_rate", "feature_share", "row_share")


EstimatorSpec = ForestEstimator | VectorEstimator | BoostingEstimator

ESTIMATORS = Catalog(
    "estimator",
    [
        Entry("random_forest", f"{__name__}:ForestEstimator", "a mean of trees; missing features are taken"),
        Entry("svr", f"{__name__}:VectorEstimator", "smooth, for hundreds to thousands of series"),
        Entry("gradient_boosting", f"{__name__}:BoostingEstimator", "boosted trees; missing features are taken"),
    ],
)


def _refuse_below(spec: EstimatorSpec, **least: int) -> None:
    for option, low in least.items():
        check_whole(f"{spec.name}: {option}", getattr(spec, option), least=low)


def _refuse_part(spec: EstimatorSpec, *options: str) -> None:
    for option in options:
        if not 0.0 < getattr(spec, option) <= 1.0:
            raise ConfigError(f"{spec.name}: {option} lies above 0 and is at most 1; got {getattr(spec, option)!r}.")
