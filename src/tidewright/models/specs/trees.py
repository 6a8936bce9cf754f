"""Boosted trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBM:
    """Boosted trees (Ke et al. 2017) on lags and rolling statistics, one model a quantile, the step a feature."""

    rounds: int = 300
    leaves: int = 31
    learning_rate: float = 0.05
    min_leaf: int = 40
    feature_share: float = 0.8
    row_share: float = 0.8
    lags: tuple[int, ...] = ()
    rolling: tuple[int, ...] = ()
    most_rows: int = 200_000
    name: Literal["lightgbm"] = "lightgbm"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")


ENTRIES = (Entry("lightgbm", f"{__name__}:LightGBM", "boosted trees on lags: many series, covariates", "trees"),)
