"""A session in this process: the checks, the statistics and the result around what answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.data.forecast import Forecast
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.features.windows import Singles
from tidewright.inference.inputs import check_answer, check_inputs, take_plain
from tidewright.inference.items import predict_stream
from tidewright.inference.latency import PENDING, Latency, Stages
from tidewright.inference.session import Answerer, Own, Prediction, leave
from tidewright.models.fitted import Fitted
from tidewright.registry.bundle import Bundle
from tidewright.registry.rebuild import rebuild
from tidewright.runtime import Choice

_FLOAT = np.dtype(np.float32)
_Array = np.ndarray
_new = tuple.__new__  # half the time of Prediction's own


class LocalSession:
    """See `Session`. `answerer` answers; everything else is set once."""

    def __init__(
        self, bundle: Bundle, *, choice: Choice, answerer: Answerer, settings: Mapping[str, Choice] | None = None
    ) -> None:
        self.bundle, self.choice, self.backend = bundle, choice, choice.used
        self.settings: Mapping[str, Choice] = settings or {}
        self.model, self.digest, self.task = bundle.name, bundle.digest, bundle.manifest.task
        self.inputs = bundle.manifest.widths.inputs
        self._call, self._row, self._named, _, self._staged = answerer
        self._latency = Latency(slots=True)
        assert self._latency.slots is not None
        self._pending, self._slots = self._latency.pending, self._latency.slots
        self._stages = Stages()
        task = self.task
        self._median = -1 if task.classifies else task.median
        # the shape that may take the backend's quick way; batches and classes take the careful way
        if task.classifies:
            self._named = leave
        self._quick = (1, bundle.manifest.view.lookback) if self.inputs == ("target",) and not task.classifies else ()

    @cached_property
    def fitted(self) -> Fitted:
        """See `Session.fitted`."""
        return rebuild(self.bundle.manifest, self.bundle.tensors())

    def predict(self, x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]], /) -> Prediction:
        """See `Session.predict`. Raises `DataError` and `ColumnError` as `check_inputs` does."""
        started = perf_counter_ns()
        values = None
        if type(x) is _Array and x.dtype is _FLOAT and x.shape == self._quick:
            values = self._row(x)
        elif type(x) is dict:
            values = self._named(x)
        if values is None:
            values = self._answer(x)
        elapsed = perf_counter_ns() - started
        if started >= self._slots.due:
            self._latency.turn()
        pending = self._pending
        pending.append(elapsed)
        if len(pending) > PENDING:
            self._pause(x)
        return _new(Prediction, (values, elapsed * 1e-6, self.backend, self._median))

    def predict_stream(self, items: Iterable[Any], /, *, batch_size: int = 64) -> Iterator[Prediction]:
        """See `Session.predict_stream`."""
        return predict_stream(self, items, batch_size=batch_size)

    def read(self, table: Any, /) -> Panel:
        """See `Session.read`. Raises `ColumnError`, `FrequencyError` and `DataError`."""
        from tidewright.data.reading import read_panel

        return read_panel(table, self.bundle.manifest.schema)

    def forecast(self, panel: Any, /, *, cutoffs: Cutoffs | None = None, lookback: int | Own | None = None) -> Forecast:
        """See `Session.forecast`. A series shorter than the lookback is padded with missing values before its
        start.

        Raises as `read` does, `ConfigError` for a `lookback` that the bundle does not allow, and `DataError` naming
        column, series and time where a known covariate lacks a value over the horizon.
        """
        from tidewright.inference.forecasting import forecast_panel

        bundle = self.bundle
        return forecast_panel(
            self, panel, manifest=bundle.manifest, cutoffs=cutoffs, lookback=lookback, numbers=bundle.numbers
        )

    def latency(self, *, last: int | None = None, seconds: float | None = None) -> dict[str, float]:
        """See `Session.latency`."""
        return self._latency.summary(last=last, seconds=seconds)

    def stages(self) -> dict[str, dict[str, float]]:
        """See `Session.stages`."""
        return self._stages.summary()

    def reset_latency(self) -> None:
        """See `Session.reset_latency`."""
        self._latency.reset()
        self._stages.reset()

    def _answer(self, x: Any) -> Singles:
        """The careful way: every input checked by name, but for plain windows, and the answer too."""
        started = perf_counter_ns()
        feed = take_plain(x, lookback=self._quick[1]) if self._quick else None
        feed = feed or check_inputs(x, self.bundle.manifest)
        asked = perf_counter_ns()
        values = self._call(feed)
        answered = perf_counter_ns()
        check_answer(values)
        self._stages.note(asked - started, answered - asked, perf_counter_ns() - answered)
        return values

    def _pause(self, x: Any) -> None:
        """Counts what was noted, and looks at the parts of this answer, made again, if it went the quick way."""
        self._latency.count()
        if type(x) is _Array and x.dtype is _FLOAT and x.shape == self._quick:
            parts = self._staged(x)
            if parts is not None:
                self._stages.note(*parts)

    def __repr__(self) -> str:
        return f"Session({self.bundle!r} on {self.backend}: {self.choice.reason})"
