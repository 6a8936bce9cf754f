"""`quantise`: a bundle again with a graph of lower precision, if its forecasts stay nearly as good.

N windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from math import ceil, floor, log10
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tidewright.catalog import explain_unknown
from tidewright.checks import check_flag, check_kind, to_path
from tidewright.data.panel import Panel, check_panel
from tidewright.data.splits import Cutoffs, Split, check_grid, split_holdout
from tidewright.errors import BundleError, ConfigError, ParityError, UnknownNameError
from tidewright.features.windows import Batch, cut_windows
from tidewright.models.spec import kind_of
from tidewright.optional import require
from tidewright.registry.bundle import Bundle, check_name, load_bundle, written_with
from tidewright.registry.card import write_card
from tidewright.registry.manifest import Manifest, Parity, Precision, Quantised, to_plain
from tidewright.registry.verify import CARD, GRAPH, seal
from tidewright.registry.write import write_folder
from tidewright.training.evaluate import evaluate

SHARE = 0.02
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
NO_LAYERS = {
    "floor": "a formula",
    "class_floor": "a formula",
    "trees": "a model of cells (trees, forests, lines)",
    "statistical": "fitted on each window anew",
    "foundation": "another package's network",
}  # kinds of models that have no layers to make smaller, and what they are
CALIBRATED, AT_ONCE = 512, 64  # windows that ranges are found on, and how many are asked at once
MOST_APART = 0.5  # of the answer's size: beyond it a graph is another model, whatever its mean score
BATCHES = (1, 64)


@dataclass(frozen=True, eq=False, slots=True)
class Lowered:
    """A graph of lower precision, how many layers have it, and how ranges were found."""

    graph: bytes
    layers: int
    calibration: str = ""


def quantise(
    bundle: Bundle | str | Path,
    *,
    precision: str = "int8",
    panel: Panel,
    folder: str | Path,
    split: Split | None = None,
    share: float = SHARE,
    name: str | None = None,
    overwrite: bool = False,
) -> Bundle:
    """A new bundle whose graph's layers are of lower precision, made and sealed only where pinball loss (of classes log
    loss) on the validation windows is worse by less than `share` of itself.

    `precision` is int8 (inputs of a layer are rounded by their range in the batch that is asked, so that windows touch
    each other's answers within the tolerance), int8-static (by ranges found on training windows), float16 or bfloat16
    (for GPUs; on a processor they save space alone). `panel` is the table that the model learned from; without a
    `split` its training part ends where the bundle says that it did. The weights, the example and its answer stay the
    original's in float32; the tolerance is twice the largest difference that was found on real and hard windows.

    Raises `UnknownNameError`, `ConfigError`, and `BundleError` where nothing is to be gained or ONNX Runtime can't run
    the graph, and `ParityError` with the figures where it is not good enough; nothing is written then.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError(explain_unknown("precision", precision, PRECISIONS))
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise ConfigError(f"share is how much worse the metric may be, as a fraction from 0 up to 1; got {share!r}.")
    check_panel(panel, "a lower precision")
    if split is not None:
        check_kind("split", split, kind=Split, advice="Give the one that it was trained with.")
    check_flag("overwrite", overwrite)
    place = to_path("folder", folder, of="a new bundle")
    for package in ("onnx", "onnxruntime", "safetensors"):
        require(package, extra="onnx", purpose="a lower precision")
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    _check_fit(opened)
    panel = opened.manifest.view.read(panel)
    split = find_split(opened, panel) if split is None else split
    check_grid(split.train, panel)
    lowered = _lower(opened, precision, panel=panel, train=split.train)
    quantised = _judge(opened, lowered, precision=precision, panel=panel, split=split, share=share)
    manifest = replace(
        opened.manifest,
        name=opened.name if name is None else check_name(name),
        parity=_measure_parity(opened, lowered.graph, panel=panel, precision=precision),
        versions=written_with(),
        quantised=quantised,
    )
    return _write(opened, lowered.graph, manifest=manifest, folder=place, overwrite=overwrite)


def find_split(bundle: Bundle, panel: Panel) -> Split:
    """The usual split of a panel, moved so that its training part ends where the bundle's did. Raises `ConfigError`."""
    task, last = bundle.manifest.task, bundle.manifest.data.last
    first, end = panel.span
    usual = split_holdout(panel, task)
    found = first + bisect_left(range(first, end + 1), last, key=panel.time_at)
    moved = found - task.horizon - usual.train.last
    stop = min(usual.validation.last + moved, end - task.horizon)
    train = replace(usual.train, last=usual.train.last + moved)
    validation = replace(usual.validation, first=usual.validation.first + moved, last=stop)
    if found > end or panel.time_at(found) != last or not len(train) or not len(validation):
        raise ConfigError(
            f"'{bundle.name}' learned until {last}, and this panel goes to {panel.time_at(end)}: no windows of it tell "
            f"how good it is. Give the split that it was trained with, or a panel that goes on for "
            f"{task.horizon} steps at least."
        )
    return replace(usual, train=train, validation=validation, test=None)


def calibration_windows(bundle: Bundle, panel: Panel, *, train: Cutoffs) -> Batch:
    """Windows of the training part [N, ...], evenly apart among all."""
    from tidewright.registry.trial_windows import spread

    task, view = bundle.manifest.task, bundle.manifest.view
    windows = cut_windows(panel, view, horizon=task.horizon, cutoffs=train, least=1)
    return windows.subset(spread(len(windows), CALIBRATED)).batch()


def _check_fit(bundle: Bundle) -> None:
    """Raises `BundleError` for a bundle that has nothing to gain."""
    manifest = bundle.manifest
    what = NO_LAYERS.get(kind_of(manifest.spec))
    if what is not None:
        raise BundleError(
            f"{manifest.spec.name} is {what}: it has no layers of learned matrices, and nothing to gain from a lower "
            "precision. Seal it as it is."
        )
    if manifest.no_graph:
        raise BundleError(f"'{manifest.name}' has no graph: {manifest.no_graph}. Seal it as it is.")
    if manifest.lengths is not None:
        raise BundleError(
            f"'{manifest.name}' takes windows of {manifest.lengths[0]} to {manifest.lengths[1]} steps, and a lower "
            "precision is judged at one length. Save it without lengths first."
        )
    if manifest.quantised is not None:
        raise BundleError(
            f"'{manifest.name}' is {manifest.quantised.precision} already. Give the bundle that it was made of: "
            f"{manifest.quantised.original[:12]}."
        )


def _lower(bundle: Bundle, precision: str, *, panel: Panel, train: Cutoffs) -> Lowered:
    """The graph in that precision, which ONNX Runtime runs. Raises `BundleError`."""
    from tidewright.registry.half import to_half
    from tidewright.registry.int8 import to_dynamic, to_static
    from tidewright.registry.prepare_graph import prepare
    from tidewright.registry.strip_notes import strip_notes

    static = precision == "int8-static"  # its sums are in the product, or its weights would be widened at each answer
    model, calibration = prepare(bundle.graph, split=not static), ""
    if precision == "int8":
        made, layers = to_dynamic(model)
    elif static:
        batch = calibration_windows(bundle, panel, train=train)
        made, layers, errors = to_static(model, _feeds(bundle, batch))
        told = ", ".join(f"{method} {error:.2%}" for method, error in errors.items())
        calibration = (
            f"Ranges are those of {len(batch.target)} training windows, by {next(iter(errors))}; mean error of its "
            f"answers beside the others', over their spread: {told}."
        )
    else:
        made, layers = to_half(model, precision)
    if layers == 0:
        raise BundleError(
            f"{bundle.manifest.spec.name} has no layer that {precision} can have: nothing would be gained. Take "
            f"another of {', '.join(PRECISIONS)}, or seal it as it is."
        )
    graph: bytes = strip_notes(made).SerializeToString(deterministic=True)
    _check_runs(graph, precision, example=bundle.example()[0])
    return Lowered(graph, layers, calibration)


def _feeds(bundle: Bundle, batch: Batch) -> list[dict[str, Any]]:
    """The windows in batches of one size, by the names of the graph's inputs; what is left over is left out."""
    names, count = bundle.manifest.widths.inputs, len(batch.target)
    size = min(AT_ONCE, count)
    return [
        {name: np.ascontiguousarray(getattr(batch, name)[start : start + size]) for name in names}
        for start in range(0, count - size + 1, size)
    ]


def _check_runs(graph: bytes, precision: str, *, example: Batch) -> None:
    """Raises `BundleError` where ONNX Runtime has no kernels for a precision here, or these refuse the graph."""
    import onnxruntime.capi.onnxruntime_pybind11_state as states

    from tidewright.registry.parity import open_graph, run_graph

    kinds = ("Fail", "InvalidArgument", "InvalidGraph", "NotImplemented", "RuntimeException")
    try:
        run_graph(open_graph(graph), example)
    except tuple(getattr(states, kind) for kind in kinds) as error:
        raise BundleError(
            f"ONNX Runtime on this processor does not run {precision}: {str(error).splitlines()[0]}. Nothing was "
            "written; take another precision."
        ) from error


def _judge(bundle: Bundle, lowered: Lowered, *, precision: Any, panel: Panel, split: Split, share: float) -> Quantised:
    """What the precision costs on the validation windows, and brings. Raises `ParityError` where it costs too much."""
    from tidewright.registry.graph_fitted import GraphFitted
    from tidewright.registry.speed import time_graphs

    manifest = bundle.manifest
    metric = "log_loss" if manifest.task.classifies else "pinball"
    before, after = (
        evaluate(
            GraphFitted(manifest, graph), panel=panel, split=split, cutoffs=split.validation, season=manifest.season
        )
        for graph in (bundle.graph, lowered.graph)
    )
    figures = before.scores[metric], after.scores[metric]
    if not figures[1] <= figures[0] * (1 + share):
        worse = figures[1] / figures[0] - 1 if figures[0] else float("inf")
        raise ParityError(
            f"in {precision} the {metric} of '{manifest.name}' on {len(before.windows)} validation windows is "
            f"{figures[1]:.6g} instead of {figures[0]:.6g}, worse by {worse:.2%}; {share:.2%} is allowed. Nothing was "
            "written; take another precision, or allow a larger share."
        )
    example, _ = bundle.example()
    times = time_graphs((bundle.graph, lowered.graph), example, sizes=BATCHES)
    return Quantised(
        precision=precision,
        original=bundle.digest,
        layers=lowered.layers,
        metric=metric,
        before=figures[0],
        after=figures[1],
        share=float(share),
        windows=len(before.windows),
        bytes_before=len(bundle.graph),
        bytes_after=len(lowered.graph),
        us_before=times[0],
        us_after=times[1],
        calibration=lowered.calibration,
    )


def _measure_parity(bundle: Bundle, graph: bytes, *, panel: Panel, precision: str) -> Parity:
    """How far the answers are from those in float32 on real windows and hard ones, and twice that as the limit."""
    from tidewright.registry.difference import relative_difference
    from tidewright.registry.parity import open_graph, run_graph
    from tidewright.registry.trial_windows import hard_windows, real_windows

    manifest = bundle.manifest
    real = real_windows(panel, manifest.view, horizon=manifest.task.horizon)
    plain, lower = open_graph(bundle.graph), open_graph(graph)
    worst, where, count = 0.0, "real windows", 0
    for name, batch in (("real windows", real), ("the example", bundle.example()[0]), *hard_windows(real)):
        wanted = run_graph(plain, batch).astype(np.float64)
        target = None if manifest.task.classifies else batch.target
        figure = relative_difference(run_graph(lower, batch), wanted, target=target)
        count += len(batch.target)
        if figure > worst:
            worst, where = figure, name
    if not worst <= MOST_APART:
        raise ParityError(
            f"in {precision} the graph of '{manifest.name}' differs by {worst:.3g} (relative) on {where}, and at most "
            f"{MOST_APART:g} is allowed. Nothing was written; take another precision."
        )
    return Parity(worst, max(_round_up(2 * worst), bundle.tolerance), count, where)


def _round_up(value: float) -> float:
    """The value with two digits, upwards."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{ceil(value / unit) * unit:.2g}")


def _write(bundle: Bundle, graph: bytes, *, manifest: Manifest, folder: Path, overwrite: bool) -> Bundle:
    from tidewright.registry.check_graph import check_graph

    check_graph(graph, manifest)
    files = {**bundle.files, GRAPH: graph, CARD: write_card(manifest).encode()}
    write_folder(seal(to_plain(manifest), files), folder, overwrite=overwrite)
    return load_bundle(folder)
