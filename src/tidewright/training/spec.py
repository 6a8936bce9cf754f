"""`TrainSpec`: how a network learns, and nothing of what it is or sees."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from tidewright.errors import ConfigError

LossName = Literal["quantile", "mse", "mae", "huber", "gaussian", "student", "mixture", "negative_binomial", "crps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """How a network learns. Raises `ConfigError` for a number outside its range.

    An epoch is at most `steps` batches of at most `batch_size` windows, drawn without replacement from a
    seeded shuffle of all training windows. After each epoch the loss is taken on at most `judged` validation
    windows. `patience` epochs without a gain of `least_gain` (a share of the loss) end the training, `epochs`
    at the latest; the weights of the best epoch are given back. `clip` is the largest gradient norm (`inf`:
    none). `weight_decay` is decoupled for adamw, an L2 penalty for the others.

    `loss` is taken on standardised windows, missing labels left out. "quantile" learns all quantiles by their
    pinball loss. "mse", "mae" and "huber" (squared up to `delta` standard deviations of the window, absolute beyond;
    default 1) learn the point alone, and its residual quantiles on training windows make the others. "gaussian",
    "student" (its degrees of freedom are learned, a number a step) and "mixture" (of `components` normal
    distributions, default 3) learn the distribution of the likelihood, "negative_binomial" that of counts on their own
    scale; "crps" learns a normal distribution by its ranked probability score, which outliers pull less. The quantiles
    are then those of the distribution. `delta` and `components` are errors with another loss.
    """

    learning_rate: float = 1e-3
    batch_size: int = 256
    epochs: int = 30
    steps: int = 200
    patience: int = 4
    least_gain: float = 1e-4
    judged: int = 4096
    weight_decay: float = 1e-4
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adamw"
    clip: float = 1.0
    loss: LossName = "quantile"
    delta: float | None = None
    components: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "steps", "patience", "judged"):
            _check(name, getattr(self, name), low=1, words="1 or more")
        _check("learning_rate", self.learning_rate, low=0.0, words="above 0 and finite", open_low=True, high=1e30)
        _check("clip", self.clip, low=0.0, words="above 0 (inf: no clipping)", open_low=True)
        _check("weight_decay", self.weight_decay, low=0.0, words="0 or more and finite", high=1e30)
        _check("least_gain", self.least_gain, low=0.0, words="from 0 to 1", high=1.0)
        _check("seed", self.seed, low=0, words="from 0 to 2**63 - 1", high=2**63 - 1)
        if self.delta is not None:
            _check("delta", self.delta, low=0.0, words="above 0 and finite", open_low=True, high=1e30)
        if self.components is not None:
            _check("components", self.components, low=2, words="from 2 to 16", high=16)
        for name, loss in (("delta", "huber"), ("components", "mixture")):
            if getattr(self, name) is not None and self.loss != loss:
                raise ConfigError(f"train.{name} is for the loss {loss}; got it with {self.loss}. Leave it out.")


def _check(name: str, value: float, *, low: float, words: str, open_low: bool = False, high: float = inf) -> None:
    if not (low < value <= high if open_low else low <= value <= high):
        raise ConfigError(f"train.{name} is a number {words}; got {value!r}.")
