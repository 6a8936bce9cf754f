"""Is it luck? What returns, signals and choices among many strategies prove.

`sharpe`: one ratio, alone and after many trials. `overfitting`: was the best chosen by luck? `superior`: is the best of
many better than a benchmark? `permutation`: does a signal's timing matter? `paths`: many histories instead of one.
"""

from __future__ import annotations

from tidewright.portfolio.inference.overfitting import pbo
from tidewright.portfolio.inference.paths import Paths, cross_validate_paths
from tidewright.portfolio.inference.permutation import Permutation, permutation_test
from tidewright.portfolio.inference.sharpe import (
    DeflatedSharpe,
    SharpeSample,
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sample_sharpe,
)
from tidewright.portfolio.inference.superior import RealityCheck, SuperiorAbility, reality_check, spa

__all__ = [
    "DeflatedSharpe",
    "Paths",
    "Permutation",
    "RealityCheck",
    "SharpeSample",
    "SuperiorAbility",
    "cross_validate_paths",
    "deflated_sharpe",
    "expected_best_sharpe",
    "minimum_track_record",
    "pbo",
    "permutation_test",
    "probabilistic_sharpe",
    "reality_check",
    "sample_sharpe",
    "spa",
]
