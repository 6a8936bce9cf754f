"""Forests over cells: means of trees, each grown by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidewright.catalog import Entry
from tidewright.models.specs.tabular import Tabular, check_tabular, refuse_below, refuse_part


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomForest(Tabular):
    """A random forest (Breiman 2001) on lags and rolling statistics, the step a feature; one forest for all quantiles.

    A leaf holds the quantiles of the cells that it was reached by, and the forest gives their mean over its trees: near
    Meinshausen's (2006) quantile forest, which pools the leaves' cells instead, where leaves are not small.
    `row_share` of the cells are drawn for each tree, with replacement.
    """

    trees: int = 100
    min_leaf: int = 20
    feature_share: float = 0.33
    row_share: float = 1.0
    most_rows: int = 30_000
    name: Literal["random_forest"] = "random_forest"

    def __post_init__(self) -> None:
        refuse_below(self, trees=1, min_leaf=1)
        refuse_part(self, "feature_share", "row_share")
        check_tabular(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraTrees(Tabular):
    """Extremely randomised trees (Geurts, Ernst and Wehenkel 2006): as a random forest, but each tree learns from all
    cells and splits at places drawn by chance, which is several times faster and smoother.
    """

    trees: int = 100
    min_leaf: int = 20
    feature_share: float = 0.33
    most_rows: int = 30_000
    name: Literal["extra_trees"] = "extra_trees"

    def __post_init__(self) -> None:
        refuse_below(self, trees=1, min_leaf=1)
        refuse_part(self, "feature_share")
        check_tabular(self)


ENTRIES = (
    Entry("random_forest", f"{__name__}:RandomForest", "a mean of trees on lags: robust, hard to overfit", "trees"),
    Entry("extra_trees", f"{__name__}:ExtraTrees", "a mean of trees split by chance: faster, smoother", "trees"),
)
