"""`to_onnx`: one ONNX graph from raw history to quantiles on the original scale, for every model of the
catalog.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tidewright.errors import BundleError
from tidewright.models.blockwise import Blockwise
from tidewright.models.calibrated import Calibrated
from tidewright.models.class_ridge import ClassRidge
from tidewright.models.conformal import Conformal
from tidewright.models.ensemble import EnsembleFitted
from tidewright.models.fitted import Fitted
from tidewright.models.logged import Logged
from tidewright.models.spec import kind_of

EXPORTERS = {
    "floor": "tidewright.registry.onnx_floors",
    "class_floor": "tidewright.registry.onnx_class_floors",
    "torch": "tidewright.registry.onnx_torch",
    "trees": "tidewright.registry.onnx_trees",
}

NO_GRAPH = {
    "statistical": "fits every window anew when it answers",
    "foundation": "is the network of another package, which loads its own weights",
}  # by kind


def explain_no_graph(fitted: Fitted) -> str:
    """Why a model has no ONNX graph: its kind's reason, or that of a member of an ensemble; empty where it has one."""
    if isinstance(fitted, (Conformal, Logged)):
        return explain_no_graph(fitted.inner)
    if isinstance(fitted, EnsembleFitted):
        return next((reason for member in fitted.members if (reason := explain_no_graph(member))), "")
    reason = NO_GRAPH.get(kind_of(fitted.spec), "")
    return f"{fitted.spec.name} {reason}" if reason else ""


def to_onnx(fitted: Fitted) -> Any:
    """The `onnx.ModelProto` of a fitted model, with its preprocessing and inverse scaling inside.

    Inputs are `target` [N, L] and, where the model has them, `past` [N, L, P], `known` [N, L + H, K] and
    `static` [N, M]; the output is `quantiles` [N, H, Q], ascending, or, of classes, `probabilities` [N, H, K]. All are
    float32, N is free, NaN is a missing value.
    """
    if isinstance(fitted, Conformal):
        from tidewright.registry.onnx_conformal import add_offsets

        return add_offsets(fitted, to_onnx(fitted.inner))
    if isinstance(fitted, Calibrated):
        from tidewright.registry.onnx_classes import add_scaling

        return add_scaling(fitted, to_onnx(fitted.inner))
    if isinstance(fitted, Logged):
        from tidewright.registry.onnx_logged import add_logs

        return add_logs(fitted, to_onnx(fitted.inner))
    if isinstance(fitted, EnsembleFitted):
        from tidewright.registry.onnx_ensemble import merge_members

        return merge_members(fitted, to_onnx)
    if isinstance(fitted, ClassRidge):
        from tidewright.registry.onnx_class_ridge import to_onnx as to_graph

        return to_graph(fitted)
    if isinstance(fitted, Blockwise):
        raise BundleError(
            f"{fitted.spec.name} learned {fitted.inner.task.horizon} steps and answers {fitted.task.horizon}, which "
            "has no graph. Seal its inner model, which answers what it learned, or learn again with the task's horizon."
        )
    kind = kind_of(fitted.spec)
    if kind not in EXPORTERS:
        raise BundleError(f"models of the kind '{kind}' have no ONNX form. There are: {', '.join(EXPORTERS)}.")
    return import_module(EXPORTERS[kind]).to_onnx(fitted)
