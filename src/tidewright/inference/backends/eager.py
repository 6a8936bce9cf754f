"""The eager model as a backend: rebuilt from the bundle's weights, by catalog names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tidewright.errors import BackendError, MissingExtraError
from tidewright.features.separate import to_windows
from tidewright.features.windows import Batch, Singles
from tidewright.inference.backends.backend import Backend
from tidewright.inference.options import SessionOptions
from tidewright.inference.precision import HALVES
from tidewright.inference.session import Answerer
from tidewright.models.fitted import Fitted
from tidewright.registry.bundle import Bundle
from tidewright.registry.manifest import Manifest
from tidewright.registry.rebuild import rebuild
from tidewright.runtime import explain_no_cuda


def start(bundle: Bundle, /, *, options: SessionOptions) -> Answerer:
    """What answers: the model's own `predict`, or on CUDA its network. Raises `BackendError` where its framework is
    not installed.
    """
    if options.device == "cuda" or options.precision in HALVES:
        return _start_network(bundle, options=options)
    try:
        fitted: Fitted = rebuild(bundle.manifest, bundle.tensors())
    except MissingExtraError as error:
        raise BackendError(str(error)) from error

    def call(feed: Mapping[str, Singles]) -> Singles:
        count, steps = feed["target"].shape
        lengths = {"past": steps, "known": steps + fitted.task.horizon}
        absent = {name: np.empty((count, length, 0), np.float32) for name, length in lengths.items()}
        absent["static"] = np.empty((count, 0), np.float32)
        batch = Batch(**{**absent, **feed})
        answer = fitted.predict(to_windows(batch, horizon=fitted.task.horizon))
        return answer.astype(np.float32)

    return Answerer(call, settings={"threads": "1"})


def _start_network(bundle: Bundle, *, options: SessionOptions) -> Answerer:
    from tidewright.inference.backends.networks import answer_with, explain_no_network, in_precision, open_network

    unfit = explain_no_network(bundle.manifest)
    if unfit:
        raise BackendError(f"{unfit}, and so has no place on a GPU. Ask for the device cpu.")
    opened = open_network(bundle, device=options.device)
    return answer_with(in_precision(opened, options.precision), opened, threads=options.threads)


def explain_unfit(manifest: Manifest) -> str:
    """Every model runs as it is."""
    return ""


def explain_missing(device: str) -> str:
    """Why nothing runs on a device: the driver, torch or its CUDA is missing."""
    return explain_no_cuda() if device == "cuda" else ""


BACKEND = Backend(explain_unfit, explain_missing, start)
