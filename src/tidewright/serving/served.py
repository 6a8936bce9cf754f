"""`Served`: one version of a model, opened, warm, and ready to answer requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy.typing as npt

from tidewright.errors import BundleError
from tidewright.inference.batching import BatchingSession, batching
from tidewright.inference.queued import join_inputs
from tidewright.inference.session import Session
from tidewright.registry.bundle import NAME, Bundle
from tidewright.registry.graph_names import name_output
from tidewright.serving.layouts import Layouts
from tidewright.serving.metrics import Tally
from tidewright.serving.options import ServeOptions
from tidewright.serving.tap import Tap
from tidewright.serving.tensors import Asked, Write, make_writer, read_infer

INLINE_S = 5e-4  # an answer that takes less is given between two others; a longer one gets a thread
INLINE_BYTES = 65_536  # likewise for the reading of its request
WARM = 5  # answers before the first request

TOGETHER = 8  # rows in one run; where they take at most half the time of as many runs, requests share runs

Values = npt.NDArray[Any]
Wrap = Callable[[Session], Session]


@dataclass(frozen=True, eq=False, slots=True)
class Served:
    """A model's name, its version, its inputs and output, its bundle's mark, its session, the longest request that is
    answered at once, the most rows that several share a run with (0: none do), what counts its requests, what writes
    its answers, and what it knows of its requests' form. `tap` is where a shadow may see its answers.
    """

    name: str
    version: str
    inputs: tuple[str, ...]
    output: str
    mark: tuple[int, ...]
    session: Session
    bundle: Bundle
    inline: int
    batch: int
    tally: Tally
    write: Write
    layouts: Layouts
    tap: Tap | None = None

    def read(self, body: bytes, head: int | None, *, rows: int, depth: int) -> Asked:
        """An inference request. Raises `RequestError`."""
        asked = self.layouts.read(body, head)
        if asked is None:
            asked = read_infer(body, head=head, names=self.inputs, output=self.output, rows=rows, depth=depth)
            self.layouts.remember(body, head, asked)
        return asked

    def answer(self, asked: Asked) -> tuple[bytes, int | None, int]:
        """The answer to a request: the body, the length of its JSON part where bytes follow, and how many windows it
        answers. Raises `RequestError` and `DataError`.
        """
        arrays: Any = asked.arrays
        values = self.session.predict(arrays["target"] if len(self.inputs) == 1 else arrays).quantiles
        content, length = self.write(values, asked.id, asked.binary)
        return content, length, len(values)

    async def ask(self, asked: Asked, *, timeout_s: float) -> tuple[bytes, int | None, int]:
        """The same as `answer`, in a run that it may share. Also raises 429 and 504."""
        assert isinstance(self.session, BatchingSession)
        arrays: Any = asked.arrays
        x = arrays["target"] if len(self.inputs) == 1 else arrays
        values = (await self.session.ask(x, timeout_s=timeout_s)).quantiles
        content, length = self.write(values, asked.id, asked.binary)
        return content, length, len(values)

    @property
    def queues(self) -> bool:
        """Whether requests queue for shared runs; where not, they may share a turn of the loop."""
        return isinstance(self.session, BatchingSession) and self.batch > 0

    @property
    def labels(self) -> dict[str, str]:
        """What its figures are told apart by."""
        return {"model": self.name, "version": self.version}

    def describe(self, versions: list[str]) -> dict[str, Any]:
        """Its metadata, as the protocol has them."""
        manifest = self.bundle.manifest
        widths, lookback, horizon = manifest.widths, manifest.view.lookback, manifest.task.horizon
        free = manifest.lengths is not None
        shapes = {
            "target": [-1, -1 if free else lookback],
            "past": [-1, -1 if free else lookback, widths.past],
            "known": [-1, -1 if free else lookback + horizon, widths.known],
            "static": [-1, widths.static],
        }
        inputs = [{"name": name, "datatype": "FP32", "shape": shapes[name]} for name in widths.inputs]
        output = {"name": self.output, "datatype": "FP32", "shape": [-1, horizon, manifest.task.width]}
        own: dict[str, Any] = {"version": self.version, "digest": self.bundle.digest, "model": manifest.spec.name}
        own |= {"quantiles": list(manifest.task.quantiles), "classes": list(manifest.task.classes)}
        own |= {"lengths": list(manifest.reach)}
        own |= {"backend": self.session.backend, "frequency": manifest.schema.frequency.name}
        platform = "onnxruntime_onnx" if self.session.backend == "onnxruntime" else f"tidewright_{self.session.backend}"
        head = {"name": self.name, "versions": versions, "platform": platform}
        return {**head, "inputs": inputs, "outputs": [output], "parameters": own}


def make_served(
    bundle: Bundle,
    session: Session,
    *,
    version: str,
    mark: tuple[int, ...],
    tally: Tally,
    options: ServeOptions,
    wrap: Wrap | None,
    tapped: bool = False,
) -> Served:
    """An opened bundle, its session wrapped (by what batches or keeps its answers), warm. What is wrapped by the caller
    shares no runs: a cache would never see a request twice. Where it is `tapped` a shadow may see its answers. Raises
    `BundleError`.
    """
    if not NAME.fullmatch(bundle.name):
        raise BundleError(
            f"the bundle in '{bundle.folder}' has a name that no path can hold. Save it with another one."
        )
    inline = _measure_inline(session, bundle)
    inputs, output = session.inputs, name_output(bundle.manifest.task)
    write = make_writer(model=bundle.name, version=version, output=output)
    tap = Tap(session) if tapped else None
    bare: Session = session if tap is None else tap
    opened = bare if wrap is None else wrap(bare)
    batch = options.batch if wrap is None and options.batch and _gains(session, bundle) else 0
    if batch and not inline:
        opened = batching(bare, rows=batch, queue=options.limits.queue, runs=options.limits.runs)
    opened.reset_latency()
    told = (bundle.name, version, inputs, output, mark, opened, bundle, inline, batch, tally, write)
    return Served(*told, Layouts(), tap)


def _measure_inline(session: Session, bundle: Bundle) -> int:
    """The longest request in bytes whose answer takes less than `INLINE_S`, by the time of the example's rows; 0 where
    even one row takes longer.
    """
    batch, _ = bundle.example()
    rows = {name: getattr(batch, name) for name in session.inputs}
    row = {name: array[:1] for name, array in rows.items()}
    for given in (row, rows):
        for _ in range(WARM):
            session.predict(given)
    times = []
    for _ in range(WARM):
        started = perf_counter()
        session.predict(row)
        times.append(perf_counter() - started)
    bytes_a_row = sum(array.nbytes for array in row.values())
    most = min(times)
    return 0 if most > INLINE_S else min(INLINE_BYTES, max(int(INLINE_S / most), 1) * bytes_a_row * 8)


def _gains(session: Session, bundle: Bundle) -> bool:
    """Whether several rows in one run take less than half the time of a run for each, joining included."""
    batch, _ = bundle.example()
    row = {name: getattr(batch, name)[:1] for name in session.inputs}
    x: Any = row if len(row) > 1 else row["target"]
    alone = _time(lambda: session.predict(x))
    return _time(lambda: session.predict(join_inputs([x] * TOGETHER))) * 2 <= alone * TOGETHER


def _time(call: Callable[[], Any]) -> float:
    """The least of several times, in seconds; of fewer where one takes long."""
    started = perf_counter()
    call()
    times = []
    for _ in range(2 if perf_counter() - started > 0.01 else 15):
        started = perf_counter()
        call()
        times.append(perf_counter() - started)
    return min(times)
