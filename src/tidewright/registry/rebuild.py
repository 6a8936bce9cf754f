"""A `Fitted` again, from a manifest and its tensors: by catalog names, never by anything that a file
names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tidewright.data.schema import Schema
from tidewright.errors import BundleError
from tidewright.models.build import build_spec
from tidewright.models.calibrated import MARK as CALIBRATION
from tidewright.models.calibrated import Calibrated, read_scaling
from tidewright.models.class_floors import ClassFloor
from tidewright.models.class_inputs import told_classes
from tidewright.models.class_ridge import ClassRidge
from tidewright.models.conformal import Conformal, read_mark
from tidewright.models.ensemble import EnsembleFitted, prefix
from tidewright.models.fitted import Fitted
from tidewright.models.floors import Floor, FloorSpec
from tidewright.models.foundation import DIGEST, Foundation
from tidewright.models.logged import Logged
from tidewright.models.pretrained import find_again
from tidewright.models.spec import COMPOSED, Ridge, kind_of
from tidewright.models.specs.class_floors import ClassFloorSpec
from tidewright.models.specs.ensemble import Ensemble, Member
from tidewright.models.specs.foundation import FoundationSpec
from tidewright.models.specs.statistical import INTERMITTENT, StatisticalSpec
from tidewright.models.specs.tabular import Tabular
from tidewright.models.statistical import Statistical
from tidewright.optional import require
from tidewright.registry.manifest import Manifest, Widths

Tensors = Mapping[str, npt.NDArray[Any]]


def rebuild(manifest: Manifest, tensors: Tensors) -> Fitted:
    """The eager model that a bundle was made from. Raises `BundleError` where tensors and manifest
    disagree."""
    mark = read_mark(tensors, manifest.task)
    if mark:
        name, method, unit = mark
        inner = rebuild(manifest, {key: value for key, value in tensors.items() if key != name})
        return Conformal(inner, tensors[name], method, unit)
    scaling = read_scaling(tensors, manifest.task)
    if scaling is not None:
        inner = rebuild(manifest, {key: value for key, value in tensors.items() if key != CALIBRATION})
        return Calibrated(inner, scaling)
    if manifest.view.log is not None:
        inner = rebuild(replace(manifest, view=replace(manifest.view, log=None)), tensors)
        return Logged(inner, manifest.view.log)
    if isinstance(manifest.spec, Ensemble):
        return _ensemble(manifest, manifest.spec, tensors=tensors)
    makers = {
        "floor": _floor,
        "class_floor": _class_floor,
        "statistical": _statistical,
        "foundation": _foundation,
        "trees": _trees,
        "torch": _network,
    }
    return makers[kind_of(manifest.spec)](manifest, tensors)


def _trees(manifest: Manifest, tensors: Tensors) -> Fitted:
    from tidewright.models.trees import trees_from_tensors

    spec = cast(Tabular, manifest.spec)
    return trees_from_tensors(tensors, spec=spec, task=manifest.task, view=manifest.view)


def _network(manifest: Manifest, tensors: Tensors) -> Fitted:
    from tidewright.models.lengths import allow_lengths
    from tidewright.models.torch.fitted import from_tensors
    from tidewright.models.torch.shape import Shape

    widths, task = manifest.widths, manifest.task
    shape = Shape(
        lookback=manifest.view.lookback,
        horizon=task.horizon,
        past=widths.past,
        known=widths.known,
        static=widths.static,
        quantiles=task.quantiles,
    )
    fitted = from_tensors(manifest.spec, task=task, view=manifest.view, shape=shape, tensors=tensors)
    return fitted if manifest.lengths is None else allow_lengths(fitted, manifest.lengths)


def _statistical(manifest: Manifest, tensors: Tensors) -> Fitted:
    task = manifest.task
    _check_shapes(manifest, tensors, shapes={"spread": (task.horizon, len(task.quantiles))})
    spec = cast(StatisticalSpec, manifest.spec)
    if spec.name not in INTERMITTENT:
        require("statsforecast", extra="statistics", purpose=f"the model {spec.name}")
    return Statistical(spec, task, manifest.view, manifest.season, tensors["spread"])


def _foundation(manifest: Manifest, tensors: Tensors) -> Fitted:
    """The network where its weights were, or are now; they must be those of the bundle."""
    found = tensors.get(DIGEST)
    if len(tensors) != 1 or found is None or found.shape != (32,) or found.dtype != np.uint8:
        raise BundleError(f"a foundation model's bundle holds just the array '{DIGEST}' of 32 bytes. Export it again.")
    spec, digest = cast(FoundationSpec, manifest.spec), found.tobytes().hex()
    package = "chronos" if spec.name == "chronos" else "timesfm3"
    require(package, extra="foundation", purpose=f"the model {spec.name}")
    return Foundation(spec, manifest.task, manifest.view, digest, find_again(spec, digest))


def _floor(manifest: Manifest, tensors: Tensors) -> Fitted:
    task = manifest.task
    if task.classifies:
        return _class_ridge(manifest, tensors)
    shapes = {"spread": (task.horizon, len(task.quantiles))}
    if isinstance(manifest.spec, Ridge):
        shapes["weights"] = (manifest.view.lookback, task.horizon)
    _check_shapes(manifest, tensors, shapes=shapes)
    return Floor(
        spec=cast(FloorSpec, manifest.spec),
        task=task,
        view=manifest.view,
        season=manifest.season,
        spread=tensors["spread"],
        weights=tensors.get("weights"),
    )


def _class_ridge(manifest: Manifest, tensors: Tensors) -> Fitted:
    task, told = manifest.task, len(told_classes(manifest.task.width))
    columns, answers = manifest.view.lookback * told, task.horizon * task.width
    _check_shapes(manifest, tensors, shapes={"shares": (told,), "weights": (columns, answers), "bias": (answers,)})
    spec = cast(Ridge, manifest.spec)
    return ClassRidge(spec, task, manifest.view, tensors["shares"], tensors["weights"], tensors["bias"])


def _class_floor(manifest: Manifest, tensors: Tensors) -> Fitted:
    task = manifest.task
    _check_shapes(manifest, tensors, shapes={"table": (task.horizon, task.width + 1, task.width)})
    spec = cast(ClassFloorSpec, manifest.spec)
    return ClassFloor(spec, task, manifest.view, manifest.season, tensors["table"])


def _check_shapes(manifest: Manifest, tensors: Tensors, *, shapes: Mapping[str, tuple[int, ...]]) -> None:
    found = {name: array.shape for name, array in tensors.items()}
    if found != shapes or any(array.dtype != np.float64 for array in tensors.values()):
        raise BundleError(
            f"the weights of '{manifest.spec.name}' should be float64 arrays of the shapes {shapes}; got {found}. "
            "Export the model again."
        )


def _ensemble(manifest: Manifest, spec: Ensemble, *, tensors: Tensors) -> EnsembleFitted:
    starts = tuple(prefix(place) for place in range(len(spec.members)))
    strange = [name for name in tensors if not name.startswith(starts)]
    if strange:
        raise BundleError(f"'{strange[0]}' belongs to no member of this ensemble. Export the model again.")
    members = []
    for part, start in zip(spec.members, starts, strict=True):
        own = {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}
        members.append(rebuild(_manifest_of(part, manifest), own))
    return EnsembleFitted(spec, manifest.task, manifest.view, tuple(members))


def _manifest_of(part: Member, manifest: Manifest) -> Manifest:
    """What the bundle says of one member."""
    widths = manifest.widths
    asked = {"past": part.past, "known": part.known, "static": part.static}
    inside = all(0 <= place < getattr(widths, name) for name, places in asked.items() for place in places)
    weighed = len(part.steps) in (0, manifest.task.horizon)
    if part.model in COMPOSED or not (inside and weighed and 1 <= part.view.lookback <= manifest.view.lookback):
        raise BundleError(
            f"the member '{part.model}' of this ensemble is an ensemble itself, or asks for steps or columns that the "
            "bundle does not have, or is weighed at other steps. Export the model again."
        )
    own = Widths(**{name: len(places) for name, places in asked.items()})
    spec = build_spec(part.model, part.options)
    view = replace(part.view, schema=_schema_of(part, manifest.schema, takes=spec.takes))
    return replace(manifest, spec=spec, view=view, season=part.season, widths=own)


def _schema_of(part: Member, whole: Schema, *, takes: tuple[str, ...]) -> Schema:
    """What a member learned from, by the places of its columns among the ensemble's."""
    past, known = (
        tuple(names[place] for place in places if place < len(names))  # the calendar's stand behind the known ones
        for names, places in ((whole.roles.past, part.past), (whole.roles.known, part.known))
    )
    static = tuple(name for name, _ in part.view.static.columns) if part.static else ()
    roles = replace(whole.roles, past=past, known=known, static=static)
    return replace(whole, roles=roles, kinds=tuple(kind for kind in whole.kinds if kind in takes))
