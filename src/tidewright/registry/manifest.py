"""`Manifest`: what a bundle says of itself, as plain data that names nothing but catalog entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Literal

from tidewright.data.schema import Schema
from tidewright.data.task import Task
from tidewright.errors import BundleError, TidewrightError
from tidewright.features.view import MOST_STEPS, View
from tidewright.models.build import build_spec
from tidewright.models.spec import ModelSpec
from tidewright.models.specs.ensemble import Ensemble

FORMAT = 1
Precision = Literal["int8", "int8-static", "float16", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Widths:
    """How many past (P), known (K) and static (M) features the graph takes; an input without features is left
    out.
    """

    past: int = 0
    known: int = 0
    static: int = 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the graph's inputs."""
        return ("target", *(item.name for item in fields(self) if getattr(self, item.name)))


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest relative difference (see registry/parity) of the graph from the eager model when it was
    exported, what was allowed, on how many windows, and on which kind of window it was largest.
    """

    figure: float
    limit: float
    windows: int
    worst: str


@dataclass(frozen=True, slots=True)
class Trained:
    """What the model learned from: rows, series, and the first and last time with an observed target."""

    rows: int
    series: int
    first: str
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """The lower precision of a graph: which bundle it was made of (`original` is its digest), how many `layers` have
    it, the `metric` of both graphs on `windows` windows of validation and the `share` by which it was allowed to be
    worse, their sizes in bytes, and the microseconds of an answer by batch size on the machine that made it.
    `calibration` says how ranges were found.
    """

    precision: Precision
    original: str
    layers: int
    metric: str
    before: float
    after: float
    share: float
    windows: int
    bytes_before: int
    bytes_after: int
    us_before: dict[str, float]
    us_after: dict[str, float]
    calibration: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle says of itself; its view has a schema. `season` is the seasonal lag of its scale, `metrics` scores
    by model and name, `run` a Run's id. `no_graph` is why there is no ONNX graph (empty where there is one); then
    `parity` is None. `quantised` is None for a graph in float32. `lengths` are the shortest and the longest window that
    it takes besides those of the view's lookback; None: no others.
    """

    name: str
    spec: ModelSpec
    task: Task
    view: View
    season: int
    widths: Widths
    parity: Parity | None
    data: Trained
    versions: Mapping[str, str]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    run: str | None = None
    no_graph: str = ""
    quantised: Quantised | None = None
    lengths: tuple[int, int] | None = None

    @property
    def schema(self) -> Schema:
        """The columns that a forecast needs, and their grid."""
        assert self.view.schema is not None
        return self.view.schema

    @property
    def reach(self) -> tuple[int, int]:
        """The steps of the shortest and of the longest window that it answers."""
        return self.lengths or (self.view.lookback, self.view.lookback)

    def takes(self, steps: int) -> bool:
        """Whether it answers windows of so many steps."""
        shortest, longest = self.reach
        return shortest <= steps <= longest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The fields of a manifest whose types can be checked by name alone."""

    name: str
    task: Task
    view: View
    season: int
    widths: Widths
    schema: Schema
    parity: Parity | None
    data: Trained
    versions: dict[str, str]
    metrics: dict[str, float | str | dict[str, float | str | None] | None]
    run: str | None
    no_graph: str = ""
    quantised: Quantised | None = None
    lengths: tuple[int, int] | None = None


def takes_logs(manifest: Manifest) -> bool:
    """Whether the model, or a member of an ensemble, sees logarithms, which some finite numbers have none of."""
    members = manifest.spec.members if isinstance(manifest.spec, Ensemble) else ()
    return any(view.log is not None for view in (manifest.view, *(member.view for member in members)))


def to_plain(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain data, ready for JSON."""
    plain = asdict(manifest)
    schema, spec = plain["view"].pop("schema"), plain.pop("spec")
    for name in ("quantised", "lengths"):
        if plain[name] is None:
            del plain[name]
    return {**plain, "schema": schema, "format": FORMAT, "model": {"name": spec.pop("name"), "options": spec}}


def from_plain(plain: Mapping[str, Any]) -> Manifest:
    """The manifest back from plain data. Raises `BundleError` naming the field that is wrong."""
    from pydantic import ValidationError

    if "estimator" in plain:
        raise BundleError("this bundle is an estimator and forecasts nothing. Open it with tidewright.load_estimator.")
    if plain.get("format") != FORMAT:
        raise BundleError(
            f"this bundle has the format {plain.get('format')!r}; this Tidewright reads {FORMAT}. Open it with the "
            "version that wrote it, or export the model again."
        )
    model = plain.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("options"), dict):
        raise BundleError("the manifest's field 'model' does not name a model and its options.")
    try:
        spec = build_spec(str(model.get("name")), model["options"])
        stored = _adapter().validate_python({k: v for k, v in plain.items() if k in _names()})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"the manifest's field '{place}' is wrong: {first['msg']}.") from error
    except TidewrightError as error:
        raise BundleError(f"the manifest does not describe a model of this version: {error}") from error
    _check_sane(stored)
    stored = replace(stored, view=replace(stored.view, schema=stored.schema))
    return Manifest(spec=spec, **{name: getattr(stored, name) for name in _names() if name != "schema"})


@lru_cache(maxsize=1)
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(_Stored)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(item.name for item in fields(_Stored))


def _check_sane(stored: _Stored) -> None:
    """Numbers that a division, an allocation or a column of times would trust."""
    frequency, widths = stored.schema.frequency, stored.widths
    checks = {
        "view.lookback": 1 <= stored.view.lookback <= MOST_STEPS,
        "task.horizon": stored.task.horizon <= MOST_STEPS,
        "task.classes": stored.task.classes == stored.schema.classes and stored.task.width > 0,
        "season": 1 <= stored.season <= MOST_STEPS,
        "schema.frequency.count": frequency.count >= 1,
        "schema.frequency.calendar": (frequency.calendar is not None) == (frequency.unit == "session"),
        "lengths": stored.lengths is None
        or (1 <= stored.lengths[0] <= stored.view.lookback <= stored.lengths[1] <= MOST_STEPS and not stored.no_graph),
        "parity": (stored.parity is None) == bool(stored.no_graph),
        "widths": all(0 <= getattr(widths, item.name) <= 100_000 for item in fields(widths)),
    }
    for place, fine in checks.items():
        if not fine:
            raise BundleError(f"the manifest's field '{place}' holds a number or a name that can't be.")
