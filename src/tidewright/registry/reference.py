"""`Reference`: what a model's inputs, answers and errors looked like when it was made: what live data are held against.

It is a small sample, in blocks of time, so that values that hang together from one step to the next are not taken for
independent ones. Nothing of the test part is in it: inputs are of the training part, answers of the validation part.

B blocks, R rows of a block, C columns, S series, A answers, H horizon.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs, Split
from tidewright.errors import BundleError, FallbackWarning, FitError, ShortSeriesError
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Singles, cut_windows
from tidewright.models.fitted import Fitted
from tidewright.registry.blocks import FEWEST_BLOCKS, Units, choose_block, find_units, sample_rows
from tidewright.registry.trial_windows import spread

MOST_COLUMNS = 64
CELLS = 8192  # answers times their horizon
MOST_ANSWERS, SLOW_ANSWERS = 512, 48  # the latter of a model without a graph, which may fit each window
_TEXT = "said"
_ARRAYS = {"inputs": 3, "answer_block": 1, "prediction": 2, "error": 2, "inside": 2, "centre": 1, "scale": 1}


@dataclass(frozen=True, eq=False)
class Reference:
    """See the file. `until` is the last time whose value the model learned from or was chosen on, `block` the steps of
    a block of inputs, `answer_steps` of a block of answers.

    `inputs` [B, R, C] are values of `columns` (the first is the target, in `units`; covariates as they are; NaN is a
    missing value), `rows` [B] how many of a block count. Of windows of the validation part, by their block
    [A]: the point forecast `prediction` [A, H], its absolute `error`, both in `units`, and whether the interval held
    the value `inside` (1 or 0); NaN where a value is missing. Of classes the prediction is the class's place and the
    error 1 where it was another one. `in_sample`: there was no validation part, so that the answers are of windows
    that the model learned from.
    """

    until: str
    block: int
    answer_steps: int
    columns: tuple[str, ...]
    inputs: Singles
    rows: npt.NDArray[np.int64]
    answer_block: npt.NDArray[np.int64]
    prediction: Singles
    error: Singles
    inside: Singles
    units: Units
    in_sample: bool


@dataclass(frozen=True, eq=False, slots=True)
class Answered:
    """What a model said of windows [A], in units, and how it came out; see `Reference`."""

    prediction: Singles
    error: Singles
    inside: Singles


def make_reference(fitted: Fitted, panel: Panel, *, view: View, split: Split | None, slow: bool) -> Reference:
    """The reference of a fitted model, from its panel and split; a `slow` model is asked less."""
    panel = view.read(panel)
    first, end = panel.span
    horizon = fitted.task.horizon
    learned = end if split is None else split.train.last + split.horizon
    block = choose_block(learned - first + 1, season=panel.frequency.season)
    units = find_units(panel, until=learned)
    roles = panel.roles
    columns = (roles.target, *roles.past, *roles.known)[:MOST_COLUMNS]
    inputs, rows = sample_rows(panel, columns, first=first, last=learned, block=block, units=units)
    later = Cutoffs((first + end) // 2, max(end - horizon, (first + end) // 2), grid=panel.frequency)
    judged = later if split is None else split.validation
    steps = max(choose_block(judged.last - judged.first + 1, season=horizon), horizon)  # nearer answers share labels
    said, cutoffs = _ask(fitted, panel, view, judged, units=units, most=SLOW_ANSWERS if slow else MOST_ANSWERS)
    seen = end if split is None else int(split.validation.positions[-1]) + horizon
    return Reference(
        until=panel.time_at(seen),
        block=block,
        answer_steps=steps,
        columns=columns,
        inputs=inputs,
        rows=rows,
        answer_block=((cutoffs - judged.first) // steps).astype(np.int64),
        prediction=said.prediction,
        error=said.error,
        inside=said.inside,
        units=units,
        in_sample=split is None,
    )


def compare_with_labels(
    said: Doubles, labels: Doubles, task: Any, *, units: tuple[Doubles, Doubles], series: npt.NDArray[Any]
) -> Answered:
    """Quantiles [A, H, Q] (of classes probabilities) beside what came [A, H]; `units` are centre and scale [S]."""
    missing = np.isnan(labels)
    if task.classifies:
        told = said.argmax(axis=2).astype(np.float64)
        error = np.where(missing, np.nan, told != labels)
        return Answered(told.astype(np.float32), error.astype(np.float32), np.full(told.shape, np.nan, np.float32))
    centre, scale = (values[series][:, None] for values in units)
    point = said[:, :, task.median]
    inside = (labels >= said[:, :, 0]) & (labels <= said[:, :, -1])
    return Answered(
        ((point - centre) / scale).astype(np.float32),
        (np.abs(point - labels) / scale).astype(np.float32),
        np.where(missing, np.nan, inside).astype(np.float32),
    )


def write_reference(reference: Reference) -> dict[str, npt.NDArray[Any]]:
    """As tensors: what is no number is text in one of them."""
    units = reference.units
    said: dict[str, Any] = {"until": reference.until, "block": reference.block, "columns": reference.columns}
    said |= {"answer_steps": reference.answer_steps}
    said |= {"series": units.series, "in_sample": reference.in_sample}
    arrays = {name: getattr(reference, name) for name in _ARRAYS if name not in ("centre", "scale")}
    arrays |= {"rows": reference.rows, "centre": units.centre, "scale": units.scale}
    text = json.dumps(said, ensure_ascii=False).encode()
    return {**arrays, _TEXT: np.frombuffer(text, dtype=np.uint8)}


def read_reference(tensors: Mapping[str, npt.NDArray[Any]], *, horizon: int) -> Reference:
    """The reference back from its tensors. Raises `BundleError` where they are none."""
    try:
        said = json.loads(tensors[_TEXT].tobytes())
        arrays: dict[str, Any] = {name: tensors[name] for name in (*_ARRAYS, "rows")}
        units = Units(tuple(said["series"]), arrays.pop("centre"), arrays.pop("scale"))
        columns = tuple(map(str, said["columns"]))
        named: dict[str, Any] = {
            "until": str(said["until"]),
            "block": int(said["block"]),
            "answer_steps": int(said["answer_steps"]),
            "in_sample": bool(said["in_sample"]),
        }
    except (KeyError, ValueError, TypeError) as error:
        raise BundleError(f"the bundle's reference can't be read: {error}. Save the bundle again.") from error
    found = Reference(**arrays, **named, columns=columns, units=units)
    _check(found, horizon=horizon)
    return found


def _check(found: Reference, *, horizon: int) -> None:
    shapes = {
        "inputs": found.inputs.shape == (len(found.rows), *found.inputs.shape[1:2], len(found.columns)),
        "prediction": found.prediction.shape == (len(found.answer_block), horizon),
        "error": found.error.shape == found.prediction.shape,
        "inside": found.inside.shape == found.prediction.shape,
        "scale": found.units.centre.shape == found.units.scale.shape == (len(found.units.series),),
        "block": found.block >= 1 and found.answer_steps >= 1,
        "rows": found.rows.ndim == 1 and bool((found.rows >= 0).all()),
    }
    for name, fits in shapes.items():
        if not fits:
            raise BundleError(f"the bundle's reference has '{name}' in another shape than it says. Save it again.")


def _ask(
    fitted: Fitted, panel: Panel, view: View, cutoffs: Cutoffs, *, units: Units, most: int
) -> tuple[Answered, npt.NDArray[np.int64]]:
    """What a model says of some labelled windows at the cutoffs, evenly over time, and the cutoff of each [A]; none
    where there is no window, or where a strict model fails on one.
    """
    horizon = fitted.task.horizon
    try:
        windows = cut_windows(panel, view, horizon=horizon, cutoffs=cutoffs, least=1)
        order = np.argsort(windows.cutoffs, kind="stable")
        windows = windows.subset(order[spread(len(order), max(FEWEST_BLOCKS, min(most, CELLS // horizon)))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)  # told where the model is scored
            said = np.asarray(fitted.predict(windows), dtype=np.float64)
    except (ShortSeriesError, FitError):
        nothing = np.empty((0, horizon), np.float32)
        return Answered(nothing, nothing, nothing), np.empty(0, np.int64)
    labels, series = windows.labels(), windows.series
    return compare_with_labels(said, labels, fitted.task, units=units.of(panel), series=series), windows.cutoffs
