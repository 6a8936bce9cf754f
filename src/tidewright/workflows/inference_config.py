"""`InferenceEngineConfig`: the fields of the optimisations' guide that say how an engine answers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from tidewright.catalog import explain_unknown
from tidewright.checks import check_flag, check_text, check_whole
from tidewright.errors import UnknownNameError
from tidewright.inference.options import SessionOptions
from tidewright.inference.reduced import explain_no_reduced
from tidewright.optional import has
from tidewright.runtime import Device, explain_no_cuda

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}  # those of logging


@dataclass(frozen=True, slots=True)
class InferenceEngineConfig:
    """How an engine answers. Raises `ConfigError` and `UnknownNameError`.

    With `enable_jit_compilation` the caller's rules around a model are compiled once they are hot (`jit_min_calls`,
    `jit_cache_size`: see `JITCompiler`). With `enable_mixed_precision` a network answers in fewer digits where the
    machine has them, the answers stay near and it is faster. With `enable_streaming` tables are answered in chunks of
    `streaming_batch_size` rows. With `enable_batching` at most `max_batch_size` rows go through the model at a time,
    else one. `debug_mode` puts the choice, the settings and, of an error, the traceback into the metadata; what the
    engine logs begins at `log_level`. `strict` makes a fallback an error.
    """

    enable_jit_compilation: bool = True
    jit_min_calls: int = 10
    jit_cache_size: int = 50
    enable_mixed_precision: bool = False
    enable_streaming: bool = True
    streaming_batch_size: int = 500
    enable_batching: bool = True
    max_batch_size: int = 64
    debug_mode: bool = False
    log_level: str = "INFO"
    device: Device = "auto"
    strict: bool = False

    def __post_init__(self) -> None:
        for item in fields(self):
            value: Any = getattr(self, item.name)
            if item.type == "bool":
                check_flag(item.name, value)
            if item.type == "int":
                check_whole(item.name, value)
        check_text("log_level", self.log_level)
        if self.log_level not in LEVELS:
            raise UnknownNameError(explain_unknown("log_level", self.log_level, LEVELS))
        SessionOptions(device=self.device)

    @property
    def rows_of_a_pass(self) -> int:
        """How many rows go through the model at a time, at most."""
        return self.max_batch_size if self.enable_batching else 1

    def find_obstacles(self) -> dict[str, str]:
        """What of it can't be had on this machine, and why, by field: a library or what the hardware lacks."""
        found = {}
        if self.enable_jit_compilation and not has("numba"):
            found["enable_jit_compilation"] = "numba is not installed"
        if self.enable_mixed_precision:
            device = "cuda" if self.device == "cuda" and not explain_no_cuda() else "cpu"
            found["enable_mixed_precision"] = explain_no_reduced(device)
        return {name: why for name, why in found.items() if why}
