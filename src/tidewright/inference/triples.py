"""Answers as (success, predictions, metadata), in the words of the optimisations' guide.

The library's own errors become False with `error` in the metadata; anything else is a defect, of the library or of a
caller's rule, and is raised as it is. N rows.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from tidewright.data.border import to_polars
from tidewright.errors import DataError, TidewrightError
from tidewright.inference.inputs import to_array
from tidewright.inference.opened import OpenedModel

Rule = Callable[[Any], Any]
Triple = tuple[bool, Any, dict[str, Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Asking:
    """A model, the caller's rules before and after it, and how many rows go in one pass. `debug` tells more."""

    model: OpenedModel
    before: Rule | None
    after: Rule | None
    most: int
    debug: bool = False

    def predict(self, features: Any) -> Triple:
        """The answer to rows: the point forecasts [N, H], or the graph's output."""
        started = perf_counter()
        try:
            given = features if self.before is None else self.before(features)
            answers = self.model.ask_in_passes(given, most=self.most)
        except TidewrightError as error:
            return False, None, self._explain(error) | {"total_ms": 1e3 * (perf_counter() - started)}
        points = np.concatenate([answer.point for answer in answers])
        predictions = points if self.after is None else self.after(points)
        return True, predictions, {
            **self.model.describe(),
            "rows": len(points),
            "passes": len(answers),
            "latency_ms": sum(answer.latency_ms for answer in answers),
            "total_ms": 1e3 * (perf_counter() - started),
            **(self._tell() if self.debug else {}),
        }  # fmt: skip

    def predict_each(self, rows: Any, *, size: int) -> Iterator[Triple]:
        """The same for so many rows at a time, in their order. A chunk that fails leaves the others as they are."""
        try:
            count, cut = self._open_rows(rows)
        except TidewrightError as error:
            yield False, None, self._explain(error) | {"chunk": 0, "first_row": 0}
            return
        for number, start in enumerate(range(0, count, size)):
            success, predictions, metadata = self.predict(cut(slice(start, min(start + size, count))))
            yield success, predictions, metadata | {"chunk": number, "first_row": start}

    def _open_rows(self, rows: Any) -> tuple[int, Callable[[slice], Any]]:
        """How many rows there are, and what gives some of them as arrays."""
        if isinstance(rows, Mapping):
            arrays = {name: to_array(array, f"the input '{name}'") for name, array in rows.items()}
            if not arrays or len({len(array) if array.ndim else 0 for array in arrays.values()}) > 1:
                raise DataError("every input holds the same windows. Give arrays with a row a window.")
            return len(next(iter(arrays.values()))), lambda part: {name: each[part] for name, each in arrays.items()}
        if isinstance(rows, np.ndarray) and rows.ndim:
            return len(rows), lambda part: rows[part]
        table = to_polars(rows)[0]
        self._check_table(table.schema)
        return table.height, lambda part: table[part].cast(pl.Float32).to_numpy()

    def _check_table(self, schema: Mapping[str, Any]) -> None:
        bundle = self.model.bundle
        if bundle is not None and bundle.manifest.schema.roles.target in schema:
            raise DataError(
                f"the table holds '{bundle.manifest.schema.roles.target}', so it is raw history. Give it to "
                "tw.open(bundle).forecast; here a row is a window, a column a step."
            )
        words = [name for name, kind in schema.items() if not kind.is_numeric()]
        if words:
            raise DataError(f"the column '{words[0]}' holds {schema[words[0]]}; numbers are needed. Leave it out.")

    def _explain(self, error: TidewrightError) -> dict[str, Any]:
        found = {"error": str(error), "error_type": type(error).__name__}
        if self.debug:
            found["traceback"] = "".join(traceback.format_exception(error))
        return found

    def _tell(self) -> dict[str, Any]:
        return {"choice": self.model.session.choice, "settings": dict(self.model.session.settings)}


@dataclass(eq=False, slots=True)
class StreamCounts:
    """What went through a stream. Any thread may note chunks."""

    _chunks: int = 0
    _failed: int = 0
    _rows: int = 0
    _ms: float = 0.0
    _lock: Any = field(default_factory=Lock)

    def note(self, triple: Triple) -> None:
        """Counts a chunk."""
        success, _, metadata = triple
        with self._lock:
            self._chunks += 1
            self._failed += not success
            self._rows += metadata.get("rows", 0)
            self._ms += metadata.get("total_ms", 0.0)

    def get_performance_stats(self) -> dict[str, float]:
        """`chunks`, those that `failed`, `rows` answered, `total_ms` of answering, and `rows_per_s` (NaN before)."""
        with self._lock:
            pace = 1e3 * self._rows / self._ms if self._ms else float("nan")
            counts = {"chunks": self._chunks, "failed": self._failed, "rows": self._rows}
            return {**counts, "total_ms": self._ms, "rows_per_s": pace}
