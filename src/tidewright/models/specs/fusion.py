"""The Temporal Fusion Transformer."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.limits import refuse_scale, refuse_share, refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class TFT:
    """The Temporal Fusion Transformer (Lim, Arik, Loeff, Pfister 2021): it says which variables and times it used.

    Selected variables go through a recurrent encoder and decoder of `hidden` units and `lstm_layers` layers, and
    through attention of `heads` heads. `scale` makes it larger as a whole: `width` is `hidden` times it, `depth`
    `lstm_layers` times its square root. Raises `ConfigError` for options out of range, or heads that don't divide
    `hidden`.

    >>> TFT(hidden=256, lstm_layers=2, scale=4).width, TFT(hidden=256, lstm_layers=2, scale=4).depth
    (1024, 4)
    """

    hidden: int = 64
    heads: int = 4
    lstm_layers: int = 1
    dropout: float = 0.1
    scale: float = 1.0
    name: Literal["tft"] = "tft"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        refuse_small(self.name, hidden=self.hidden, heads=self.heads, lstm_layers=self.lstm_layers)
        refuse_share(self.name, dropout=self.dropout)
        refuse_scale(self.name, self.scale)
        if self.hidden % self.heads:
            raise ConfigError(
                f"tft.heads must divide tft.hidden; got {self.heads} heads of {self.hidden}. "
                f"Take hidden={max(1, round(self.hidden / self.heads)) * self.heads}, or other heads."
            )

    @property
    def width(self) -> int:
        """The units of every layer: `hidden` times `scale`, to the nearest multiple of `heads`."""
        return max(1, round(self.hidden * self.scale / self.heads)) * self.heads

    @property
    def depth(self) -> int:
        """The layers of each LSTM: `lstm_layers` times the square root of `scale`."""
        return max(1, round(self.lstm_layers * sqrt(self.scale)))


ENTRIES = (
    Entry("tft", f"{__name__}:TFT", "temporal fusion transformer: many covariates, and which of them matter", "torch"),
)
CORES = (Entry("tft", "tidewright.models.torch.fusion:FusionCore", "tft"),)
