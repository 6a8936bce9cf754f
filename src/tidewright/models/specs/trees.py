"""Boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.tabular import (
    Categories,
    Tabular,
    check_tabular,
    refuse_below,
    refuse_negative,
    refuse_part,
)

DEEPEST = 12  # levels of a tree that may be full: 4,096 leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBM(Tabular):
    """Boosted trees (Ke et al. 2017) on lags and rolling statistics, one model a quantile, the step a feature.

    The options of every such model are those of `Tabular`. Raises `ConfigError`.
    """

    rounds: int = 300
    leaves: int = 31
    learning_rate: float = 0.05
    min_leaf: int = 40
    feature_share: float = 0.8
    row_share: float = 0.8
    name: Literal["lightgbm"] = "lightgbm"

    def __post_init__(self) -> None:
        refuse_below(self, rounds=1, leaves=2, min_leaf=1)
        refuse_part(self, "feature_share", "row_share", "learning_rate")
        check_tabular(self, boosted=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class XGBoost(Tabular):
    """Boosted trees (Chen, Guestrin 2016) on lags and rolling statistics, one model a quantile, the step a feature.

    Trees grow level by level to `depth`; `l2` holds their values back. The options of every such model are those of
    `Tabular`. Raises `ConfigError`.
    """

    rounds: int = 300
    depth: int = 6
    learning_rate: float = 0.05
    min_leaf: int = 40
    l2: float = 1.0
    feature_share: float = 0.8
    row_share: float = 0.8
    name: Literal["xgboost"] = "xgboost"

    def __post_init__(self) -> None:
        refuse_below(self, rounds=1, depth=1, min_leaf=1)
        refuse_deep(self, self.depth)
        refuse_part(self, "feature_share", "row_share", "learning_rate")
        refuse_negative(self, "l2")
        check_tabular(self, boosted=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatBoost(Tabular):
    """Boosted oblivious trees (Prokhorenkova et al. 2018) on lags and rolling statistics, the step a feature.

    All quantiles share their trees' splits: a leaf holds a value for each. A tree asks the same question of every node
    of a level, and has 2 ** `depth` leaves. Native categories are learned by ordered target statistics, each of one
    column alone (no combinations), and kept as the sets of levels on either side of each split: exact, without tables.
    The options of every such model are those of `Tabular`. Raises `ConfigError`.
    """

    rounds: int = 500
    depth: int = 6
    learning_rate: float = 0.08
    l2: float = 3.0
    feature_share: float = 0.8
    row_share: float = 0.8
    categories: Categories = "native"
    name: Literal["catboost"] = "catboost"

    def __post_init__(self) -> None:
        refuse_below(self, rounds=1, depth=1)
        refuse_deep(self, self.depth)
        refuse_part(self, "feature_share", "row_share", "learning_rate")
        refuse_negative(self, "l2")
        check_tabular(self, boosted=True)


def refuse_deep(spec: Tabular, depth: int) -> None:
    """Raises `ConfigError` for trees of more leaves than anyone wants."""
    if depth > DEEPEST:
        raise ConfigError(f"{spec.name}: depth is at most {DEEPEST}; got {depth}. Ask for more rounds instead.")


ENTRIES = (
    Entry("lightgbm", f"{__name__}:LightGBM", "boosted trees on lags: many series, covariates", "trees"),
    Entry("xgboost", f"{__name__}:XGBoost", "boosted trees on lags: many series, covariates, held back by l2", "trees"),
    Entry("catboost", f"{__name__}:CatBoost", "boosted oblivious trees on lags: many series, categories", "trees"),
)
