"""Feed-forward networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.models.specs.limits import refuse_share, refuse_small

Activation = Literal["relu", "tanh", "sigmoid", "gelu"]
Initialisation = Literal["auto", "xavier", "orthogonal", "he"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """A feed-forward network on the standardised lookback and its covariates.

    `initialisation` is how its weights start: "xavier" (Glorot, Bengio 2010), "orthogonal" (Saxe et al. 2014), "he" (He
    et al. 2015); "auto" is he for relu and gelu, xavier for tanh and sigmoid. Raises `ConfigError`.
    """

    hidden: tuple[int, ...] = (256, 128)
    activation: Activation = "relu"
    dropout: float = 0.1
    batch_norm: bool = False
    initialisation: Initialisation = "auto"
    name: Literal["feedforward"] = "feedforward"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        refuse_small(self.name, hidden=self.hidden)
        refuse_share(self.name, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualMLP:
    """A feed-forward network whose `blocks` add to what they are given (He et al. 2016): deep ones learn too.

    The lookback and its covariates become `width` numbers. A block normalises them, leads them through a layer
    of `expansion` times as many and back, and adds the result. `norm` is over a row's numbers ("layer"), over a batch's
    rows ("batch") or left out. `initialisation` as in `FeedForward`. Raises `ConfigError`.
    """

    width: int = 128
    blocks: int = 3
    expansion: int = 2
    activation: Activation = "relu"
    norm: Literal["layer", "batch", "none"] = "layer"
    dropout: float = 0.1
    initialisation: Initialisation = "auto"
    name: Literal["resmlp"] = "resmlp"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        refuse_small(self.name, width=self.width, blocks=self.blocks, expansion=self.expansion)
        refuse_share(self.name, dropout=self.dropout)


ENTRIES = (
    Entry("feedforward", f"{__name__}:FeedForward", "feed-forward network: tabular data", "torch"),
    Entry("resmlp", f"{__name__}:ResidualMLP", "residual feed-forward network: tabular data, when deep", "torch"),
)
CORES = (
    Entry("feedforward", "tidewright.models.torch.dense:DenseCore", "feedforward"),
    Entry("resmlp", "tidewright.models.torch.dense:ResidualCore", "resmlp"),
)
