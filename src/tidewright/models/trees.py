"""A formula of cells as a fitted model: one for all series, windows and steps; mostly boosted trees.

N windows, L lookback, H horizon, Q quantiles. Libraries train it (training/fit_trees); here it is plain arrays, so that
a model predicts and opens where they are not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.errors import BundleError
from tidewright.features.narrow import narrow_windows
from tidewright.features.view import View
from tidewright.features.windows import Windows
from tidewright.models.abreast import abreast_from_tensors
from tidewright.models.by_step import by_step_from_tensors
from tidewright.models.calibrated import softmax
from tidewright.models.formula import Formula, read_formula
from tidewright.models.rollout import roll_out
from tidewright.models.season_inputs import SeasonInputs
from tidewright.models.specs.tabular import Tabular
from tidewright.models.tree_inputs import (
    TreeInputs,
    check_windows,
    label_units,
    plan_groups,
    step_features,
    window_features,
    window_units,
)

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
CELLS = 1 << 17  # windows times steps predicted at once: bounds memory


@dataclass(frozen=True, eq=False)
class TreesFitted:
    """A learned formula, what it sees (`inputs`), and what it was asked.

    Of classes it answers the score or the margin of each, or, where it is a forest of shares, their probabilities, and
    `predict` gives these [N, H, K]. Else its answer is in the units of `inputs`, and `predict` gives it back on the
    original scale. A formula of one output, the point, has `offsets` [H, Q]: what is added to it for each quantile, in
    the same units (those of the window at the cutoff, where a formula of one step is rolled out).
    """

    spec: Tabular
    task: Task
    view: View
    inputs: TreeInputs
    formula: Formula
    offsets: Doubles | None = None
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`. NaN for a window that holds no value at all."""
        check_windows(self.inputs, windows)
        horizon = self.task.horizon
        out = np.empty((len(windows), horizon, self.task.width))
        count = max(1, CELLS // horizon)
        for start in range(0, len(windows), count):
            chosen = np.arange(start, min(start + count, len(windows)))
            out[chosen] = self._predict(narrow_windows(windows.subset(chosen)))
        return out

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`; `trees_from_tensors` is the way back."""
        given = self.inputs
        counts = np.array([given.season, given.past, given.known, given.static], dtype=np.int64)
        places = {"relative_past": given.relative_past, "relative_known": given.relative_known}
        found: dict[str, npt.NDArray[Any]] = {
            name: np.array(columns, dtype=np.int64) for name, columns in places.items() if self.view.relative
        }
        found |= {} if self.offsets is None else {"offsets": self.offsets}
        found |= {} if given.align is None else {"align": np.array([given.align], dtype=np.int64)}
        return {**self.formula.tensors(), "counts": counts, "cycles": np.array(given.cycles, dtype=np.int64), **found}

    def cells(self, windows: Windows) -> tuple[Singles, tuple[Doubles, Doubles]]:
        """What the formula sees of every step of every window [N * H, F], and what its answers are counted from and in
        [N * H], window after window."""
        horizon, units = self.task.horizon, window_units(windows, self.inputs.unit)
        index = np.repeat(np.arange(len(windows)), horizon)
        steps = np.tile(np.arange(1, horizon + 1), len(windows))
        shared = window_features(self.inputs, windows, units)[index]
        own = step_features(self.inputs, windows, units, index=index, steps=steps)
        return np.hstack([shared, own]), label_units(self.inputs, windows, units, index=index, steps=steps)

    def _predict(self, windows: Windows) -> Doubles:
        if self.spec.strategy == "recursive":
            assert self.offsets is not None
            points = roll_out(self.inputs, self.formula, windows)
            scale = window_units(windows, self.inputs.unit)[1]
            return np.sort(points[:, :, None] + scale[:, None, None] * self.offsets, axis=2)
        features, (start, scale) = self.cells(windows)
        width = self.task.width if self.offsets is None else 1
        answer = self.formula.predict(features, width=width).reshape(len(windows), self.task.horizon, width)
        if self.task.classifies:
            return answer / answer.sum(axis=2, keepdims=True) if self.spec.shares else softmax(answer)
        if self.offsets is not None:
            answer = answer + self.offsets
        shape = (len(windows), self.task.horizon, 1)
        return start.reshape(shape) + scale.reshape(shape) * np.sort(answer, axis=2)


def trees_from_tensors(
    tensors: Mapping[str, npt.NDArray[Any]],
    *,
    spec: Tabular,
    task: Task,
    view: View,
    history: tuple[Mapping[str, Any], ...] = (),
) -> TreesFitted:
    """The fitted model of `TreesFitted.tensors` and their records.

    Raises `BundleError` where these don't belong together.
    """
    inputs = _read_inputs(tensors, spec, view, classes=len(task.classes))
    offsets = _read_offsets(tensors, spec, task)
    width = task.width if offsets is None else 1
    sizes = {"n_features": len(inputs.names), "width": width}
    if spec.strategy == "direct":
        place = inputs.names.index("step")
        formula: Formula = by_step_from_tensors(spec.name, tensors, horizon=task.horizon, place=place, **sizes)
    elif spec.strategy == "multi":
        n_features = sizes["n_features"]
        formula = abreast_from_tensors(
            spec.name, tensors, horizon=task.horizon, shared=inputs.shared, n_features=n_features
        )
    else:
        formula = read_formula(spec.name, tensors, **sizes)
    return TreesFitted(
        spec=spec, task=task, view=view, inputs=inputs, formula=formula, offsets=offsets, history=history
    )


def settle_spec(spec: Tabular, inputs: TreeInputs) -> Tabular:
    """The spec with the lags and rolling lengths that were chosen."""
    return replace(spec, lags=inputs.lags, rolling=inputs.rolling)


def _read_inputs(tensors: Mapping[str, npt.NDArray[Any]], spec: Tabular, view: View, *, classes: int) -> TreeInputs:
    counts, cycles = tensors.get("counts"), tensors.get("cycles")
    if counts is None or cycles is None or counts.shape != (4,) or cycles.ndim != 1:
        raise BundleError("the trees' arrays 'counts' and 'cycles' are missing or malformed. Train the model anew.")
    season, past, known, static = (int(number) for number in counts)
    back = tuple(int(number) for number in cycles)
    sound = season >= 1 and min(past, known, static) >= 0 and len(spec.lags) > 0
    before = SeasonInputs(season, view.lookback, spec.ratios, spec.around)
    reach = max((*spec.lags, *spec.rolling, *(season * k for k in back), before.reach), default=0)
    if not sound or reach > view.lookback or min((*spec.lags, *spec.rolling, *back), default=1) < 1:
        raise BundleError(
            f"the trees reach back {reach} rows with season {season}, and the view {view.lookback}: the arrays "
            "and the records belong to different models. Train the model anew."
        )
    return TreeInputs(
        lookback=view.lookback,
        season=season,
        lags=spec.lags,
        rolling=spec.rolling,
        cycles=back,
        past=past,
        known=known,
        static=static,
        relative_past=_read_places(tensors, "relative_past", width=past, wanted=view.relative),
        relative_known=_read_places(tensors, "relative_known", width=known, wanted=view.relative),
        ratios=spec.ratios,
        around=spec.around,
        align=_read_align(tensors, spec, known=known),
        groups=plan_groups(spec, view.static),
        statistics=spec.statistics,
        unit="class" if classes else spec.unit,
        classes=classes,
    )


def _read_offsets(tensors: Mapping[str, npt.NDArray[Any]], spec: Tabular, task: Task) -> Doubles | None:
    """The offsets of a formula of the point alone; None where every quantile was learned."""
    given = tensors.get("offsets")
    shape, points = (task.horizon, task.width), spec.points and not task.classifies
    if not points and given is None:
        return None
    if not points or given is None or given.shape != shape or given.dtype != np.float64:
        raise BundleError(
            f"the trees' array 'offsets' should be float64 of the shape {shape} with the losses median and mean and "
            f"the strategies recursive and multi, and absent otherwise; they are {spec.loss} and {spec.strategy}. "
            "Train the model anew."
        )
    return given


def _read_align(tensors: Mapping[str, npt.NDArray[Any]], spec: Tabular, *, known: int) -> int | None:
    """The place of the known covariate that the spec is aligned by; None where it is aligned by none."""
    given = tensors.get("align")
    if not spec.align and given is None:
        return None
    if not spec.align or given is None or given.shape != (1,) or not 0 <= int(given[0]) < known:
        raise BundleError("the trees' array 'align' is missing, or does not fit their spec. Train the model anew.")
    return int(given[0])


def _read_places(tensors: Mapping[str, npt.NDArray[Any]], name: str, *, width: int, wanted: bool) -> tuple[int, ...]:
    """The places of relative covariates among `width`; none where the view has no such ones."""
    given = tensors.get(name)
    if not wanted and given is None:
        return ()
    if not wanted or given is None or given.ndim != 1 or not np.isin(given, np.arange(width)).all():
        raise BundleError(f"the trees' array '{name}' is missing, or does not fit their view. Train the model anew.")
    return tuple(int(place) for place in given)
