"""Feed-forward networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """A feed-forward network on the standardised lookback and its covariates."""

    hidden: tuple[int, ...] = (256, 128)
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = "relu"
    dropout: float = 0.1
    batch_norm: bool = False
    name: Literal["feedforward"] = "feedforward"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")


ENTRIES = (Entry("feedforward", f"{__name__}:FeedForward", "feed-forward network: tabular data", "torch"),)
CORES = (Entry("feedforward", "tidewright.models.torch.dense:DenseCore", "feedforward"),)
