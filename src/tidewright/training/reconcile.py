"""Forecasts of a hierarchy made to add up: means exactly, quantiles as those of one joint distribution.

B bottom series, J nodes, N windows, H horizon, Q quantiles, C cutoffs, V cells of validation (a cutoff and a step).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.catalog import explain_unknown
from tidewright.data.forecast import CUTOFF, Forecast, level_names
from tidewright.data.frequency import Ints
from tidewright.data.hierarchy import Hierarchy
from tidewright.errors import ColumnError, ConfigError, DataError
from tidewright.features.windows import Doubles
from tidewright.metrics.distribution import score_at, value_at
from tidewright.metrics.scored import Scored
from tidewright.optional import require
from tidewright.training.evaluate import Evaluation

Method = Literal["bottom_up", "ols", "structural", "variance", "mint", "erm"]
MEAN = "mean"
FEWEST = 10  # cells of validation that say how the nodes err together
DRAWS = 2_000
GRID = 400  # points that a mean is taken over


@dataclass(frozen=True, eq=False)
class Reconciler:
    """What makes forecasts of all nodes coherent. Make one with `fit_reconciler`.

    `projection` [B, J] gives the bottom series from all nodes. `ranks` [V, J] are those of what was observed in
    validation under its forecasts, cell by cell from 0: how the nodes err together.
    """

    hierarchy: Hierarchy
    method: Method
    projection: Doubles
    ranks: npt.NDArray[np.int64]
    nonnegative: bool = False
    seed: int = 0

    def reconcile(self, forecast: Forecast) -> Forecast:
        """The coherent forecast, with the column "mean" more.

        The means of all nodes add up. The quantiles, the point forecast "0.5" among them, are those of one distribution
        whose every draw adds up; they don't add up themselves, as the median of a sum is no sum of medians. Raises
        `DataError` unless every node is forecast from the same cutoffs.
        """
        roles, names = forecast.roles, level_names(forecast.levels)
        table = self._order(forecast)
        parts = []
        for _, part in table.group_by(CUTOFF, maintain_order=True):
            cube = part.select(names).to_numpy().reshape(len(self.hierarchy.nodes), -1, len(names))
            means, quantiles = self.join(cube, levels=forecast.levels)
            columns = [pl.Series(name, quantiles[:, :, q].reshape(-1)) for q, name in enumerate(names)]
            parts.append(part.with_columns(*columns, pl.Series(MEAN, means.reshape(-1))))
        done = pl.concat(parts).sort("node", CUTOFF, roles.time)
        return replace(forecast, table=done.select(*forecast.table.columns, MEAN))

    def join(self, quantiles: Doubles, *, levels: tuple[float, ...]) -> tuple[Doubles, Doubles]:
        """Means [J, H] and quantiles [J, H, Q] that are coherent, from quantiles [J, H, Q] that are not.

        A draw takes each node's value from its own quantiles (straight lines between normal scores, normal tails) at
        its rank in one cell of validation (the Schaake shuffle: Clark and others 2004), and is then projected
        (Panagiotelis and others 2023). With `nonnegative`, bottom series below 0 are lifted to it before they are
        added up (Di Fonzo, Girolimetto 2023). With one level alone there is no distribution: it counts as the mean.
        """
        summing = self.hierarchy.summing
        if len(levels) == 1:
            found = summing @ self._project(quantiles[:, :, 0])
            return found, found[:, :, None]
        rng = np.random.default_rng(self.seed)
        out = np.empty(quantiles.shape)
        for step in range(quantiles.shape[1]):
            drawn = value_at(quantiles[:, step][None], self._draw(rng), levels=levels)
            out[:, step] = np.quantile(self._project(drawn.T).T @ summing.T, levels, axis=0).T
        return summing @ self._project(mean_of(quantiles, levels=levels)), out

    def apply(self, evaluation: Evaluation) -> Evaluation:
        """A model's evaluation on the panel of all nodes made coherent, at the cutoffs that all of them have.

        Its scores say whether that helped.
        """
        rows = arrange(evaluation, nodes=len(self.hierarchy.nodes))
        kept, levels = rows.reshape(-1), tuple(evaluation.scored.levels.tolist())
        forecast = np.concatenate([self.join(evaluation.forecast[places], levels=levels)[1] for places in rows])
        scored = replace(evaluation.scored.take(kept), forecast=forecast)
        return Evaluation(f"{evaluation.model} reconciled", evaluation.windows.subset(kept), forecast, scored)

    def _project(self, values: Doubles) -> Doubles:
        bottom = self.projection @ values
        return np.maximum(bottom, 0.0) if self.nonnegative else bottom

    def _draw(self, rng: np.random.Generator) -> Doubles:
        """Normal scores [D, J] of draws: every cell alike often, each rank somewhere in its stretch of levels."""
        from scipy.special import ndtri

        count = len(self.ranks)
        ranks = np.tile(self.ranks, (max(DRAWS // count, 1), 1))
        return np.asarray(ndtri((ranks + rng.uniform(1e-6, 1.0, ranks.shape)) / count))

    def _order(self, forecast: Forecast) -> pl.DataFrame:
        """The forecast's table with the place of each node, sorted by cutoff, node and time; checked."""
        series, time = forecast.roles.series, forecast.roles.time
        if series is None or MEAN in forecast.table.columns:
            raise ColumnError("a coherent forecast needs a series column, and makes the column 'mean'. Rename yours.")
        nodes = pl.DataFrame({series: self.hierarchy.nodes}).with_row_index("node")
        table = forecast.table.join(nodes, on=series, how="left")
        strange = table.filter(pl.col("node").is_null())
        if len(strange):
            raise DataError(f"{strange[series][0]!r} is no node of the hierarchy. Forecast the panel of all nodes.")
        for (cutoff,), part in table.group_by(CUTOFF, maintain_order=True):
            lost = set(range(len(self.hierarchy.nodes))) - set(part["node"].to_list())
            if lost:
                name = self.hierarchy.nodes[min(lost)]
                raise DataError(
                    f"{name!r} has no forecast from {cutoff}, where others have one ({len(lost)} such nodes). A "
                    "hierarchy is forecast from one time: leave out series that end early, or fill them."
                )
        return table.sort(CUTOFF, "node", time)


def fit_reconciler(
    evaluation: Evaluation,
    hierarchy: Hierarchy,
    *,
    method: Method = "mint",
    nonnegative: bool = False,
    seed: int = 0,
) -> Reconciler:
    """What makes a model's forecasts coherent, from its errors in `evaluation`: on validation, never on test.

    "bottom_up" adds up the series' own forecasts. "ols", "structural", "variance" and "mint" project all nodes'
    forecasts with less or more knowledge of their errors: none, the number of series in each, their variances, or
    their shrunk covariance (Wickramasuriya, Athanasopoulos, Hyndman 2019). "erm" learns the projection that errs least
    on the evaluation (Ben Taieb, Koo 2019): it needs many cells, and overfits few. All but the
    first are computed by hierarchicalforecast. Errors of all steps count alike. Raises `ConfigError`, `DataError`.
    """
    if method not in get_args(Method):
        raise ConfigError(explain_unknown("method of reconciliation", method, get_args(Method)))
    rows = arrange(evaluation, nodes=len(hierarchy.nodes))
    scored = evaluation.scored
    actual, point = (_cells(values[rows]) for values in (scored.actual, scored.point))
    usable = np.isfinite(actual).any(axis=0)
    if usable.sum() < FEWEST:
        raise DataError(
            f"how the nodes err together takes {FEWEST} cells of validation (cutoffs times steps) at least; there are "
            f"{int(usable.sum())}. Give a longer validation part."
        )
    projection = _project(method, hierarchy.summing, actual=actual[:, usable], point=point[:, usable])
    ranks = _rank(scored, rows, seed=seed)[usable]
    return Reconciler(hierarchy, method, projection, ranks, nonnegative, seed)


def arrange(evaluation: Evaluation, *, nodes: int) -> Ints:
    """The windows [C, J] of each cutoff that all nodes have. Raises `DataError` when there is none."""
    windows = evaluation.windows
    order = np.lexsort((windows.series, windows.cutoffs))
    _, starts, counts = np.unique(windows.cutoffs[order], return_index=True, return_counts=True)
    if windows.static.shape[0] != nodes or not (counts == nodes).any():
        raise DataError(
            f"the evaluation has no cutoff of all {nodes} nodes of the hierarchy. Evaluate on the aggregated panel, "
            "and leave out series that begin late or end early."
        )
    return np.stack([order[start : start + nodes] for start in starts[counts == nodes]])


def mean_of(quantiles: Doubles, *, levels: tuple[float, ...]) -> Doubles:
    """The means [J, H] of distributions with quantiles [J, H, Q], as `metrics.distribution` draws them.

    >>> mean_of(np.array([[[-1.2816, 0.0, 1.2816]]]), levels=(0.1, 0.5, 0.9)).round(6) + 0.0
    array([[0.]])
    """
    from scipy.special import ndtri

    scores = ndtri((np.arange(GRID) + 0.5) / GRID)
    return np.asarray(sum(value_at(quantiles, np.full(quantiles.shape[:2], z), levels=levels) for z in scores) / GRID)


def _cells(values: Doubles) -> Doubles:
    """[C, J, H] as [J, C * H]."""
    return np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(values.shape[1], -1)


def _project(method: Method, summing: Doubles, *, actual: Doubles, point: Doubles) -> Doubles:
    if method == "bottom_up":
        return np.eye(summing.shape[1], len(summing), k=len(summing) - summing.shape[1])
    methods = require("hierarchicalforecast.methods", extra="hierarchy", purpose="reconciliation")
    names = {"ols": "ols", "structural": "wls_struct", "variance": "wls_var", "mint": "mint_shrink"}
    if method == "erm":
        whole = np.isfinite(actual).all(axis=0)
        seen = {"y_insample": actual[:, whole], "y_hat_insample": point[:, whole]}
        found = methods.ERM("closed").fit(S=summing, y_hat=point[:, whole], **seen)
    else:
        found = methods.MinTrace(names[method]).fit(S=summing, y_hat=point, y_insample=actual, y_hat_insample=point)
    return np.asarray(found.P, dtype=np.float64)


def _rank(scored: Scored, rows: Ints, *, seed: int) -> npt.NDArray[np.int64]:
    """The ranks [V, J] of the labels' scores; a missing label takes part with a random one."""
    if scored.levels.size > 1:
        scores = _cells(score_at(scored.forecast[rows], scored.actual[rows], levels=scored.levels)).T
    else:
        scores = _cells(scored.actual[rows] - scored.point[rows]).T
    rng = np.random.default_rng(seed)
    known = np.where(np.isnan(scores), rng.standard_normal(scores.shape), scores)
    order = np.lexsort((rng.random(scores.shape), known), axis=0)
    return np.asarray(np.argsort(order, axis=0))
