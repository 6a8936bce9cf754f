"""`CompiledInferenceLayer`: a bundle or an .onnx file that answers, in the words of the ML framework guide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.checks import check_flag, check_text, check_whole
from tidewright.errors import ConfigError, UnknownNameError
from tidewright.features.windows import Singles
from tidewright.inference.opened import Answer, Features, OpenedModel, open_model
from tidewright.inference.options import SessionOptions
from tidewright.runtime import Choice, Device


class InferenceBackend(StrEnum):
    """Who answers. PYTORCH is the model itself, made again from a bundle's weights."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    PYTORCH = "pytorch"


_NAMES = {"onnx": "onnxruntime", "torchscript": "torchscript", "pytorch": "eager"}  # to those of `tw.open`
_WORDS = {name: InferenceBackend(word) for word, name in _NAMES.items()}


@dataclass(frozen=True, eq=False, slots=True)
class InferenceResult:
    """An answer: of a graph its output [N, ...]; of a bundle the point forecast [N, H], with its `quantiles` [N, H, Q]
    (of classes the place of the most probable one, and the probabilities). `latency_ms` is the time of the call that it
    came from, which a batch shares.
    """

    prediction: Singles
    latency_ms: float
    backend: InferenceBackend
    quantiles: Singles | None = None


class CompiledInferenceLayer:
    """Opens a bundle's folder or a bare .onnx file and answers. Threads may share it once a model is loaded.

    A backend or device that was asked for and can't serve is replaced with a `FallbackWarning`, or a `BackendError`
    when `strict`; `choice` and `settings` have the record. Raises `UnknownNameError` and `ConfigError`.
    """

    def __init__(
        self,
        backend: InferenceBackend = InferenceBackend.ONNX,
        device: Device = "auto",
        *,
        threads: int = 1,
        strict: bool = False,
    ) -> None:
        check_text("backend", backend)
        check_flag("strict", strict)
        if backend not in _NAMES:
            raise UnknownNameError(explain_unknown("backend", backend, _NAMES))
        self.backend, self.strict = InferenceBackend(backend), strict
        self.options = SessionOptions(device=device, threads=threads)
        self._model: OpenedModel | None = None

    @property
    def choice(self) -> Choice:
        """The backend that was asked for, the one that answers, and why."""
        return self._opened.session.choice

    @property
    def settings(self) -> dict[str, Choice]:
        """What it computes with, by name."""
        return dict(self._opened.session.settings)

    def load_model(self, path: str | Path) -> None:
        """Opens a model, whose latency is counted anew. Raises `BundleError` for what is refused, also for pickles and
        torch's archives, and `BackendError` for a backend that a graph alone can't have.
        """
        name, options = _NAMES[self.backend], self.options
        self._model = open_model(path, backend=name, device=options.device, threads=options.threads, strict=self.strict)

    def warm_up(self, num_iterations: int = 10, batch_size: int = 1) -> None:
        """Answers that are not counted, to rows of the bundle's example, or to zeros."""
        check_whole("num_iterations", num_iterations)
        check_whole("batch_size", batch_size)
        self._opened.warm_up(iterations=num_iterations, rows=batch_size)

    def predict(self, features: Features) -> InferenceResult:
        """The answer to rows [N, ...] of a graph, or to what a bundle's `Session.predict` takes. Raises `DataError`."""
        return _tell(self._opened.ask(features))

    def batch_predict(self, features_list: Sequence[Features], batch_size: int = 4) -> list[InferenceResult]:
        """A result for each item, in their order; `batch_size` items are answered in one call. Raises `DataError`."""
        check_whole("batch_size", batch_size)
        pairs = self._opened.ask_each(features_list, batch_size=batch_size)
        return [_tell(answer, part) for answer, part in pairs]

    def get_latency_stats(self) -> dict[str, float]:
        """mean_ms, median_ms (also p50_ms), p95_ms, p99_ms and max_ms of the calls since the model was loaded, and
        their count; without those of `warm_up`.
        """
        return self._opened.latency.summary()

    def get_performance_metrics(self) -> dict[str, Any]:
        """The same, with the model, its digest, and the backend and device that answer."""
        return {**self._opened.describe(), **self.get_latency_stats()}

    @property
    def _opened(self) -> OpenedModel:
        if self._model is None:
            raise ConfigError("no model is loaded. Call load_model with a bundle's folder or an .onnx file.")
        return self._model


def _tell(answer: Answer, part: slice = slice(None)) -> InferenceResult:
    quantiles: npt.NDArray[Any] | None = getattr(answer, "quantiles", None)
    mine = None if quantiles is None else quantiles[part]
    return InferenceResult(answer.point[part], answer.latency_ms, _WORDS[answer.backend], mine)
