"""What the products of a step are computed in: float32, or fewer digits where that is faster.

Weights, their gradients and the optimiser's state are float32 whatever it is, and so are standardising, the head and
the loss: only the layers between them are computed in less. Validation is in float32, as every answer will be.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from tidewright.errors import BackendError, FallbackWarning
from tidewright.models.torch.network import ForecastNet
from tidewright.training.checkpoint import Tensors
from tidewright.training.gather import Inputs
from tidewright.training.losses import Loss

Score = Callable[..., tuple[Tensor, Tensor, Tensor]]
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
LEAST_SCALE = 1.0  # a loss that overflows unscaled is beyond float16


@dataclass(eq=False, slots=True)
class Means:
    """How steps are computed: in which precision, by compiled code or not. It changes when a precision fails.

    float16 scales its losses so that small gradients do not vanish, and skips a step whose gradients overflow
    (Micikevicius and others 2018).
    """

    precision: str = "float32"
    device: str = "cpu"
    scaler: torch.amp.GradScaler | None = None
    compiled: Score | None = None

    def take(self, precision: str) -> None:
        """Goes on in a precision."""
        self.precision = precision
        self.scaler = torch.amp.GradScaler(self.device) if precision == "float16" else None

    @property
    def reduced(self) -> bool:
        """Whether the precision is less than float32."""
        return self.precision != "float32"

    def lend(self, network: ForecastNet) -> ForecastNet:
        """The network as a loss asks it while it learns: the very one, where nothing is computed otherwise."""
        if self.precision not in DTYPES and self.compiled is None:
            return network
        return cast(ForecastNet, Lent(network, self.compiled or network.score, self.device, DTYPES.get(self.precision)))

    def change(self, loss: Loss) -> Loss:
        """A loss of a network whose scores are computed by these means, whatever they are when it is taken."""

        def measure(network: ForecastNet, inputs: Inputs, labels: Tensor) -> tuple[Tensor, Tensor | int]:
            return loss(self.lend(network), inputs, labels)

        return measure

    def applied(self) -> AbstractContextManager[None]:
        """Steps inside the block multiply float32 numbers as the precision says: as tf32 does, or exactly."""
        return multiply_in("tf32" if self.precision == "tf32" else "ieee", device=self.device)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss that gradients are taken of."""
        scaled: Tensor = self.scaler.scale(loss) if self.scaler else loss
        return scaled

    def descend(self, optimizer: Optimizer, parameters: Iterable[Parameter], *, clip: float) -> None:
        """One step of the optimiser, its gradients' norm at most `clip`."""
        if self.scaler:
            self.scaler.unscale_(optimizer)
        if clip < math.inf:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        if self.scaler:
            self.scaler.step(optimizer)
            self.scaler.update()
        else:
            optimizer.step()

    def explain_failure(self, *losses: float) -> str:
        """Why an epoch can't stand, from its losses; empty when it can, and in float32."""
        if not self.reduced:
            return ""
        if not all(math.isfinite(loss) for loss in losses):
            return f"the loss was no longer finite in {self.precision}"
        if self.scaler and self.scaler.get_scale() < LEAST_SCALE:
            return f"gradients overflowed in {self.precision} whatever the loss was scaled by"
        return ""

    def describe(self) -> dict[str, Any]:
        """What the history says of them."""
        return {"precision": self.precision, "compiled": self.compiled is not None}

    def pack(self) -> Tensors:
        """What a checkpoint must hold beside the history."""
        if not self.scaler:
            return {}
        state = self.scaler.state_dict()
        return {"precision.scale": torch.tensor([state["scale"], state["_growth_tracker"]], dtype=torch.float64)}

    def unpack(self, tensors: Tensors) -> None:
        """Puts back what `pack` took."""
        if self.scaler:
            scale, grown = tensors["precision.scale"].tolist()
            self.scaler.load_state_dict(self.scaler.state_dict() | {"scale": scale, "_growth_tracker": int(grown)})


@dataclass(frozen=True, eq=False, slots=True)
class Lent:
    """A network whose scores are computed otherwise, and come out in float32."""

    network: ForecastNet
    ask: Score
    device: str
    dtype: torch.dtype | None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def __call__(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """See `ForecastNet.forward`."""
        answer: Tensor = self.network.head(*self.score(*inputs, **named))
        return answer

    def score(self, *inputs: Tensor, **named: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `ForecastNet.score`. Autocast leaves standardising in float32: it holds no product of matrices."""
        if self.dtype is None:
            return self.ask(*inputs, **named)
        with torch.autocast(self.device, dtype=self.dtype):
            scores, mean, scale = self.ask(*inputs, **named)
        return scores.float(), mean, scale


def open_means(precision: str, device: str = "cpu") -> Means:
    """The means to compute in a precision; fastest is float32 until it is known what is."""
    means = Means(device=device)
    means.take("float32" if precision == "fastest" else precision)
    return means


def fall_back(text: str, *, strict: bool) -> None:
    """Warns of what is computed otherwise than asked for, or, when `strict`, raises `BackendError`."""
    if strict:
        raise BackendError(f"{text} Ask for what is used, or leave strict out.")
    warnings.warn(text, FallbackWarning, stacklevel=2)


@contextmanager
def multiply_in(kind: str, *, device: str) -> Iterator[None]:
    """CUDA multiplies float32 numbers as tf32 does, or exactly ("ieee"); torch's own settings come back after it."""
    if device != "cuda":
        yield
        return
    backends: Any = torch.backends  # its stubs lag behind
    settings = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    before = [one.fp32_precision for one in settings]
    for one in settings:
        one.fp32_precision = kind
    try:
        yield
    finally:
        for one, was in zip(settings, before, strict=True):
            one.fp32_precision = was
