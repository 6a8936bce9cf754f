"""The eager model as a backend: rebuilt from the bundle's weights, by catalog names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tidewright.errors import BackendError, MissingExtraError
from tidewright.features.separate import to_windows
from tidewright.features.windows import Batch, Singles
from tidewright.inference.session import Answerer
from tidewright.models.fitted import Fitted
from tidewright.registry.bundle import Bundle
from tidewright.registry.rebuild import rebuild


def start_eager(bundle: Bundle) -> Answerer:
    """What answers: the model's own `predict`. Raises `BackendError` where its framework is not installed."""
    try:
        fitted: Fitted = rebuild(bundle.manifest, bundle.tensors())
    except MissingExtraError as error:
        raise BackendError(str(error)) from error
    steps = {"past": fitted.view.lookback, "known": fitted.view.lookback + fitted.task.horizon}

    def call(feed: Mapping[str, Singles]) -> Singles:
        count = len(feed["target"])
        absent = {name: np.empty((count, length, 0), np.float32) for name, length in steps.items()}
        absent["static"] = np.empty((count, 0), np.float32)
        batch = Batch(**{**absent, **feed})
        answer = fitted.predict(to_windows(batch, horizon=fitted.task.horizon))
        return answer.astype(np.float32)

    return Answerer(call, lambda x: None)
