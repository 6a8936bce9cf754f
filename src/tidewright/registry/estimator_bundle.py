"""`EstimatorBundle`: a learned estimator sealed in a folder, as data only: graph, weights, an example, a card.

S series, F features. No byte of it is used before its sha256 was compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.panel import Panel
from tidewright.errors import BundleError, ParityError, TidewrightError
from tidewright.features.shape import ShapeSpec, shape_table
from tidewright.models.estimator import Estimator, Judgement, is_measured, pick_features, read_estimator_formula
from tidewright.models.specs.estimators import ESTIMATORS, EstimatorSpec
from tidewright.optional import require
from tidewright.registry.bundle import read_tensors, write_tensors, written_with
from tidewright.registry.card import write_estimator_card
from tidewright.registry.verify import CARD, EXAMPLE, GRAPH, WEIGHTS, read_verified, seal
from tidewright.registry.write import write_folder

FORMAT = "tidewright-estimator-1"
PARITY = 1e-5  # the difference of the graph's answers that is allowed, over the larger of answer and interval
SHOWN, TRIED = 8, 256  # series in the example, and in the comparison with the graph
_ANSWER = "answer"

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EstimatorBundle:
    """A verified bundle: where it is, its digest, the estimator in it, its ONNX graph and its card, and by how much the
    graph's answers differed from the estimator's when it was written.
    """

    folder: Path
    digest: str
    estimator: Estimator
    graph: bytes
    card: str
    parity: float

    def __repr__(self) -> str:
        return f"EstimatorBundle({self.estimator.spec.name}, {self.estimator.target}, {self.digest[:12]})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What the manifest says, but for the estimator's record."""

    shape: ShapeSpec
    features: tuple[str, ...]
    target: str
    coverage: float
    judgement: Judgement
    notes: tuple[dict[str, int | str], ...]
    parity: float
    versions: dict[str, str]


def save_estimator(
    estimator: Estimator, *, panel: Panel, folder: str | Path, overwrite: bool = False
) -> EstimatorBundle:
    """Writes an estimator as a bundle, in one step, and gives it back as it was read again.

    The graph is held to the estimator on the series of `panel` and on hard features made of theirs; a few of its series
    are the example. Raises `ParityError` where they differ, `BundleError` where the folder exists (unless `overwrite`),
    can't be written, or no series of the panel can be estimated.
    """
    for package in ("onnx", "onnxruntime", "safetensors"):
        require(package, extra="onnx", purpose="writing a bundle")
    from tidewright.registry.onnx_estimator import FEATURES, estimator_to_onnx

    graph = estimator_to_onnx(estimator).SerializeToString(deterministic=True)
    inputs = pick_features(shape_table(panel, spec=estimator.shape), estimator.features)
    inputs = inputs[is_measured(inputs)][:TRIED]
    if not len(inputs):
        raise BundleError(
            "no series of the panel can be estimated. Give one with longer series, such as it learned from."
        )
    parity = _check_parity(estimator, graph, inputs=inputs)
    known = _Stored(
        shape=estimator.shape,
        features=estimator.features,
        target=estimator.target,
        coverage=estimator.coverage,
        judgement=estimator.judgement,
        notes=tuple(dict(note) for note in estimator.notes),
        parity=parity,
        versions=written_with(),
    )
    spec = asdict(estimator.spec)
    plain = {**_plain(asdict(known)), "format": FORMAT, "estimator": {"name": spec.pop("name"), "options": spec}}
    shown = inputs[:SHOWN]
    files = {
        GRAPH: graph,
        WEIGHTS: write_tensors(estimator.tensors()),
        EXAMPLE: write_tensors({FEATURES: shown, _ANSWER: estimator.predict(shown)}),
        CARD: write_estimator_card(estimator, parity=parity).encode(),
    }
    write_folder(seal(plain, files), Path(folder), overwrite=overwrite)
    return load_estimator(folder)


def load_estimator(folder: str | Path) -> EstimatorBundle:
    """The bundle of an estimator, verified, and checked against its own example.

    No library that trains is needed. Raises `TamperedError` naming the file that differs, `ParityError` where the
    example's answer does not come out, `BundleError` otherwise.
    """
    for package in ("onnx", "safetensors"):
        require(package, extra="onnx", purpose="opening a bundle")
    content = read_verified(Path(folder))
    spec, stored = _read_manifest(content.manifest)
    tensors = read_tensors(content.files[WEIGHTS], name=WEIGHTS)
    offsets = tensors.pop("offsets", None)
    if offsets is None or offsets.shape != (2,) or offsets.dtype != np.float64 or not offsets[0] <= offsets[1]:
        raise BundleError(f"{WEIGHTS} holds no interval: 'offsets' should be two ascending float64. Fit it anew.")
    estimator = Estimator(
        spec=spec,
        shape=stored.shape,
        features=stored.features,
        target=stored.target,
        formula=read_estimator_formula(spec, tensors, n_features=len(stored.features)),
        offsets=offsets,
        coverage=stored.coverage,
        judgement=stored.judgement,
        notes=stored.notes,
    )
    _check_graph(content.files[GRAPH], width=len(stored.features))
    _check_example(estimator, content.files[EXAMPLE])
    card = content.files[CARD].decode()
    return EstimatorBundle(Path(folder), content.digest, estimator, content.files[GRAPH], card, stored.parity)


def _check_parity(estimator: Estimator, graph: bytes, *, inputs: Singles) -> float:
    """The largest difference of the graph's answers, relative to the answer or the interval, whichever is larger."""
    from tidewright.registry.onnx_estimator import ESTIMATES, FEATURES
    from tidewright.registry.parity import open_graph

    session, worst = open_graph(graph), 0.0
    draw = np.random.default_rng(0)
    holes = np.where(draw.random(inputs.shape) < 0.4, np.float32(np.nan), inputs)
    noise = draw.normal(size=inputs.shape).astype(np.float32)
    trials = (
        inputs,
        inputs[:1],
        holes,
        np.zeros_like(inputs),
        inputs * np.float32(1e6),
        inputs * np.float32(1e-6),
        noise,
    )
    for trial in trials:
        eager, made = estimator.predict(trial), session.run([ESTIMATES], {FEATURES: trial})[0]
        missing = np.isnan(eager)
        if not np.array_equal(missing, np.isnan(made)):
            worst = float("inf")
            break
        size = np.maximum(np.abs(eager), np.ptp(estimator.offsets))
        apart = np.abs(made - eager) / np.maximum(size, np.finfo(np.float32).tiny)
        worst = max(worst, float(np.max(apart, where=~missing, initial=0.0)))
    if not worst <= PARITY:
        raise ParityError(
            f"the ONNX graph of the estimator '{estimator.spec.name}' differs from it by {worst:.3g} (relative); "
            f"{PARITY:g} is allowed. The bundle was not written; keep the estimator, or report its options."
        )
    return worst


def _read_manifest(plain: Mapping[str, Any]) -> tuple[EstimatorSpec, _Stored]:
    from pydantic import ValidationError

    if plain.get("format") != FORMAT:
        raise BundleError(
            f"this bundle has the format {plain.get('format')!r}, and an estimator's is {FORMAT}. Open a model that "
            "forecasts with tidewright.open."
        )
    given = plain.get("estimator")
    if not isinstance(given, dict) or not isinstance(given.get("options"), dict):
        raise BundleError("the manifest's field 'estimator' does not name an estimator and its options.")
    try:
        spec = _adapter(ESTIMATORS.load(str(given.get("name")))).validate_python(given["options"])
        stored: _Stored = _adapter(_Stored).validate_python({k: v for k, v in plain.items() if k in _FIELDS})
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(
            f"the manifest's field '{'.'.join(map(str, first['loc']))}' is wrong: {first['msg']}."
        ) from error
    except TidewrightError as error:
        raise BundleError(f"the manifest does not describe an estimator of this version: {error}") from error
    strangers = [name for name in stored.features if name not in stored.shape.names]
    if strangers or not stored.features or not 0.0 < stored.coverage < 1.0:
        reason = explain_unknown("feature", strangers[0], stored.shape.names) if strangers else "a number can't be."
        raise BundleError(f"the manifest does not describe an estimator of this version: {reason}")
    return spec, stored


_FIELDS = frozenset(_Stored.__dataclass_fields__)


@lru_cache(maxsize=8)
def _adapter(record: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(record)


def _check_graph(content: bytes, *, width: int) -> None:
    from tidewright.registry.check_graph import REMEDY, read_graph
    from tidewright.registry.graph_size import check_sizes
    from tidewright.registry.onnx_estimator import ESTIMATES, FEATURES

    model = read_graph(content)
    values = [*model.graph.input, *model.graph.output]
    found = {value.name: value.type.tensor_type.shape.dim[-1].dim_value for value in values}
    if found != {FEATURES: width, ESTIMATES: 3}:
        raise BundleError(f"model.onnx takes and gives {found}; the manifest says {width} features. {REMEDY}")
    check_sizes(model)


def _check_example(estimator: Estimator, content: bytes) -> None:
    from tidewright.registry.onnx_estimator import FEATURES

    found = read_tensors(content, name=EXAMPLE)
    inputs, answer = found.get(FEATURES), found.get(_ANSWER)
    width = len(estimator.features)
    if inputs is None or answer is None or inputs.shape != (len(answer), width) or inputs.dtype != np.float32:
        raise BundleError(f"{EXAMPLE} does not hold features and their answer. Save the estimator again.")
    if not np.allclose(estimator.predict(inputs), answer, rtol=1e-9, atol=1e-12, equal_nan=True):
        raise ParityError(
            "the estimator does not give the answer of the bundle's example. Save it again on this machine."
        )


def _plain(value: Any) -> Any:
    """Plain data for JSON; a number that is not finite is none."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
