"""`Bundle`: a fitted model sealed in a folder: its graph, weights, schema, an example with its answer, and a
card.

No byte of it is used before its sha256 was compared, and nothing in it runs, names a class or points
elsewhere.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.checks import check_flag, check_kind, check_whole, to_path
from tidewright.data.panel import Panel, check_panel
from tidewright.data.splits import Split
from tidewright.errors import BundleError, ConfigError, ParityError
from tidewright.features.view import keep_schema
from tidewright.features.windows import Batch, Doubles
from tidewright.models.class_floors import ClassFloor
from tidewright.models.conformal import innermost
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.fitted import Fitted
from tidewright.models.floors import Floor
from tidewright.models.lengths import allow_lengths
from tidewright.models.logged import plain
from tidewright.models.statistical import Statistical
from tidewright.optional import require
from tidewright.registry.card import write_card
from tidewright.registry.manifest import Manifest, Parity, Trained, Widths, from_plain, to_plain
from tidewright.registry.reference import Reference, make_reference, read_reference, write_reference
from tidewright.registry.verify import CARD, EXAMPLE, GRAPH, REFERENCE, WEIGHTS, read_verified, seal
from tidewright.registry.write import write_folder

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHOWN = 8  # windows in the example
ANSWER = "answer"
_PACKAGES = (
    "tidewright", "numpy", "onnx", "onnxruntime", "torch", "lightgbm", "xgboost-cpu", "catboost", "scikit-learn",
    "holidays", "statsforecast", "chronos-forecasting", "timesfm",
)  # fmt: skip
NO_GRAPH_LIMIT = 1e-3  # an optimiser that fits each window ends elsewhere by the rounding of another processor

Scores = Mapping[str, float | str | Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle: where it was, its digest (of its content alone), what it says of itself, its bytes, and how
    many numbers its graph computes for one window, at most.

    A model that fits each window anew, or is another package's network, has no graph: see `manifest.no_graph`.
    """

    folder: Path
    digest: str
    manifest: Manifest
    files: Mapping[str, bytes]
    numbers: int

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.name

    @property
    def graph(self) -> bytes:
        """The ONNX graph, checked. Raises `BundleError` where there is none."""
        if self.manifest.no_graph:
            raise BundleError(f"'{self.name}' has no ONNX graph: {self.manifest.no_graph}. Ask its eager model.")
        return self.files[GRAPH]

    @property
    def card(self) -> str:
        """The model card, in Markdown."""
        return self.files[CARD].decode()

    @property
    def parity(self) -> float | None:
        """The largest difference of the graph's answers from the eager model's, relative to the window; None where
        there is no graph.
        """
        return None if self.manifest.parity is None else self.manifest.parity.figure

    @property
    def tolerance(self) -> float:
        """The difference that is allowed of a graph, or, where there is none, of the model that is opened again."""
        return NO_GRAPH_LIMIT if self.manifest.parity is None else self.manifest.parity.limit

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Every learned number, by name."""
        return read_tensors(self.files[WEIGHTS], name=WEIGHTS)

    def example(self) -> tuple[Batch, Doubles]:
        """A few windows, and the quantiles [N, H, Q] that the eager model gave for them."""
        return _read_example(self.files[EXAMPLE], self.manifest)

    @property
    def reference(self) -> Reference | None:
        """What its inputs, answers and errors looked like when it was made; None in a bundle of an older version."""
        content = self.files.get(REFERENCE)
        if content is None:
            return None
        return read_reference(read_tensors(content, name=REFERENCE), horizon=self.manifest.task.horizon)

    def __repr__(self) -> str:
        spec, grid = self.manifest.spec.name, self.manifest.schema.frequency.name
        return f"Bundle({self.name!r}, {spec}, {grid}, {self.digest[:12]})"


def save_bundle(
    fitted: Fitted,
    *,
    panel: Panel,
    folder: str | Path,
    name: str | None = None,
    split: Split | None = None,
    metrics: Scores | None = None,
    run: str | None = None,
    season: int | None = None,
    lengths: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Writes a fitted model as a bundle, in one step, and gives it back as it was read again.

    `panel` is what it learned from (with `split`, its training part); `metrics` are scores and remarks by
    name, or scores by model and name; `run` is the id of its Run; `season` is the seasonal lag of its scores (default:
    a floor's own, else the grid's); with `lengths` the graph takes windows of any length from the shortest to the
    longest, where the model has no weight that belongs to a step (else `ConfigError`).

    Raises `ParityError` where the graph's answers differ from the model's (where there is none, those of the model read
    again), and `BundleError` where the folder exists (unless `overwrite`) or can't be written.
    """
    _check_given(fitted, panel, split=split, metrics=metrics, season=season, overwrite=overwrite)
    name, place = check_name(fitted.spec.name if name is None else name), to_path("folder", folder, of="a new bundle")
    from tidewright.registry.export import explain_no_graph

    if lengths is not None:
        fitted = allow_lengths(fitted, lengths)
    view = fitted.view if fitted.view.schema else keep_schema(fitted.view, panel, takes=fitted.spec.takes)
    real, *others = _trial_windows(fitted, panel, lengths=lengths or ())
    no_graph = explain_no_graph(fitted)
    graph, widths, parity = (None, count_widths(fitted), None) if no_graph else _compile(fitted, real, others=others)
    manifest = Manifest(
        name=name,
        spec=fitted.spec,
        task=fitted.task,
        view=view,
        season=_season(fitted, panel, asked=season),
        widths=widths,
        parity=parity,
        data=_trained(panel, split),
        versions=written_with(),
        metrics=_scores(metrics),
        run=run,
        no_graph=no_graph,
        lengths=lengths,
    )
    rest = _write_rest(fitted, manifest, panel=panel, split=split, real=real)
    files = _take_graph(graph, manifest, files=rest)
    write_folder(seal(to_plain(manifest), files), place, overwrite=overwrite)
    return load_bundle(place)


def _write_rest(
    fitted: Fitted, manifest: Manifest, *, panel: Panel, split: Split | None, real: Batch
) -> dict[str, bytes]:
    """Every file beside the graph: weights, example, card, and what drift is told against."""
    slow = bool(manifest.no_graph)
    reference = write_reference(make_reference(fitted, panel, view=manifest.view, split=split, slow=slow))
    return {
        WEIGHTS: write_tensors(fitted.tensors()),
        EXAMPLE: _write_example(fitted, real, names=manifest.widths.inputs),
        CARD: write_card(manifest).encode(),
        REFERENCE: write_tensors(reference),
    }


def _trial_windows(fitted: Fitted, panel: Panel, *, lengths: tuple[int, ...]) -> list[Batch]:
    """Windows of the panel that the graph is held to: of the usual length, then of each other one."""
    from tidewright.registry.trial_windows import real_windows

    views = [fitted.view, *(replace(fitted.view, lookback=length) for length in lengths)]
    return [real_windows(panel, view, horizon=fitted.task.horizon) for view in views]


def _check_given(
    fitted: Fitted, panel: Panel, *, split: Split | None, metrics: Scores | None, season: int | None, overwrite: bool
) -> None:
    """Raises `ConfigError` and `DataError` for what is no such record, and `MissingExtraError`."""
    if not (hasattr(fitted, "spec") and hasattr(fitted, "predict")):
        raise ConfigError(f"a fitted model is needed; got {fitted!r}. Give what tw.fit gave.")
    check_panel(panel, "a bundle")
    if split is not None:
        check_kind("split", split, kind=Split, advice="Make one with tw.split_holdout.")
    if metrics is not None:
        check_kind("metrics", metrics, kind=Mapping, advice="Give scores by name.")
    if season is not None:
        check_whole("season", season)
    check_flag("overwrite", overwrite)
    for package in ("onnx", "onnxruntime", "safetensors"):
        require(package, extra="onnx", purpose="writing a bundle")


def _season(fitted: Fitted, panel: Panel, *, asked: int | None) -> int:
    """The seasonal lag of its scores."""
    inner = plain(innermost(fitted))
    if isinstance(inner, (ClassFloor, Floor, Statistical)):
        return inner.season
    return asked or panel.frequency.season


def _take_graph(graph: bytes | None, manifest: Manifest, *, files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with the graph; where there is none, the model is read again from them and asked."""
    if graph is None:
        _check_again(manifest, files)
        return files
    from tidewright.registry.check_graph import check_graph

    check_graph(graph, manifest)
    return {**files, GRAPH: graph}


def load_bundle(folder: str | Path) -> Bundle:
    """The bundle in a folder, verified. Raises `TamperedError` naming the file that differs, `BundleError`
    otherwise.
    """
    require("safetensors", extra="onnx", purpose="opening a bundle")
    place = to_path("bundle", folder, of="a bundle's folder")
    content = read_verified(place, spare=(GRAPH, REFERENCE))
    manifest = from_plain(content.manifest)
    if (GRAPH in content.files) == bool(manifest.no_graph):
        raise BundleError(
            f"'{folder}' {'holds' if manifest.no_graph else 'lacks'} {GRAPH}, against its manifest. Export it again."
        )
    numbers = 1
    if not manifest.no_graph:
        require("onnx", extra="onnx", purpose="opening a bundle")
        from tidewright.registry.check_graph import check_graph

        numbers = check_graph(content.files[GRAPH], manifest)
    return Bundle(place, content.digest, manifest, content.files, numbers)


def count_widths(fitted: Fitted) -> Widths:
    """How many features of each kind a model without a graph is given: those that a member of an ensemble reads."""
    inner = plain(innermost(fitted))
    if not isinstance(inner, EnsembleFitted):
        return Widths()
    kinds = {kind: [getattr(part, kind) for part in inner.spec.members] for kind in ("past", "known", "static")}
    return Widths(**{kind: 1 + max(max(places, default=-1) for places in each) for kind, each in kinds.items()})


def _compile(fitted: Fitted, real: Batch, *, others: Sequence[Batch]) -> tuple[bytes, Widths, Parity]:
    """The graph of a model, what it takes, and how near its answers are."""
    from tidewright.registry.check_graph import read_widths
    from tidewright.registry.export import to_onnx
    from tidewright.registry.parity import check_parity

    model = to_onnx(fitted)
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph, Widths(**read_widths(model)), check_parity(fitted, graph, real=real, others=others)


def _check_again(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """The model made again from the bundle's files gives the example's answer. Raises `ParityError`."""
    from tidewright.features.separate import to_windows
    from tidewright.registry.difference import relative_difference
    from tidewright.registry.rebuild import rebuild

    batch, answer = _read_example(files[EXAMPLE], manifest)
    again = rebuild(manifest, read_tensors(files[WEIGHTS], name=WEIGHTS))
    apart = relative_difference(
        again.predict(to_windows(batch, horizon=manifest.task.horizon)), answer, target=batch.target
    )
    if not apart <= NO_GRAPH_LIMIT:
        raise ParityError(
            f"'{manifest.spec.name}' made again from its bundle differs from itself by {apart:.3g} (relative), and "
            f"{NO_GRAPH_LIMIT:g} is allowed. The bundle was not written; report this model's spec."
        )


def check_name(name: str, *, what: str = "a bundle's name") -> str:
    """Raises `ConfigError` for a name that could not be a folder's."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{what} is 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit; got {name!r}."
        )
    return name


def _trained(panel: Panel, split: Split | None) -> Trained:
    first, last = panel.span
    if split is not None:
        first, last = split.train.first, split.train.last + split.horizon
    return Trained(len(panel.table), panel.n_series, panel.time_at(first), panel.time_at(last))


def written_with() -> dict[str, str]:
    """The versions of what a bundle was made with."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an optional one
            continue
    return found


def _scores(metrics: Scores | None) -> dict[str, Any]:
    """Scores and remarks as plain data; a score that is not finite is none."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if value is None or isinstance(value, str):
            return value
        if not isinstance(value, Real):
            raise ConfigError(f"metrics are numbers and remarks by name; got {value!r}. Leave it out.")
        return float(value) if isfinite(value) else None

    return {str(key): plain(value) for key, value in (metrics or {}).items()}


def write_tensors(tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays by name as safetensors."""
    from safetensors.numpy import save

    content: bytes = save({name: np.asarray(array, order="C") for name, array in sorted(tensors.items())})
    return content


def read_tensors(content: bytes, *, name: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of safetensors; `name` is the file's. Raises `BundleError`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, npt.NDArray[Any]] = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(f"{name} holds no tensors: {error}. Export the model again.") from error
    return tensors


def _write_example(fitted: Fitted, real: Batch, *, names: tuple[str, ...]) -> bytes:
    from tidewright.features.separate import to_windows
    from tidewright.registry.parity import to_feed
    from tidewright.registry.trial_windows import spread, take

    shown = take(real, spread(len(real.target), SHOWN))
    answer = fitted.predict(to_windows(shown, horizon=fitted.task.horizon))
    return write_tensors({**to_feed(shown, names=names), ANSWER: answer})


def _read_example(content: bytes, manifest: Manifest) -> tuple[Batch, Doubles]:
    found = read_tensors(content, name=EXAMPLE)
    widths, lookback, horizon = manifest.widths, manifest.view.lookback, manifest.task.horizon
    count = len(found.get(ANSWER, ()))
    shapes = {
        "target": (count, lookback),
        "past": (count, lookback, widths.past),
        "known": (count, lookback + horizon, widths.known),
        "static": (count, widths.static),
    }
    wanted = {name: shapes[name] for name in widths.inputs} | {ANSWER: (count, horizon, manifest.task.width)}
    if count == 0 or {name: array.shape for name, array in found.items()} != wanted:
        raise BundleError(
            f"{EXAMPLE} does not hold the inputs and the answer that the manifest says. Export the model again."
        )
    inputs = {name: found.get(name, np.empty(shape, np.float32)) for name, shape in shapes.items()}
    return Batch(**{name: array.astype(np.float32) for name, array in inputs.items()}), found[ANSWER].astype(np.float64)
