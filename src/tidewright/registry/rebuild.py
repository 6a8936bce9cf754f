"""A `Fitted` again, from a manifest and its tensors: by catalog names, never by anything that a file "
"names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tidewright.errors import BundleError
from tidewright.models.conformal import Conformal, read_mark
from tidewright.models.fitted import Fitted
from tidewright.models.floors import Floor, FloorSpec
from tidewright.models.spec import LightGBM, Ridge, kind_of
from tidewright.registry.manifest import Manifest

Tensors = Mapping[str, npt.NDArray[Any]]


def rebuild(manifest: Manifest, tensors: Tensors) -> Fitted:
    """The eager model that a bundle was made from. Raises `BundleError` where tensors and manifest "
    "disagree."""
    mark = read_mark(tensors, manifest.task)
    if mark:
        name, method, unit = mark
        inner = rebuild(manifest, {key: value for key, value in tensors.items() if key != name})
        return Conformal(inner, tensors[name], method, unit)
    kind = kind_of(manifest.spec)
    if kind == "floor":
        return _floor(manifest, tensors)
    if kind == "trees":
        from tidewright.models.trees import trees_from_tensors

        spec = cast(LightGBM, manifest.spec)
        return trees_from_tensors(tensors, spec=spec, task=manifest.task, view=manifest.view)
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
    return from_tensors(manifest.spec, task=task, view=manifest.view, shape=shape, tensors=tensors)


def _floor(manifest: Manifest, tensors: Tensors) -> Floor:
    task = manifest.task
    shapes = {"spread": (task.horizon, len(task.quantiles))}
    if isinstance(manifest.spec, Ridge):
        shapes["weights"] = (manifest.view.lookback, task.horizon)
    found = {name: array.shape for name, array in tensors.items()}
    if found != shapes or any(array.dtype != np.float64 for array in tensors.values()):
        raise BundleError(
            f"the weights of '{manifest.spec.name}' should be float64 arrays of the shapes {shapes}; got "
            f"{found}. "
            "Export the model again."
        )
    return Floor(
        spec=cast(FloorSpec, manifest.spec),
        task=task,
        view=manifest.view,
        season=manifest.season,
        spread=tensors["spread"],
        weights=tensors.get("weights"),
    )
