"""`Session`: an opened bundle that answers. Any number of threads may ask it at once.

N windows, L lookback, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.data.forecast import Forecast
from tidewright.data.panel import Panel
from tidewright.data.splits import Cutoffs
from tidewright.data.task import Task
from tidewright.features.windows import Singles
from tidewright.inference.options import Optimisation, SessionOptions, Word
from tidewright.models.fitted import Fitted
from tidewright.registry.bundle import Bundle, load_bundle
from tidewright.runtime import Choice, Device

Own = Literal["own"]
Call = Callable[[Mapping[str, Singles]], Singles]  # checked inputs by name to quantiles [N, H, Q]
Row = Callable[[Singles], Singles | None]  # one window [1, L] of the target alone
Staged = Callable[[Singles], tuple[int, int, int] | None]  # one window: ns before the run, of it, and after it
Named = Callable[[Mapping[str, Any]], Singles | None]  # one window of several inputs by name


def leave(x: Any) -> None:
    """What a backend without a quick way says to one window: nothing, so that it goes the careful way."""


class Answerer(NamedTuple):
    """What a backend answers with: `call` for any windows, `row` and `named` for one window, quickly.

    `row` is given float32 of the right shape; `named` looks at names, types and shapes itself. Both give None where the
    window holds anything but finite numbers, or is another, and must be looked at with care. `settings` says what it
    computes with, by option. `staged` does what `row` does, on a thread that `row` ran on, for its times alone.
    """

    call: Call
    row: Row = leave
    named: Named = leave
    settings: Mapping[str, str] = MappingProxyType({})
    staged: Staged = leave


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
        """Who answers: a name of the catalog of backends."""
        ...

    @property
    def choice(self) -> Choice:
        """The backend that was asked for, the one that is used and why, and what was passed over."""
        ...

    @property
    def settings(self) -> Mapping[str, Choice]:
        """What it computes with: the device, the threads and, of ONNX Runtime, providers, arena and optimisation."""
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
        name; or a list of these, one after the other.
        """
        ...

    def predict_stream(self, items: Iterable[Any], /, *, batch_size: int = 64) -> Iterator[Prediction]:
        """The answer to each item, an array or a mapping as `predict` takes, in order and when it is needed; so many
        go in one call. An error names the item.
        """
        ...

    def read(self, table: Any, /) -> Panel:
        """A table, a path or a Panel as the Panel that this model needs: its columns by name, its grid."""
        ...

    def forecast(self, panel: Any, /, *, cutoffs: Cutoffs | None = None, lookback: int | Own | None = None) -> Forecast:
        """The forecast after each series' last observed value, or at cutoffs of the panel's history.

        `lookback` is how many steps a window has (default: what the model learned from), where the bundle allows other
        lengths; "own" is each series' own history where that is shorter. The forecast's `notes` say so.
        """
        ...

    def latency(self, *, last: int | None = None, seconds: float | None = None) -> dict[str, float]:
        """mean_ms, p50_ms, median_ms, p95_ms, p99_ms, max_ms and count of the answers so far, and answers a second;
        or of the `last` answers, or of those of the last `seconds` (5 to 300, to 5 s).
        """
        ...

    def stages(self) -> dict[str, dict[str, float]]:
        """The same of the parts of an answer: preprocess, run, postprocess, and queue where there is one. Of single
        windows one in about a thousand is looked at, of batches each.
        """
        ...

    def reset_latency(self) -> None:
        """Forgets the times of the answers so far."""
        ...


def open_session(
    bundle: Bundle | str | Path,
    *,
    backend: str = "auto",
    batch_sizes: Sequence[int] = (1, 64),
    device: Device = "auto",
    threads: int = 1,
    arena: bool = True,
    optimisation: Optimisation = "all",
    precision: Word = "auto",
    measure: str | Sequence[str] = "quick",
    remember: bool = True,
    strict: bool = False,
) -> Session:
    """A session on a bundle, verified, and checked against its own example before its first answer.

    `auto` times the backends that start quickly (`measure` "quick"), all that this machine has ("all": some compile
    for minutes and import torch), or those that are named, on the example for the batch sizes, and takes the fastest.
    Where there is only one, nothing is timed. With `remember` the figures are kept in the user's cache folder by
    machine, bundle and options, and later calls go by them, also by those of "all". What was passed over stands with
    its figures in `session.choice`. Device, threads, arena and optimisation: see `SessionOptions`.

    `precision` auto is what the bundle is. In bfloat16 or float16 a network of torch answers where the device has it
    and the example's answers stay near; a graph of lower precision is made, and judged, by `quantise`. What can't be
    had is a `BackendError` that says which call gives it, and never another precision.

    A backend that was asked for and can't serve, or does not give the example's answer, is passed over with a
    `FallbackWarning`, or a `BackendError` when `strict`. Raises `UnknownNameError`, `ConfigError`, and `TamperedError`
    and `BundleError` as `load_bundle` does.
    """
    from tidewright.inference.choose import Wish, choose_session, read_sizes

    options = SessionOptions(
        device=device, threads=threads, arena=arena, optimisation=optimisation, precision=precision
    )
    wish = Wish(backend, batch_sizes=read_sizes(batch_sizes), measure=measure, remember=remember, strict=strict)
    opened = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    return choose_session(opened, wish=wish, options=options)
