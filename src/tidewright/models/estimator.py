"""`Estimator`: a number that belongs to a whole series, estimated from the series' shape.

S series, F features. Libraries train it (training/fit_estimator); here it is plain arrays, so that it estimates and
opens where they are not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.data.panel import Panel, check_panel
from tidewright.errors import ColumnError, ConfigError
from tidewright.features.shape import ShapeSpec, shape_table
from tidewright.models.forest import forest_from_tensors
from tidewright.models.formula import Formula
from tidewright.models.machine import machine_from_tensors
from tidewright.models.specs.estimators import EstimatorSpec, VectorEstimator

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
LEAST_MEASURED = 0.5  # the share of features that a series needs to be estimated
COLUMNS = ("estimate", "lower", "upper", "measured")


@dataclass(frozen=True, slots=True)
class EstimatorScore:
    """How far off estimates of series were that the model had not seen: over `n` series, in the target's unit.

    `bias` is the mean of estimate less truth.
    """

    model: str
    mae: float
    rmse: float
    bias: float
    n: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of an estimator's accuracy, all of it out of fold.

    `scores` are those of the model, then those of its floors: the mean and the median of the training targets.
    `p_value` is of a one-sided t test over groups that its absolute errors are as large as those of the best floor;
    None with fewer than 8 groups. `covered` is the share of series inside the interval made without their own fold.
    """

    scores: tuple[EstimatorScore, ...]
    p_value: float | None
    covered: float


@dataclass(frozen=True, eq=False)
class Estimator:
    """A learned estimator of `target`. It is never changed by what it is asked.

    `features` are columns of `shape_table` by `shape`, `offsets` [2] what is added to an estimate for the interval that
    holds the share `coverage` of series, and `notes` what was chosen or left out while it learned.
    """

    spec: EstimatorSpec
    shape: ShapeSpec
    features: tuple[str, ...]
    target: str
    formula: Formula
    offsets: Doubles
    coverage: float
    judgement: Judgement
    notes: tuple[Mapping[str, Any], ...] = field(default=())

    def estimate(self, panel: Panel, *, until: int | None = None) -> pl.DataFrame:
        """One row a series: its id, `estimate`, the interval from `lower` to `upper`, and how many features were
        `measured`.

        At the rows up to the grid position `until`, where one is given. Null where less than half of the features can
        be measured: too short a series, or one that does not move.
        """
        check_panel(panel, "an estimate")
        table = shape_table(panel, spec=self.shape, until=until)
        if table.columns[0] in COLUMNS:
            raise ColumnError(
                f"the column of the series' ids, '{table.columns[0]}', has a name of the answer. Rename it."
            )
        inputs = pick_features(table, self.features)
        made = [pl.Series(name, column) for name, column in zip(COLUMNS, self.predict(inputs).T, strict=False)]
        measured = pl.Series(COLUMNS[3], (~np.isnan(inputs)).sum(axis=1))
        return pl.DataFrame([table.to_series(0), *made, measured]).with_columns(pl.col(COLUMNS[:3]).fill_nan(None))

    def predict(self, inputs: Singles) -> Doubles:
        """Estimate, lower and upper end [S, 3] for features [S, F] in the order of `features`; NaN is missing."""
        if inputs.ndim != 2 or inputs.shape[1] != len(self.features) or inputs.dtype != np.float32:
            raise ConfigError(
                f"an estimator reads float32 features [S, {len(self.features)}]; got {inputs.dtype} of shape "
                f"{inputs.shape}. Give them in the order of its `features`."
            )
        point = self.formula.predict(inputs, width=1)
        ends = np.hstack([point, point + self.offsets])
        return np.where(is_measured(inputs)[:, None], ends, np.nan)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Every learned number, by name."""
        return {**self.formula.tensors(), "offsets": self.offsets}

    def __repr__(self) -> str:
        own, *floors = self.judgement.scores
        best = min(floors, key=lambda score: score.mae)
        return (
            f"Estimator({self.spec.name}, {self.target}, {len(self.features)} features, "
            f"MAE {own.mae:.4g} out of fold on {own.n} series, {best.model} {best.mae:.4g})"
        )


def pick_features(table: pl.DataFrame, features: tuple[str, ...]) -> Singles:
    """The features [S, F] of a shape table in float32; NaN where they can't be measured."""
    return table.select(features).fill_null(float("nan")).to_numpy().astype(np.float32)


def is_measured(inputs: Singles) -> npt.NDArray[np.bool_]:
    """Which series [S] have enough features to be estimated."""
    return np.asarray((~np.isnan(inputs)).sum(axis=1) >= LEAST_MEASURED * inputs.shape[1])


def read_estimator_formula(spec: EstimatorSpec, tensors: Mapping[str, npt.NDArray[Any]], *, n_features: int) -> Formula:
    """The formula of an estimator from its tensors. Raises `BundleError`."""
    if isinstance(spec, VectorEstimator):
        return machine_from_tensors(tensors, n_features=n_features, width=1)
    return forest_from_tensors(tensors, n_features=n_features, width=1)
