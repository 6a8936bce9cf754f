"""Forecasts as a decision reads them: what each asset is expected to return over a horizon, and how surely.

C cutoffs, A assets, H steps of the horizon, Q quantile levels, T bars. A prediction is of simple returns, one a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidewright.errors import AllocationError
from tidewright.portfolio.inputs import (
    FloatArray,
    TimeArray,
    name_time,
    read_assets,
    read_matrix,
    read_times,
    refuse_prices,
)
from tidewright.portfolio.labels import name_assets
from tidewright.portfolio.show import show
from tidewright.portfolio.walk import View


@dataclass(frozen=True, slots=True, eq=False)
class ViewArrays:
    """Views of V assets as plain arrays, as Black-Litterman takes them: one absolute view an asset.

    `assets` [V] have a view, `expected` [V] is their return over the `steps` of the horizon, `errors` [V] its standard
    deviation and `covariance` [V, V] that of the views' errors. `cutoff` is when they were made.
    """

    assets: tuple[str, ...]
    expected: FloatArray
    errors: FloatArray
    covariance: FloatArray
    cutoff: np.datetime64
    steps: int

    def __repr__(self) -> str:
        return show(self, by_asset=("expected", "errors"))

    def per_step(self) -> ViewArrays:
        """The same views of the mean return of one step, to stand beside the covariance of returns of one bar."""
        steps = float(self.steps)
        return ViewArrays(
            self.assets, self.expected / steps, self.errors / steps, self.covariance / steps**2, self.cutoff, steps=1
        )


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The forecasts of one model: `quantiles` [C, A, H, Q] at `levels` [Q] of returns, NaN where an asset has none.

    `cutoffs` [C] are when they were made, in order, and `times` [C, H] what they are of, each later than its cutoff.
    Arrays are read-only. `read_predictions` makes it from a table.
    """

    model: str
    assets: tuple[str, ...]
    cutoffs: TimeArray
    times: TimeArray
    levels: FloatArray
    quantiles: FloatArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("cutoffs", "times", "levels", "quantiles"):
            getattr(self, name).flags.writeable = False

    def __repr__(self) -> str:
        return show(self)

    def expected(self) -> FloatArray:
        """The return over the horizon [C, A]: the sum of the steps' medians.

        Summing takes simple returns as if they didn't compound, and a sum of medians as the median of the sum: both
        hold well for returns of a few percent. NaN where an asset has no prediction.
        """
        median = int(np.argmin(np.abs(self.levels - 0.5)))
        return np.asarray(self.quantiles[..., median].sum(axis=2))

    def spread(self) -> FloatArray:
        """The standard deviation of the return over the horizon [C, A], as the outermost quantiles tell it.

        Each step's is their distance over that of a normal distribution's, and steps count as independent: the root of
        the sum of squares. NaN with a single level.
        """
        from scipy.special import ndtri  # 0.15 s to import

        if self.levels.size < 2:
            return np.full(self.quantiles.shape[:2], np.nan)
        width = self.quantiles[..., -1] - self.quantiles[..., 0]
        steps = width / float(ndtri(self.levels[-1]) - ndtri(self.levels[0]))
        return np.asarray(np.sqrt((steps**2).sum(axis=2)))

    def realise(
        self, returns: ArrayLike, *, times: ArrayLike, assets: Sequence[str] | None = None
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What came [C, A]: the sum of the returns [T, A] over each horizon, NaN where one is missing; and the cutoffs
        [C] that have their whole horizon within `times` [T]. Assets go by name.
        """
        values = read_matrix(returns, noun="returns")
        stamps = read_times(times, rows=len(values))
        names = read_assets(name_assets(returns, assets), columns=values.shape[1])
        refuse_prices(values, names=names)
        unknown = [name for name in self.assets if name not in names]
        if unknown:
            raise AllocationError(
                f"{len(unknown)} predicted series have no returns, such as {unknown[0]!r}. Bring their returns, or "
                "drop their predictions."
            )
        known = np.asarray(self.times[:, -1] <= stamps[-1])
        rows = np.searchsorted(stamps, self.times)
        off = known[:, None] & (stamps[np.minimum(rows, len(stamps) - 1)] != self.times)
        if off.any():
            lost = name_time(self.times[off], row=0)
            raise AllocationError(
                f"the prediction of {lost} falls on no bar of the returns ({int(off.sum())} such). Bring the returns "
                "of the grid that was forecast."
            )
        realised = np.full((len(self.cutoffs), len(self.assets)), np.nan)
        columns = [names.index(name) for name in self.assets]
        realised[known] = values[:, columns][rows[known]].sum(axis=1)
        return realised, known

    def to_view(self, skill: float | ArrayLike, *, times: ArrayLike, assets: Sequence[str]) -> View:
        """A `View` for `walk_weights` over the bars `times` [T].

        A forecast holds from its cutoff on, until the next one or the end of its horizon; other bars have no view.
        `skill` is one number, or [C], the skill measured up to each cutoff. Columns are `assets`, by name; one without
        a prediction makes the bar one without a view. Without spreads all assets count as equally sure.
        """
        stamps = read_times(times, rows=len(np.asarray(times)))
        missing = [name for name in assets if name not in self.assets]
        if missing:
            raise AllocationError(f"{missing[0]!r} has no predictions. Leave it out of the assets, or predict it too.")
        columns = [self.assets.index(name) for name in assets]
        expected, spread = self.expected()[:, columns], fill_spread(self.spread()[:, columns])
        made = np.maximum(np.searchsorted(self.cutoffs, stamps, side="right") - 1, 0)
        holds = (stamps >= self.cutoffs[made]) & (stamps < self.times[made, -1])
        holds &= np.asarray(np.isfinite(expected).all(axis=1))[made]
        if not holds.any():
            raise AllocationError(
                f"no forecast holds at any bar: they were made from {self.cutoffs[0]} to {self.cutoffs[-1]}, and the "
                f"bars go from {name_time(stamps, row=0)} to {name_time(stamps, row=-1)}. Bring both of one time."
            )
        level = np.broadcast_to(np.asarray(skill, dtype=np.float64), self.cutoffs.shape)
        return View(
            expected=np.where(holds[:, None], expected[made], np.nan),
            uncertainty=np.where(holds[:, None], spread[made], 1.0),
            skill=np.where(holds, level[made], 0.0),
        )

    def views(
        self, cutoff: np.datetime64 | None = None, *, weight: float = 1.0, correlation: ArrayLike | None = None
    ) -> ViewArrays:
        """The forecasts of one cutoff, the newest unless said, as arrays for Black-Litterman.

        Errors are the forecasts' standard deviations, which hold what nobody can foresee too and are careful for it. A
        `weight` above 0 up to 1, such as a measured skill's, divides their variance: little weight, little confidence.
        They count as independent unless their `correlation` [A, A] is given. Assets without a prediction have no view.

        >>> made = np.array(["2024-01-01"], dtype="datetime64[D]")
        >>> values = np.array([[[[-0.02, 0.01, 0.04]]], [[[0.0, 0.02, 0.04]]]]).reshape(1, 2, 1, 3)
        >>> said = Predictions("m", ("A", "B"), made, made[:, None] + 1, np.array([0.1, 0.5, 0.9]), values)
        >>> said.views().expected.tolist(), said.views(weight=0.25).errors.round(4).tolist()
        ([0.01, 0.02], [0.0468, 0.0312])
        """
        if not 0.0 < weight <= 1.0:
            raise AllocationError(
                f"weight is {weight:g}; it is above 0 and at most 1. Without any, leave the views out."
            )
        row = self._row(cutoff)
        expected, spread = self.expected()[row], self.spread()[row] / np.sqrt(weight)
        there = np.flatnonzero(np.isfinite(expected))
        errors = spread[there]
        if not (errors > 0.0).all():
            name = self.assets[int(there[~(errors > 0.0)][0])]
            raise AllocationError(
                f"the forecast of {name!r} at {self.cutoffs[row]} has no width, and so no error. Bring quantiles on "
                "both sides of the median."
            )
        related = np.eye(len(self.assets)) if correlation is None else read_matrix(correlation, noun="correlations")
        if related.shape != (len(self.assets),) * 2:
            raise AllocationError(f"the correlations have the shape {related.shape}. Give one for each pair of assets.")
        covariance = related[np.ix_(there, there)] * np.outer(errors, errors)
        return ViewArrays(
            tuple(self.assets[one] for one in there),
            expected[there],
            errors,
            covariance,
            self.cutoffs[row],
            steps=self.times.shape[1],
        )

    def _row(self, cutoff: np.datetime64 | None) -> int:
        if cutoff is None:
            return len(self.cutoffs) - 1
        found = np.flatnonzero(self.cutoffs == cutoff)
        if not found.size:
            raise AllocationError(
                f"no prediction was made at {cutoff}. Cutoffs go from {self.cutoffs[0]} to {self.cutoffs[-1]}."
            )
        return int(found[0])


def fill_spread(spread: FloatArray) -> FloatArray:
    """A row's missing or zero spreads as its smallest other one, or one where there is none."""
    good = np.isfinite(spread) & (spread > 0.0)
    smallest = np.min(spread, axis=1, where=good, initial=np.inf)
    return np.where(good, spread, np.where(np.isfinite(smallest), smallest, 1.0)[:, None])
