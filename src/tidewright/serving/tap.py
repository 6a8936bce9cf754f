"""`Tap`: a session whose answers to windows are shown to someone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy.typing as npt

from tidewright.inference.items import predict_stream
from tidewright.inference.session import Prediction, Session
from tidewright.models.fitted import Fitted

Show = Callable[[Any, npt.NDArray[Any]], None]  # windows, and their answers [N, H, Q]


class Tap:
    """See `Session`. `to` is who is shown what `predict` was asked and answered, if anybody; it must not wait. Who
    answers a table shows the table: `forecast` shows nothing.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.backend, self.choice, self.model = session.backend, session.choice, session.model
        self.digest, self.task, self.inputs = session.digest, session.task, session.inputs
        self.settings = session.settings
        self.read, self.forecast = session.read, session.forecast
        self.latency, self.stages, self.reset_latency = session.latency, session.stages, session.reset_latency
        self.to: Show | None = None

    @property
    def fitted(self) -> Fitted:
        """See `Session.fitted`."""
        return self.session.fitted

    def predict(self, x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]], /) -> Prediction:
        """See `Session.predict`."""
        answer, to = self.session.predict(x), self.to
        if to is not None:
            to(x, answer.quantiles)
        return answer

    def predict_stream(self, items: Iterable[Any], /, *, batch_size: int = 64) -> Iterator[Prediction]:
        """See `Session.predict_stream`."""
        return predict_stream(self, items, batch_size=batch_size)
