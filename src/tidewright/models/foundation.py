"""`Foundation`: a network of another package that forecasts windows as it is.

N windows, L lookback, H horizon, K levels of the network, Q quantiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from tidewright.data.panel import Panel
from tidewright.data.splits import Split
from tidewright.data.task import Task
from tidewright.features.view import View
from tidewright.features.windows import Doubles, Singles, Windows, cut_windows
from tidewright.models.fit_floors import sample_windows
from tidewright.models.floors import window_scale
from tidewright.models.pretrained import digest_weights, find_weights
from tidewright.models.specs.foundation import FoundationSpec
from tidewright.runtime import Runtime

DIGEST = "weights_sha256"
TRIED = 4  # validation windows that it is tried on


@dataclass(frozen=True, eq=False, slots=True)
class Network:
    """A loaded network: the levels that it answers [K] (empty: it draws samples), the most past steps that it takes,
    the horizon that it learned, and its answer: windows [n, L] (NaN: missing) and a horizon to [n, H, K] or, of
    samples, [n, H, S].
    """

    levels: tuple[float, ...]
    context: int
    horizon: int
    answer: Callable[[Singles, int], Singles]


@dataclass(frozen=True, eq=False)
class Foundation:
    """A pretrained network. `digest` is the sha256 of its weights, `place` where they are, `device` where it computes.

    A window without an observed value is answered by NaN.
    """

    spec: FoundationSpec
    task: Task
    view: View
    digest: str
    place: Path
    device: str = "cpu"
    history: tuple[Mapping[str, Any], ...] = field(default=())

    def predict(self, windows: Windows) -> Doubles:
        """See `Fitted.predict`."""
        network = self.network()
        out = np.full((len(windows), self.task.horizon, len(self.task.quantiles)), np.nan)
        for start in range(0, len(windows), self.spec.batch):
            rows = np.arange(start, min(start + self.spec.batch, len(windows)))
            past = windows.history(rows)
            seen = ~np.isnan(past).all(axis=1)
            if seen.any():
                answer = network.answer(past[seen].astype(np.float32), self.task.horizon)
                out[rows[seen]] = take_levels(answer, own=network.levels, wanted=self.task.quantiles)
        return out

    def network(self) -> Network:
        """The network, loaded once a process. Raises `MissingExtraError` without its package."""
        from tidewright.models.load_pretrained import load_network

        return load_network(self.spec, self.place, self.digest, self.device)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """See `Fitted.tensors`: the digest of the weights, which stay where they are."""
        return {DIGEST: np.frombuffer(bytes.fromhex(self.digest), dtype=np.uint8)}


def fit_foundation(
    spec: FoundationSpec, *, panel: Panel, split: Split, task: Task, view: View, runtime: Runtime | None = None
) -> Foundation:
    """The network as it is, tried on a few validation windows; nothing is learned.

    The history says what the weights are, the network's own levels and limits, the loss and what a window cost. A
    lookback beyond what the network takes is cut to that. Raises `ConfigError` where the weights are not on disk, and
    `MissingExtraError` without the package.
    """
    place = find_weights(spec).resolve()
    spec = replace(spec, weights=str(place))
    device = "cpu" if runtime is None else runtime.device.used
    model = Foundation(spec, task, View(spec.context or view.lookback), digest_weights(place), place, device)
    network = model.network()
    model = replace(model, view=View(min(model.view.lookback, network.context)))
    windows = cut_windows(panel, model.view, horizon=task.horizon, cutoffs=split.validation, least=1)
    windows = sample_windows(windows, most=TRIED)
    model.predict(windows)  # what is done once is not the window's cost
    started = time.monotonic()
    answer = model.predict(windows)
    seconds = (time.monotonic() - started) / len(windows)
    scale = window_scale(windows.history(), panel.frequency.season)
    error = np.abs(windows.labels() - answer[:, :, task.median]) / np.where(scale > 0, scale, 1.0)[:, None]
    record = {
        "candidate": "as it is",
        "weights_sha256": model.digest,
        "own_levels": list(network.levels),
        "own_context": network.context,
        "own_horizon": network.horizon,
        "validation_loss": float(np.nanmean(error)),
        "windows": len(windows),
        "seconds_a_window": seconds,
        "chosen": True,
    }
    return replace(model, history=(record,))


def take_levels(answer: Singles, *, own: tuple[float, ...], wanted: tuple[float, ...]) -> Doubles:
    """Quantiles [n, H, Q] at the wanted levels, ascending, from a network's own levels [n, H, K], or from samples.

    Between two of its levels they are interpolated on the scale of normal scores, and beyond the outermost go on with
    the slope there: exact for a normal distribution.

    >>> own = (0.1, 0.5, 0.9)
    >>> take_levels(ndtri(own)[None, None], own=own, wanted=(0.025, 0.5, 0.75)).round(3)
    array([[[-1.96 ,  0.   ,  0.674]]])
    """
    values = answer.astype(np.float64)
    if not own:
        return np.asarray(np.moveaxis(np.quantile(values, wanted, axis=2), 0, -1))
    values = np.sort(values, axis=2)
    if len(own) == 1:
        return np.asarray(np.repeat(values, len(wanted), axis=2))
    scores, asked = ndtri(np.array(own)), ndtri(np.array(wanted))
    right = np.clip(np.searchsorted(scores, asked), 1, len(own) - 1)
    exact = np.isclose(asked[:, None], scores[None, :], rtol=0.0, atol=1e-12)
    share = (asked - scores[right - 1]) / (scores[right] - scores[right - 1])
    found = values[:, :, right - 1] + share * (values[:, :, right] - values[:, :, right - 1])
    place, known = exact.argmax(axis=1), exact.any(axis=1)
    return np.asarray(np.where(known, values[:, :, place], found))
