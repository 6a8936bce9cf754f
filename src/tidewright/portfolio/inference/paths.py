"""Many histories instead of one: a strategy tested on every combination of times, each by a model that had not seen it.

T rows in time, A assets, P paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tidewright.data.combinatorial import CombinatorialSplits
from tidewright.data.frequency import Ints
from tidewright.errors import AllocationError
from tidewright.metrics.returns import sharpe
from tidewright.portfolio.costs import Costs
from tidewright.portfolio.inputs import FloatArray

Learn = Callable[[Ints, Ints], ArrayLike]


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Net returns of each path [P, T] and the Sharpe ratios a period of all paths [P] (NaN for one without variance).

    Paths share their data: their spread says how much the ratio hangs on which times were learned from, and is no
    standard error.
    """

    returns: FloatArray
    sharpes: FloatArray
    ways: int

    def __post_init__(self) -> None:
        self.returns.flags.writeable = self.sharpes.flags.writeable = False

    @property
    def median(self) -> float:
        """The median Sharpe ratio a period."""
        return float(np.median(self.sharpes))

    @property
    def spread(self) -> float:
        """The standard deviation (ddof = 1) of the paths' Sharpe ratios; NaN for one path."""
        return float(self.sharpes.std(ddof=1)) if self.sharpes.size > 1 else float("nan")

    def share_below(self, benchmark: float = 0.0) -> float:
        """The share of paths whose Sharpe ratio a period is at most `benchmark`."""
        return float(np.mean(self.sharpes <= benchmark))


def cross_validate_paths(
    learn: Learn,
    splits: CombinatorialSplits,
    *,
    returns: ArrayLike | None = None,
    costs: Costs | None = None,
) -> Paths:
    """The returns and Sharpe ratios of a strategy on every path of combinatorial purged cross-validation.

    `learn(train, test)` is called once a way with row numbers; it learns from the rows `train` alone and gives, for the
    rows `test`, net returns [len(test)]; or, where `returns` [T] or [T, A] say what a position decided at each row
    earns, positions as shares of equity of the same width, whose changes along a path cost `costs`.
    Source: Lopez de Prado (2018), Advances in Financial Machine Learning, chapter 12.

    >>> from tidewright.data.combinatorial import combinatorial_splits
    >>> earned = np.random.default_rng(0).normal(0.002, 0.01, 120)
    >>> paths = cross_validate_paths(
    ...     lambda train, test: np.full(len(test), np.sign(earned[train].mean())),
    ...     combinatorial_splits(120, groups=6, held=2), returns=earned,
    ... )
    >>> paths.returns.shape, bool(np.allclose(paths.returns, earned))
    ((5, 120), True)
    """
    table = None if returns is None else _read_earned(returns, rows=splits.rows)
    if table is None and costs is not None:
        raise AllocationError("costs are of positions. Give returns= and let learn give positions, or leave them out.")
    width = () if table is None else table.shape[1:]
    given = [_ask(learn, splits, way, width=width) for way in range(len(splits))]
    whole = np.empty((len(splits.paths), splits.rows, *width))
    for path, sources in enumerate(splits.paths):
        for group, way in enumerate(sources):
            rows = splits.group(group)
            whole[path, rows] = given[way][np.searchsorted(splits.test(int(way)), rows)]
    earned = whole if table is None else _earn(whole, table, rate=0.0 if costs is None else costs.rate)
    return Paths(earned, np.array([sharpe(one, periods_per_year=1.0) for one in earned]), len(splits))


def _read_earned(returns: ArrayLike, *, rows: int) -> FloatArray:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) != rows or not np.isfinite(values).all():
        raise AllocationError(
            f"returns have the shape {values.shape}; the splits are of {rows} rows. Give a finite number, or one an "
            "asset, for each."
        )
    return values


def _ask(learn: Learn, splits: CombinatorialSplits, way: int, *, width: tuple[int, ...]) -> FloatArray:
    test = splits.test(way)
    answer = np.asarray(learn(splits.train(way), test.copy()), dtype=np.float64)
    if answer.shape != (len(test), *width) or not np.isfinite(answer).all():
        raise AllocationError(
            f"with groups {splits.ways[way].tolist()} held out, the function gave the shape {answer.shape}; it is to "
            f"give finite numbers of shape {(len(test), *width)}, one for each row that is tested."
        )
    return answer


def _earn(positions: FloatArray, earned: FloatArray, *, rate: float) -> FloatArray:
    """Net returns [P, T] of positions [P, T] or [P, T, A]; the entry is paid."""
    traded = np.abs(np.diff(positions, axis=1, prepend=0.0))
    net = positions * earned - rate * traded
    return net if net.ndim == 2 else np.asarray(net.sum(axis=2))
