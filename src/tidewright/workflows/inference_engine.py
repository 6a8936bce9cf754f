"""`InferenceEngine`: a bundle or an .onnx file that answers as (success, predictions, metadata)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from tidewright.checks import check_kind, check_whole
from tidewright.errors import BackendError, ConfigError, FallbackWarning
from tidewright.inference.jit.compiler import JITCompiler
from tidewright.inference.opened import open_model
from tidewright.inference.reduced import ReducedPrecision, reduce_precision
from tidewright.inference.triples import Asking, Rule, StreamCounts, Triple
from tidewright.workflows.inference_config import LEVELS, InferenceEngineConfig

_LOGGER = logging.getLogger(__name__)


class InferenceEngine:
    """Answers with what its config enables; threads may share it once a model is loaded.

    What the machine lacks is told at once: a `FallbackWarning`, or a `BackendError` when the config is strict.
    """

    def __init__(self, config: InferenceEngineConfig | None = None) -> None:
        self.config = InferenceEngineConfig() if config is None else config
        check_kind("config", self.config, kind=InferenceEngineConfig, advice="Make one of these options.")
        self._obstacles = self.config.find_obstacles()
        for name, why in self._obstacles.items():
            if self.config.strict:
                raise BackendError(f"{name} was asked for, and {why}. Leave it or strict out.")
            warnings.warn(f"{name} was asked for and does nothing here: {why}.", FallbackWarning, stacklevel=2)
        made = JITCompiler(min_calls=self.config.jit_min_calls, cache_size=self.config.jit_cache_size)
        self._jit = made if self.config.enable_jit_compilation else None
        self._precision: ReducedPrecision | None = None
        self._asking: Asking | None = None
        self._streamed = StreamCounts()

    @property
    def jit_compiler(self) -> JITCompiler:
        """What compiles the rules. Raises `ConfigError` where it is not enabled."""
        return self._jit or _refuse("enable_jit_compilation")

    @property
    def mixed_precision_manager(self) -> ReducedPrecision:
        """What came of fewer digits for the model. Raises `ConfigError` where they are not enabled, or no model is
        loaded.
        """
        if not self.config.enable_mixed_precision:
            _refuse("enable_mixed_precision")
        return self._precision or _refuse_unloaded()

    @property
    def streaming_pipeline(self) -> StreamCounts:
        """What was streamed so far. Raises `ConfigError` where it is not enabled."""
        return self._streamed if self.config.enable_streaming else _refuse("enable_streaming")

    def load_model(self, path: str | Path, *, before: Rule | None = None, after: Rule | None = None) -> None:
        """Opens a bundle's folder or an .onnx file. `before` makes features of what `predict` is given, `after` makes
        of the predictions what it answers: rules in Python, which the JIT compiles where it can.

        Raises `BundleError` for what is refused, also for pickles, with what to give in their place.
        """
        config = self.config
        for name, rule in (("before", before), ("after", after)):
            if rule is not None and not callable(rule):
                raise ConfigError(f"{name} is a function of an array, or None; got {rule!r}.")
        model = open_model(path, device=config.device, strict=config.strict)
        if config.enable_mixed_precision:
            why = self._obstacles.get("enable_mixed_precision", "")
            rows, strict = config.rows_of_a_pass, config.strict
            model, self._precision = reduce_precision(model, rows=rows, obstacle=why, strict=strict)
        self._asking = Asking(
            model, self._wrap(before), self._wrap(after), most=config.rows_of_a_pass, debug=config.debug_mode
        )
        self._log("INFO", f"{model.session.model} is loaded: {model.describe()}")

    def predict(self, features: Any) -> Triple:
        """The answer to rows of a graph, or to what `Session.predict` of a bundle takes: (True, predictions, metadata),
        or (False, None, metadata with `error`) for what the library refuses. A defect, also of a rule, is raised.
        """
        return self._note(self._loaded.predict(features))

    def predict_batch_streaming(self, df: Any, batch_size: int | None = None) -> Iterator[Triple]:
        """The same for each chunk of a table (pandas, polars, Arrow, a path; a column a step) or of arrays by rows;
        `batch_size` is the config's where it is left out. Raises `ConfigError` where streaming is not enabled.
        """
        counts = self.streaming_pipeline
        size = self.config.streaming_batch_size if batch_size is None else batch_size
        check_whole("batch_size", size)
        return self._stream(self._loaded.predict_each(df, size=size), counts)

    def get_latency_stats(self) -> dict[str, float]:
        """mean_ms, median_ms, p95_ms, p99_ms, max_ms and count of the model's own passes."""
        return self._loaded.model.latency.summary()

    @property
    def _loaded(self) -> Asking:
        return self._asking or _refuse_unloaded()

    def _stream(self, triples: Iterator[Triple], counts: StreamCounts) -> Iterator[Triple]:
        for triple in triples:
            counts.note(triple)
            yield self._note(triple)

    def _wrap(self, rule: Rule | None) -> Rule | None:
        """The rule, compiled once it is hot; what is not written in Python stays as it is."""
        return self._jit.wrap(rule) if self._jit is not None and isinstance(rule, FunctionType) else rule

    def _note(self, triple: Triple) -> Triple:
        success, _, metadata = triple
        self._log("DEBUG" if success else "WARNING", metadata if success else metadata["error"])
        return triple

    def _log(self, level: str, message: Any) -> None:
        if LEVELS[level] >= LEVELS[self.config.log_level]:
            _LOGGER.log(LEVELS[level], "%s", message)


def _refuse(name: str) -> Any:
    raise ConfigError(f"{name} is False, so there is none of it. Set it to True.")


def _refuse_unloaded() -> Any:
    raise ConfigError("no model is loaded. Call load_model with a bundle's folder or an .onnx file.")
