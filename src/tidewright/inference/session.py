"""`Session`: an opened bundle that answers. Any number of threads may ask it at once.

N windows, L lookback, H horizon, Q quantiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.catalog import explain_unknown
from tidewright.data.forecast import Forecast
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.data.task import Task
from tidewright.errors import BackendError, ConfigError, FallbackWarning, ParityError, UnknownNameError
from tidewright.features.windows import Singles
from tidewright.models.fitted import Fitted
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.runtime import Choice

BACKENDS = ("onnxruntime", "eager")  # in the order that auto tries them
Backend = Literal["auto", "onnxruntime", "eager"]
Call = Callable[[Mapping[str, Singles]], Singles]  # checked inputs by name to quantiles [N, H, Q]


class Answerer(NamedTuple):
    """What a backend answers with: `call` for any windows, `row` for one window [1, L] of the target alone.

    `row` gives None where the window holds anything but finite numbers, and must be looked at with care.
    """

    call: Call
    row: Callable[[Singles], Singles | None]


class Prediction(NamedTuple):
    """An answer: quantiles [N, H, Q] on the original scale, how long it took, who gave it, and the median's
    place. Of classes the probabilities [N, H, K], and the place -1.
    """

    quantiles: Singles
    latency_ms: float
    backend: str
    median: int

    @property
    def point(self) -> Singles:
        """The point forecast [N, H]: the median; of classes the place of the most probable one."""
        if self.median < 0:
            return np.asarray(self.quantiles.argmax(axis=2), dtype=np.float32)
        point: Singles = self.quantiles[:, :, self.median]
        return point


class Session(Protocol):
    """An opened bundle. It is never changed by what it is asked; only its latency statistics grow."""

    @property
    def backend(self) -> str:
        """Who answers: onnxruntime or eager."""
        ...

    @property
    def choice(self) -> Choice:
        """The backend that was asked for, the one that is used and why, and what was passed over."""
        ...

    @property
    def model(self) -> str:
        """The bundle's name."""
        ...

    @property
    def digest(self) -> str:
        """The bundle's digest."""
        ...

    @property
    def task(self) -> Task:
        """What it answers."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the arrays that `predict` takes."""
        ...

    @property
    def fitted(self) -> Fitted:
        """The eager model, rebuilt from the bundle's weights."""
        ...

    def predict(self, x: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]], /) -> Prediction:
        """The answer to windows: an array [N, L] (or [L]) of past values, or a mapping of arrays by input
        name.
        """
        ...

    def read(self, table: Any, /) -> Panel:
        """A table, a path or a Panel as the Panel that this model needs: its columns by name, its grid."""
        ...

    def forecast(self, panel: Any, /, *, cutoffs: Cutoffs | None = None) -> Forecast:
        """The forecast after each series' last observed value, or at cutoffs of the panel's history."""
        ...

    def latency(self) -> dict[str, float]:
        """mean_ms, p50_ms, median_ms, p95_ms, p99_ms, max_ms and count of the answers so far."""
        ...

    def reset_latency(self) -> None:
        """Forgets the times of the answers so far."""
        ...


def open_session(
    bundle: Bundle | str | Path, *, backend: Backend | str = "auto", threads: int = 1, strict: bool = False
) -> Session:
    """A session on a bundle, verified, and checked against its own example.

    `auto` takes ONNX Runtime, and the eager model where that can't serve or the bundle has no graph. A backend that
    can't serve, or that does not give the example's answer, is passed over with a `FallbackWarning`, or a
    `BackendError` when `strict`. `threads` is for one answer of ONNX Runtime. Raises `TamperedError` and `BundleError`
    as `load_bundle` does.
    """
    from tidewright.inference.local_session import LocalSession

    if backend not in ("auto", *BACKENDS):
        raise UnknownNameError(explain_unknown("backend", backend, ("auto", *BACKENDS)))
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ConfigError(f"threads is the number of threads of one answer, 1 or more; got {threads!r}.")
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    passed: dict[str, str] = {}
    if backend == "auto" and opened.manifest.no_graph:
        return _open_eager(opened)
    wanted = BACKENDS if backend == "auto" else (backend, *(name for name in BACKENDS if name != backend))
    for name in wanted:
        try:
            answerer = start(name, opened, threads=threads)
            _check_example(answerer.call, opened, name=name)
        except (BackendError, ParityError) as error:
            if strict or name == wanted[-1]:
                raise
            passed[name] = str(error)
            continue
        choice = _choose(str(backend), name, passed=passed)
        return LocalSession(opened, choice=choice, answerer=answerer)
    raise BackendError("no backend is known.")


def _open_eager(bundle: Bundle) -> Session:
    """A session on a bundle that has no graph: nothing was passed over that could have served."""
    from tidewright.inference.local_session import LocalSession

    answerer = start("eager", bundle, threads=1)
    _check_example(answerer.call, bundle, name="eager")
    reason = f"the bundle has no graph: {bundle.manifest.no_graph}"
    return LocalSession(bundle, choice=Choice("auto", "eager", reason, (f"onnxruntime: {reason}",)), answerer=answerer)


def start(name: str, bundle: Bundle, *, threads: int) -> Answerer:
    """What answers for a backend. Raises `BackendError` where it can't serve this bundle here."""
    if name == "onnxruntime":
        from tidewright.inference.onnx_backend import start_onnx

        return start_onnx(bundle, threads=threads)
    from tidewright.inference.eager_backend import start_eager

    return start_eager(bundle)


def _choose(requested: str, used: str, *, passed: Mapping[str, str]) -> Choice:
    reasons = {"onnxruntime": "the compiled graph comes first", "eager": "the model itself"}
    reason = "asked for" if requested == used else reasons[used]
    if passed:
        why = "; ".join(f"{name}: {text}" for name, text in passed.items())
        reason = f"{reasons[used]}, in place of {', '.join(passed)}"
        warnings.warn(f"{used} answers instead of {', '.join(passed)}. {why}", FallbackWarning, stacklevel=3)
    others = {name: "not needed" for name in BACKENDS if requested == "auto" and name not in (used, *passed)}
    return Choice(requested, used, reason, tuple(f"{name}: {text}" for name, text in {**passed, **others}.items()))


def _check_example(call: Call, bundle: Bundle, *, name: str) -> None:
    """The backend gives the answer of the bundle's example. Raises `ParityError`."""
    from tidewright.registry.difference import relative_difference

    batch, answer = bundle.example()
    feed = {key: np.ascontiguousarray(getattr(batch, key)) for key in bundle.manifest.widths.inputs}
    target = None if bundle.manifest.task.classifies else batch.target
    apart = relative_difference(call(feed), answer, target=target)
    if not apart <= bundle.tolerance:
        raise ParityError(
            f"{name} does not give the answer of the bundle's example: it differs by {apart:.3g} "
            "(relative), and "
            f"{bundle.tolerance:g} is allowed. Export the model again on this machine."
        )
