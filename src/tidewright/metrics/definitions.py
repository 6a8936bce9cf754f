"""The table of accuracy metrics: each knows its formula, its unit, its direction and what it needs.

Every metric is a sum over the scored cells divided by another such sum, and perhaps the root of that. So the
same two arrays give the score overall, by step, by series and by window, and the ratio whose error bars the
bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tidewright.catalog import explain_unknown
from tidewright.errors import DataError, UnknownNameError
from tidewright.metrics import cells, class_cells
from tidewright.metrics.scored import Scored

Floats = NDArray[np.float64]
Need = Literal["scale", "scale_squared", "interval", "classes", "numbers", "binary"]


@dataclass(frozen=True)
class Metric:
    """One metric: `function` gives the cells of its two sums, `root` takes the square root of their ratio.

    `direction` says what is better: "lower", "higher", or "nearest" to `aim` (see `badness`). `unit` is the
    target's, its square, a fraction of the target or of the cells (never a percent), a ratio to a seasonal naive
    forecast's error, nats (natural logarithms of a probability), or a
    probability squared. `of` says what is scored: quantile forecasts of
    numbers, or probabilities of classes. `pooling` is "mean" for a plain mean over cells, "ratio" for one sum over
    another.
    """

    name: str
    direction: Literal["lower", "higher", "nearest"]
    unit: Literal["target", "target squared", "fraction", "ratio", "nat", "squared"]
    formula: str
    source: str
    function: Callable[[Scored], cells.Cells]
    needs: tuple[Need, ...] = ()
    pooling: Literal["mean", "ratio"] = "mean"
    root: bool = False
    aim: Callable[[Scored], float] | None = None
    of: Literal["numbers", "classes"] = "numbers"

    def badness(self, value: float, *, scored: Scored) -> float:
        """The value as something to minimise, so that a leaderboard sorts every metric alike.

        >>> scored = Scored([[1.0]], [[[0.0, 1.0, 2.0]]], levels=(0.1, 0.5, 0.9))
        >>> METRICS["mae"].badness(3.0, scored=scored), METRICS["bias"].badness(-3.0, scored=scored)
        (3.0, 3.0)
        >>> round(METRICS["coverage"].badness(0.7, scored=scored), 12)  # 80 % is what the levels promise
        0.1
        """
        if self.aim is not None:
            return abs(value - self.aim(scored))
        return -value if self.direction == "higher" else value

    def missing(self, scored: Scored) -> tuple[Need, ...]:
        """What the metric needs and the scored windows don't bring."""
        absent: dict[Need, bool] = {
            "scale": scored.scale is None,
            "scale_squared": scored.scale_squared is None,
            "interval": scored.levels.size < 2,
            "classes": scored.n_classes == 0,
            "numbers": scored.n_classes > 0,
            "binary": scored.n_classes != 2,
        }
        return tuple(need for need in (self.of, *self.needs) if absent[need])

    def cells(self, scored: Scored) -> cells.Cells:
        """The metric's cells, or a DataError that says what is missing."""
        missing = self.missing(scored)
        if missing:
            raise DataError(f"{self.name} needs {_NEEDS[missing[0]]}. Bring it, or leave {self.name} out.")
        return self.function(scored)

    def finish(self, numerator: Floats, *, denominator: Floats) -> Floats:
        """The metric from its two sums; NaN where the denominator is 0, that is where nothing was counted."""
        empty = np.full(np.shape(numerator), np.nan)
        ratio: Floats = np.divide(numerator, denominator, out=empty, where=np.asarray(denominator) > 0)
        return np.asarray(np.sqrt(ratio)) if self.root else ratio


_NEEDS: dict[Need, str] = {
    "scale": "scale, the mean absolute seasonal difference of each past (see seasonal_scale)",
    "scale_squared": "scale_squared, the mean squared seasonal difference of each past (see seasonal_scale)",
    "interval": "forecasts at two or more levels",
    "classes": "classes and their probabilities",
    "numbers": "forecasts of numbers, and these are of classes",
    "binary": "two classes",
}


def find_metric(name: str) -> Metric:
    """The metric of that name; an unknown name is an error that says which is near.

    >>> find_metric("wape").formula
    'sum |f - y| / sum |y|'
    >>> find_metric("wapes")
    Traceback (most recent call last):
        ...
    tidewright.errors.UnknownNameError: no metric is called 'wapes'. Did you mean 'wape'? There are: ...
    """
    if name not in METRICS:
        raise UnknownNameError(explain_unknown("metric", name, METRICS))
    return METRICS[name]


def find_available(scored: Scored) -> tuple[str, ...]:
    """The names of the metrics that these windows bring all for.

    >>> "mase" in find_available(Scored([[1.0]], [[2.0]]))
    False
    >>> "mase" in find_available(Scored([[1.0]], [[2.0]], scale=[1.0]))
    True
    """
    return tuple(name for name, metric in METRICS.items() if not metric.missing(scored))


_ALL = (
    Metric("mae", "lower", "target", "mean |f - y|", "standard", cells.absolute_error),
    Metric("mse", "lower", "target squared", "mean (f - y)^2", "standard", cells.squared_error),
    Metric("rmse", "lower", "target", "sqrt(mean (f - y)^2)", "standard", cells.squared_error, root=True),
    Metric("mape", "lower", "fraction", "mean |f - y| / |y| where y != 0", "standard", cells.relative_error),
    Metric(
        "smape",
        "lower",
        "fraction",
        "mean 2 |f - y| / (|y| + |f|), 0 where both are 0",
        "Makridakis, Spiliotis and Assimakopoulos (2020), M4",
        cells.symmetric_error,
    ),
    Metric(
        "wape",
        "lower",
        "fraction",
        "sum |f - y| / sum |y|",
        "Kolassa and Schuetz (2007), MAD/mean",
        cells.weighted_error,
        pooling="ratio",
    ),
    Metric(
        "mase",
        "lower",
        "ratio",
        "mean |f - y| / scale",
        "Hyndman and Koehler (2006)",
        cells.scaled_error,
        needs=("scale",),
    ),
    Metric(
        "rmsse",
        "lower",
        "ratio",
        "sqrt(mean (f - y)^2 / scale_squared); the M5 score is its mean over series",
        "Hyndman and Koehler (2006); Makridakis, Spiliotis and Assimakopoulos (2022), M5",
        cells.squared_scaled_error,
        needs=("scale_squared",),
        root=True,
    ),
    Metric(
        "pinball",
        "lower",
        "target",
        "mean over cells and levels of max(q (y - f_q), (q - 1) (y - f_q))",
        "Koenker and Bassett (1978)",
        cells.pinball_loss,
    ),
    Metric(
        "wql",
        "lower",
        "fraction",
        "2 sum of the mean pinball loss over levels / sum |y|",
        "Salinas, Flunkert, Gasthaus and Januschowski (2020), DeepAR",
        cells.weighted_quantile_loss,
        pooling="ratio",
    ),
    Metric(
        "sql",
        "lower",
        "ratio",
        "mean of 2 pinball / scale",
        "fev-bench: Shchur and others (2025)",
        cells.scaled_quantile_loss,
        needs=("scale",),
    ),
    Metric(
        "crps",
        "lower",
        "target",
        "2 mean pinball, the plain mean over the levels standing for the integral over all levels",
        "Gneiting and Raftery (2007)",
        cells.quantile_score,
    ),
    Metric(
        "coverage",
        "nearest",
        "fraction",
        "share of y between the lowest and the highest level; the levels' distance is nominal",
        "Christoffersen (1998)",
        cells.inside_interval,
        needs=("interval",),
        aim=lambda scored: scored.nominal_coverage,
    ),
    Metric("bias", "nearest", "target", "mean f - y", "standard", cells.signed_error, aim=lambda _: 0.0),
    Metric("log_loss", "lower", "nat", "mean -log p(y)", "Good (1952)", class_cells.log_loss, of="classes"),
    Metric(
        "brier",
        "lower",
        "squared",
        "mean over cells of the sum over classes of (p_k - [y = k])^2, from 0 to 2",
        "Brier (1950)",
        class_cells.brier,
        of="classes",
    ),
    Metric(
        "accuracy", "higher", "fraction", "share of cells whose most probable class came", "standard",
        class_cells.accuracy, of="classes",
    ),
    Metric(
        "balanced_accuracy",
        "higher",
        "fraction",
        "mean over the classes that came of the accuracy in their cells",
        "Brodersen, Ong, Stephan and Buhmann (2010)",
        class_cells.balanced_accuracy,
        of="classes",
    ),
    Metric(
        "macro_f1",
        "higher",
        "fraction",
        "mean over classes of 2 hits / (said + came), of those that were said or came",
        "Opitz and Burst (2019), the mean of F1 scores",
        class_cells.macro_f1,
        of="classes",
    ),
    Metric(
        "calibration_error",
        "lower",
        "fraction",
        "mean over classes of sum over ten bins of p_k of |sum p_k - [y = k]| / cells",
        "Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song and Flach (2019), classwise",
        class_cells.calibration_error,
        of="classes",
    ),
    Metric(
        "auc",
        "higher",
        "fraction",
        "share of pairs of cells of either class in which the second class is the more probable where it came",
        "Hanley and McNeil (1982)",
        class_cells.auc,
        needs=("binary",),
        of="classes",
    ),
)  # fmt: skip

METRICS = MappingProxyType({metric.name: metric for metric in _ALL})
