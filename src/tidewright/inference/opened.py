"""A bundle or an ONNX graph alone, opened, with one way to ask either. N rows or windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.checks import to_path
from tidewright.errors import BackendError, BundleError, DataError
from tidewright.inference.graph_session import GraphAnswer, GraphSession, open_graph_session
from tidewright.inference.inputs import to_array
from tidewright.inference.items import count_windows, join_items
from tidewright.inference.latency import PENDING, Latency
from tidewright.inference.session import Prediction, Session, open_session
from tidewright.inference.timing import repeat_example
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.registry.verify import CODE
from tidewright.runtime import Device

Features = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]
Answer = Prediction | GraphAnswer


@dataclass(frozen=True, eq=False, slots=True)
class OpenedModel:
    """What answers, its bundle (None of a graph alone), and the times of its answers, without those of warming up."""

    session: Session | GraphSession
    bundle: Bundle | None = None
    latency: Latency = field(default_factory=Latency)

    def ask(self, features: Features) -> Answer:
        """An answer that is counted. Raises `DataError` and `ColumnError`."""
        answer = self._answer(features)
        self.latency.pending.append(int(answer.latency_ms * 1e6))
        if len(self.latency.pending) > PENDING:
            self.latency.count()
        return answer

    def warm_up(self, *, iterations: int, rows: int) -> None:
        """So many answers to rows of the bundle's example, or to zeros, which are not counted."""
        given = self.sample(rows)
        for _ in range(iterations):
            self._answer(given)

    def sample(self, rows: int) -> Features:
        """Rows that it can be tried on."""
        if self.bundle is not None:
            return repeat_example(self.bundle, rows)
        border = self._graph.border
        return np.zeros((border.rows or rows, *border.shape), np.float32)

    def ask_each(self, items: Sequence[Features], *, batch_size: int) -> Iterator[tuple[Answer, slice]]:
        """For each item the answer that holds its own, and where; so many items go in one call, in their order."""
        _check_list(items)
        for start in range(0, len(items), batch_size):
            part = [_to_arrays(item) for item in items[start : start + batch_size]]
            joined = join_items(part, start=start, axes=self._axes)
            answer, end = self.ask(joined["target"] if joined.keys() == {"target"} else joined), 0
            for count in (count_windows(item, axes=self._axes) for item in part):
                yield answer, slice(end, end + count)
                end += count

    def ask_in_passes(self, features: Features, *, most: int) -> list[Answer]:
        """The answers to rows, so many at a time. An error names the rows that it is of."""
        given = _lift(features, axes=self._axes)
        count, answers = _count(given), []
        for start in range(0, max(count, 1), most):
            part = given if count <= most else _cut(given, slice(start, start + most))
            try:
                answers.append(self.ask(part))
            except DataError as error:
                if count <= most:
                    raise
                raise type(error)(f"rows {start} to {min(start + most, count) - 1}: {error}") from error
        return answers

    def describe(self) -> dict[str, Any]:
        """Who answers what, on which device."""
        device = self.session.settings.get("device")
        found = {"model": self.session.model, "digest": self.session.digest, "backend": self.session.backend}
        return found | {"device": device.used if device else "cpu"}

    @property
    def _graph(self) -> GraphSession:
        assert isinstance(self.session, GraphSession), "what is no bundle is a graph"
        return self.session

    @property
    def _axes(self) -> int:
        """The dimensions of one row: of a bundle's windows those of the target."""
        return 1 if self.bundle is not None else len(self._graph.border.shape)

    def _answer(self, features: Any) -> Answer:
        answer: Answer = self.session.predict(features)
        return answer


def open_model(
    path: str | Path, *, backend: str = "auto", device: Device = "auto", threads: int = 1, strict: bool = False
) -> OpenedModel:
    """A bundle's folder, verified, or an .onnx file, checked, opened. Raises as `tw.open` and `open_graph_session` do,
    and `BundleError` for files that are code, such as pickles.
    """
    place = to_path("path", path, of="a bundle's folder or an .onnx file")
    if place.suffix in CODE and not place.is_dir():
        raise BundleError(
            f"'{place}' is {CODE[place.suffix]}. Give a bundle's folder, which tw.save_bundle writes of what "
            "tw.fit gave, or an .onnx file, which PyTorchModelFactory.export_to_onnx writes of a network."
        )
    if place.suffix != ".onnx" or place.is_dir():
        bundle = load_bundle(place)
        session = open_session(bundle, backend=backend, device=device, threads=threads, strict=strict)
        return OpenedModel(session, bundle)
    if backend not in ("auto", "onnxruntime"):
        raise BackendError(
            f"'{place}' is a graph alone, and {backend} needs the network itself, which it does not hold. Ask for ONNX "
            "Runtime, or give a bundle's folder."
        )
    return OpenedModel(open_graph_session(place, device=device, threads=threads, strict=strict))


def _check_list(items: object) -> None:
    if not isinstance(items, Sequence | np.ndarray) or isinstance(items, str | bytes):
        raise DataError(f"a list of items is needed, got {type(items).__name__}. Give a list, or an array of rows.")


def _lift(features: Any, *, axes: int) -> Any:
    """The features with an axis of rows: a single row may have left it out."""
    arrays = _to_arrays(features)
    if isinstance(arrays, dict):
        single = "target" in arrays and arrays["target"].ndim == axes
        return {name: array[None] for name, array in arrays.items()} if single else arrays
    return arrays[None] if arrays.ndim == axes else arrays


def _to_arrays(features: Any) -> Any:
    if isinstance(features, Mapping):
        return {name: to_array(array, f"the input '{name}'") for name, array in features.items()}
    return to_array(features, "the features")


def _count(given: Any) -> int:
    array = next(iter(given.values()), np.empty(0)) if isinstance(given, dict) else given
    return len(array) if np.ndim(array) else 1


def _cut(given: Any, part: slice) -> Any:
    return {name: array[part] for name, array in given.items()} if isinstance(given, dict) else given[part]
