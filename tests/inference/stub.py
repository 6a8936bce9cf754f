"""A session that tests can hold, count and break, without a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from tidewright.data.task import Task
from tidewright.errors import DataError
from tidewright.inference.items import is_items, join_items
from tidewright.inference.latency import Latency
from tidewright.inference.session import Prediction
from tidewright.runtime import Choice


class StubSession:
    """Answers windows [N, L] with [N, 2, 3]: their sums, in steps. `before` is called with each input; a window that
    holds `bad` is refused.
    """

    backend, model = "stub", "stub"
    choice = Choice("stub", "stub", "asked for", ())
    settings: ClassVar[dict[str, Choice]] = {"threads": Choice("1", "1", "asked for", ())}
    task = Task(2, (0.1, 0.5, 0.9))

    def __init__(
        self,
        *,
        digest: str = "d" * 64,
        before: Callable[[Any], None] | None = None,
        inputs: tuple[str, ...] = ("target",),
    ) -> None:
        self.digest, self.inputs = digest, inputs
        self.before = before or (lambda x: None)
        self.asked: list[Any] = []
        self.bad = 1e6
        self._lock = Lock()

    def predict(self, x: Any, /) -> Prediction:
        with self._lock:
            self.asked.append(x)
        self.before(x)
        x = join_items(x) if is_items(x) else x
        arrays = [x[name] for name in self.inputs] if isinstance(x, Mapping) else [x]
        arrays = [np.asarray(array, np.float32) for array in arrays]
        arrays = [array[None] if arrays[0].ndim == 1 else array for array in arrays]
        if arrays[0].ndim != 2:
            raise DataError(f"the input 'target' has the shape {arrays[0].shape}; two axes are needed.")
        for number, row in enumerate(arrays[0]):
            if (row == self.bad).any():
                raise DataError(f"window {number} is bad.")
        total = sum(array.reshape(len(array), -1).sum(axis=1, dtype=np.float64) for array in arrays)
        steps = np.arange(6, dtype=np.float64).reshape(1, 2, 3)
        return Prediction((total[:, None, None] + steps).astype(np.float32), 1.0, "stub", 1)

    @property
    def fitted(self) -> Any:
        return "fitted"

    def read(self, table: Any, /) -> Any:
        return ("read", table)

    def forecast(self, panel: Any, /, *, cutoffs: Any = None) -> Any:
        return ("forecast", panel, cutoffs)

    def latency(self, *, last: int | None = None, seconds: float | None = None) -> dict[str, float]:
        return {**Latency(slots=True).summary(last=last, seconds=seconds), "count": len(self.asked)}

    def stages(self) -> dict[str, dict[str, float]]:
        return {}

    def reset_latency(self) -> None:
        self.asked.clear()
