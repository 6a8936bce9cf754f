"""Boosted trees as a fitted model: one forest a quantile over every series, window and step.

N windows, L lookback, H horizon, Q quantiles. LightGBM trains them (training/fit_trees); here they are plain
arrays, so that a model predicts and opens where LightGBM is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.task import Task
from tidewright.errors import BundleError
from tidewright.features.view import View
from tidewright.features.windows import Windows
from tidewright.models.forest import Forest, forest_from_tensors
from tidewright.models.spec import LightGBM
from tidewright.models.tree_inputs import (
    TreeInputs,
    check_windows,
    step_features,
    window_features,
    window_units,
)

Doubles = npt.NDArray[np.float64]
CELLS = 1 << 17  # windows times steps predicted at once: bounds memory


@dataclass(frozen=True, eq=False)
class TreesFitted:
    """Learned trees, what they see (`inputs`), and what they were asked.

    Their answer is in the window's units; `predict` gives it back on the original scale.
    """

    spec: LightGBM
    task: Task
    view: View
    inputs: TreeInputs
    forest: Forest
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`. NaN for a window that holds no value at all."""
        check_windows(self.inputs, windows)
        horizon = self.task.horizon
        out = np.empty((len(windows), horizon, len(self.task.quantiles)))
        count = max(1, CELLS // horizon)
        for start in range(0, len(windows), count):
            chosen = np.arange(start, min(start + count, len(windows)))
            out[chosen] = self._predict(windows.subset(chosen))
        return out

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`; `trees_from_tensors` is the way back."""
        given = self.inputs
        counts = np.array([given.season, given.past, given.known, given.static], dtype=np.int64)
        places = {"relative_past": given.relative_past, "relative_known": given.relative_known}
        found = {name: np.array(columns, dtype=np.int64) for name, columns in places.items() if self.view.relative}
        return {**self.forest.tensors(), "counts": counts, "cycles": np.array(given.cycles, dtype=np.int64), **found}

    def _predict(self, windows: Windows) -> Doubles:
        horizon, units = self.task.horizon, window_units(windows)
        index = np.repeat(np.arange(len(windows)), horizon)
        steps = np.tile(np.arange(1, horizon + 1), len(windows))
        features = np.hstack(
            [
                window_features(self.inputs, windows, units)[index],
                step_features(self.inputs, windows, units, index=index, steps=steps),
            ]
        )
        answer = self.forest.predict(features, width=len(self.task.quantiles))
        mean, scale = (unit[:, None, None] for unit in units)
        return mean + scale * np.sort(answer.reshape(len(windows), horizon, -1), axis=2)


def trees_from_tensors(
    tensors: Mapping[str, npt.NDArray[Any]],
    *,
    spec: LightGBM,
    task: Task,
    view: View,
    history: tuple[Mapping[str, Any], ...] = (),
) -> TreesFitted:
    """The fitted trees of `TreesFitted.tensors` and their records.

    Raises `BundleError` where these don't belong together.
    """
    inputs = _read_inputs(tensors, spec, view)
    forest = forest_from_tensors(tensors, n_features=len(inputs.names), width=len(task.quantiles))
    return TreesFitted(spec=spec, task=task, view=view, inputs=inputs, forest=forest, history=history)


def settle_spec(spec: LightGBM, inputs: TreeInputs) -> LightGBM:
    """The spec with the lags and rolling lengths that were chosen."""
    return replace(spec, lags=inputs.lags, rolling=inputs.rolling)


def _read_inputs(tensors: Mapping[str, npt.NDArray[Any]], spec: LightGBM, view: View) -> TreeInputs:
    counts, cycles = tensors.get("counts"), tensors.get("cycles")
    if counts is None or cycles is None or counts.shape != (4,) or cycles.ndim != 1:
        raise BundleError("the trees' arrays 'counts' and 'cycles' are missing or malformed. Train the model anew.")
    season, past, known, static = (int(number) for number in counts)
    back = tuple(int(number) for number in cycles)
    sound = season >= 1 and min(past, known, static) >= 0 and len(spec.lags) > 0
    reach = max((*spec.lags, *spec.rolling, *(season * k for k in back)), default=0)
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
    )


def _read_places(tensors: Mapping[str, npt.NDArray[Any]], name: str, *, width: int, wanted: bool) -> tuple[int, ...]:
    """The places of relative covariates among `width`; none where the view has no such ones."""
    given = tensors.get(name)
    if not wanted and given is None:
        return ()
    if not wanted or given is None or given.ndim != 1 or not np.isin(given, np.arange(width)).all():
        raise BundleError(f"the trees' array '{name}' is missing, or does not fit their view. Train the model anew.")
    return tuple(int(place) for place in given)
