"""This library's own walk as a backend: a forest's features and leaves in one compiled call (inference/tree_rows)."""

from __future__ import annotations

from tidewright.errors import BackendError
from tidewright.features.windows import Singles
from tidewright.inference.backends.backend import Backend
from tidewright.inference.inputs import PLAIN, ZERO, look
from tidewright.inference.options import SessionOptions
from tidewright.inference.session import Answerer
from tidewright.inference.tree_rows import explain_unfit, plan_answers
from tidewright.models.trees import TreesFitted
from tidewright.registry.bundle import Bundle
from tidewright.registry.rebuild import rebuild


def start(bundle: Bundle, /, *, options: SessionOptions) -> Answerer:
    """What answers: the compiled walk. Raises `BackendError` for a model inside a wrapper."""
    fitted = rebuild(bundle.manifest, bundle.tensors())
    if not isinstance(fitted, TreesFitted):
        raise BackendError(
            f"{bundle.manifest.spec.name} has intervals put around it, which the compiled walk leaves out."
        )
    call = plan_answers(fitted)

    def row(x: Singles) -> Singles | None:
        flat = x.reshape(-1)
        return call({"target": x}) if ZERO < look(flat, flat) < PLAIN else None

    return Answerer(call, row, settings={"threads": "1"})


def explain_missing(device: str) -> str:
    """Why it runs on no GPU: it has no form for one."""
    return "the compiled walk runs on the processor alone" if device == "cuda" else ""


BACKEND = Backend(explain_unfit, explain_missing, start)
