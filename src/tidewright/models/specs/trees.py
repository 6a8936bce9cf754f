"""Boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidewright.catalog import Entry
from tidewright.models.specs.tabular import Tabular, check_tabular, refuse_below, refuse_part


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
        check_tabular(self)


ENTRIES = (Entry("lightgbm", f"{__name__}:LightGBM", "boosted trees on lags: many series, covariates", "trees"),)
