"""Recurrent networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class LSTM:
    """A long short-term memory network (Hochreiter, Schmidhuber 1997) with a feed-forward head."""

    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    head: tuple[int, ...] = (64,)
    dropout: float = 0.1
    name: Literal["lstm"] = "lstm"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")


ENTRIES = (Entry("lstm", f"{__name__}:LSTM", "long short-term memory: sequential data", "torch"),)
CORES = (Entry("lstm", "tidewright.models.torch.recurrent:RecurrentCore", "lstm"),)
