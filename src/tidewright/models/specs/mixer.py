"""Networks of feed-forward layers alone that mix time and features: TSMixer and TiDE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.models.specs.limits import refuse_share, refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class TSMixer:
    """Layers that mix over time and over features in turn (Chen, Li, Arik, Yoder, Pfister 2023).

    `layers` mix the lookback, each by one matrix over its steps and by a layer of `width` units over its features; one
    matrix then leads to the horizon. With known or static covariates as many layers mix the horizon too, with those
    beside (the paper's extension for auxiliary information). A window is one series: its features are the target, its
    mask and its covariates, so that series are not mixed with each other as the paper's channels are. Layers are
    normalised over a window's steps and features, not over a batch. Raises `ConfigError`.
    """

    layers: int = 2
    width: int = 64
    dropout: float = 0.3
    name: Literal["tsmixer"] = "tsmixer"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        refuse_small(self.name, layers=self.layers, width=self.width)
        refuse_share(self.name, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiDE:
    """A dense encoder and decoder, with known covariates led straight to their step (Das, Kong, Leach et al. 2023).

    Past and known covariates shrink to `step_width` numbers a step. Window, mask, these and the static features go
    through `encoder_layers` and `decoder_layers` residual blocks of `width` units, which give `decoder_width` numbers
    a step of the horizon; a last block of `final_width` units reads these and that step's known covariates. One matrix
    leads from the window straight to the answer. Raises `ConfigError`.
    """

    width: int = 128
    encoder_layers: int = 1
    decoder_layers: int = 1
    decoder_width: int = 8
    step_width: int = 4
    final_width: int = 32
    layer_norm: bool = True
    dropout: float = 0.3
    name: Literal["tide"] = "tide"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        counts = ("width", "encoder_layers", "decoder_layers", "decoder_width", "step_width", "final_width")
        refuse_small(self.name, **{option: getattr(self, option) for option in counts})
        refuse_share(self.name, dropout=self.dropout)


ENTRIES = (
    Entry(
        "tsmixer", f"{__name__}:TSMixer", "mixes time and covariates in turn: long horizons, some covariates", "torch"
    ),
    Entry("tide", f"{__name__}:TiDE", "dense encoder: known covariates count at their own step", "torch"),
)
CORES = (
    Entry("tsmixer", "tidewright.models.torch.mixer:TSMixerCore", "tsmixer"),
    Entry("tide", "tidewright.models.torch.tide:TiDECore", "tide"),
)
