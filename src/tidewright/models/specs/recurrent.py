"""Recurrent networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.models.specs.limits import refuse_share, refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class LSTM:
    """A long short-term memory network (Hochreiter, Schmidhuber 1997) with a feed-forward head.

    `hidden` is the width of a direction; `layers` above 1 stack, with `dropout` between them. With `highway` one matrix
    leads from the window straight to the answer, beside the network (Lai, Chang, Yang, Liu 2018): what a linear model
    knows need not go through a state. Raises `ConfigError`.
    """

    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    head: tuple[int, ...] = (64,)
    dropout: float = 0.1
    highway: bool = False
    name: Literal["lstm"] = "lstm"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        refuse_small(self.name, hidden=self.hidden, layers=self.layers, head=self.head)
        refuse_share(self.name, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class GRU:
    """A network of gated recurrent units (Cho et al. 2014) with a feed-forward head; options as the LSTM's.

    It has three matrices a layer where the LSTM has four, and no cell state beside the hidden one.
    """

    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    head: tuple[int, ...] = (64,)
    dropout: float = 0.1
    highway: bool = False
    name: Literal["gru"] = "gru"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        refuse_small(self.name, hidden=self.hidden, layers=self.layers, head=self.head)
        refuse_share(self.name, dropout=self.dropout)


ENTRIES = (
    Entry("lstm", f"{__name__}:LSTM", "long short-term memory: sequential data", "torch"),
    Entry("gru", f"{__name__}:GRU", "gated recurrent units: sequential data, fewer weights than lstm", "torch"),
)
CORES = (
    Entry("lstm", "tidewright.models.torch.recurrent:RecurrentCore", "lstm"),
    Entry("gru", "tidewright.models.torch.recurrent:RecurrentCore", "gru"),
)
