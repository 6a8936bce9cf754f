"""`TrainSpec`: how a network learns, and nothing of what it is or sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """How a network learns.

    An epoch is at most `steps` batches, drawn without replacement from a seeded shuffle of all training windows; after
    each the validation loss is taken on at most `judged` windows, and `patience` epochs without an improvement of
    `least_gain` (a share) stop the training; the best weights are given back. `clip` is the largest gradient norm.
    `validation` means quantile loss on standardised windows, as `loss` is; "mse" and "mae" learn the point alone and add
    residual quantiles.
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
    loss: Literal["quantile", "mse", "mae"] = "quantile"
    seed: int = 0
