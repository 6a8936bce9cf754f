"""`HyperparameterSpace`: lists of values to try, as `AutoTrainer` takes them, and the `SearchSpace` that they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tidewright.errors import ConfigError
from tidewright.tuning.space import Choice, SearchSpace


class OptimizerType(StrEnum):
    """How the weights descend. Weight decay is decoupled for ADAMW, an L2 penalty for the others."""

    ADAM = "adam"
    ADAMW = "adamw"
    SGD = "sgd"
    RMSPROP = "rmsprop"


ADDRESSES = {  # of each list's option in a search space
    "learning_rates": "train.learning_rate",
    "batch_sizes": "train.batch_size",
    "optimizers": "train.optimizer",
    "dropout_rates": "model.dropout_rate",
    "weight_decay": "train.weight_decay",
}


@dataclass(frozen=True)
class HyperparameterSpace:
    """The values to try of each option: one or more, each once.

    >>> space = HyperparameterSpace(learning_rates=[1e-3, 1e-2], optimizers=[OptimizerType.SGD])
    >>> space.to_search_space().ranges["train.optimizer"].choices
    ('sgd',)
    >>> space.to_search_space().size == 2 * 5 * 1 * 4 * 3
    True
    """

    learning_rates: Sequence[float] = (1e-4, 5e-4, 1e-3, 5e-3, 1e-2)
    batch_sizes: Sequence[int] = (16, 32, 64, 128, 256)
    optimizers: Sequence[OptimizerType] = (OptimizerType.ADAM, OptimizerType.ADAMW, OptimizerType.SGD)
    dropout_rates: Sequence[float] = (0.0, 0.1, 0.2, 0.3)
    weight_decay: Sequence[float] = (0.0, 1e-5, 1e-4)

    def __post_init__(self) -> None:
        for name in ADDRESSES:
            values = getattr(self, name)
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise ConfigError(f"{name} is a list of one value or more; got {values!r}.")
        known = [one.value for one in OptimizerType]
        for name in self.optimizers:
            if name not in known:
                raise ConfigError(f"optimizers holds {name!r}; it may hold {', '.join(known)} (OptimizerType).")

    def to_search_space(self, *, model: str = "network", without: Sequence[str] = ()) -> SearchSpace:
        """The same as a `SearchSpace`, but for the lists named in `without`."""
        ranges: dict[str, Any] = {}
        for name, address in ADDRESSES.items():
            if name not in without:
                values = getattr(self, name)
                ranges[address] = Choice(tuple(str(v) if name == "optimizers" else v for v in values))
        return SearchSpace(model, ranges)
