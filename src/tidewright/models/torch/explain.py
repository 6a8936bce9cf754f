"""What a Temporal Fusion Transformer used of windows, read while it answers.

N windows, L lookback, H horizon, M static features, V variables of a part.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tidewright.features.windows import Doubles, Windows
from tidewright.models.torch.fitted import TorchFitted
from tidewright.models.torch.fusion import FusionCore, Reading
from tidewright.models.torch.network import ForecastNet
from tidewright.runtime import apply_threads


def read_windows(fitted: TorchFitted, windows: Windows, *, chunk: int) -> dict[str, Doubles]:
    """Means over windows: `static` [1, M] (absent without static features), `past` [L, V], `future` [H, V] and
    `attention` [H, L + H]."""
    sums: dict[str, Doubles] = {}
    with apply_threads(1), torch.inference_mode():
        for start in range(0, len(windows), chunk):
            batch = windows.batch(slice(start, start + chunk))
            inputs = {name: torch.from_numpy(getattr(batch, name)) for name in fitted.shape.inputs}
            for part, value in _add_up(read_batch(fitted.network, **inputs)).items():
                sums[part] = sums[part] + value if part in sums else value
    return {part: value / len(windows) for part, value in sums.items()}


def read_batch(network: ForecastNet, **inputs: Tensor) -> Reading:
    """What the core of a network answers to raw inputs (see `ForecastNet.forward`), and what that came from.

    The network itself is left alone, so that others may ask it at the same time.
    """
    core = network.core
    assert isinstance(core, FusionCore)
    listener = _Listener(core)
    heard = ForecastNet(listener, network.shape)  # its scalings; what its head makes of the scores is not asked
    for name, buffer in network.named_buffers(recurse=False):
        setattr(heard, name, buffer)
    heard.score(**inputs)
    (reading,) = listener.readings
    return reading


class _Listener(nn.Module):
    """A core that keeps what it read."""

    def __init__(self, core: FusionCore) -> None:
        super().__init__()
        self.core = core
        self.readings: list[Reading] = []

    def forward(self, *inputs: Tensor | None) -> Tensor:
        self.readings.append(self.core.read(*inputs))  # type: ignore[arg-type]  # the first two are never None
        return self.readings[-1].scores


def _add_up(reading: Reading) -> dict[str, Doubles]:
    parts = {"past": reading.past, "future": reading.future, "attention": reading.attention}
    if reading.static is not None:
        parts["static"] = reading.static.unsqueeze(1)
    return {part: np.asarray(value.numpy().sum(axis=0, dtype=np.float64)) for part, value in parts.items()}
