"""Convolutional networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.models.specs.limits import refuse_share, refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class TCN:
    """A temporal convolutional network (Bai, Kolter, Koltun 2018): residual blocks of two causal, weight-normalised
    convolutions each, whose dilation grows by a factor a block, with a feed-forward head.

    `num_channels` has a width for each block. `dilation_base` is that factor; None: the smallest from 2 on with which
    the receptive field covers the lookback (n blocks of kernel size k reach back over 1 + 2(k - 1)(b^n - 1) / (b - 1)
    steps; a base up to 2k - 1 leaves no step out). A network that can't see its whole lookback is a `ConfigError`.
    """

    num_channels: tuple[int, ...] = (32, 32, 32, 32, 32)
    kernel_size: int = 3
    dilation_base: int | None = None
    head: tuple[int, ...] = (64,)
    dropout: float = 0.1
    name: Literal["tcn"] = "tcn"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        refuse_small(self.name, num_channels=self.num_channels, kernel_size=self.kernel_size, head=self.head)
        refuse_small(self.name, dilation_base=self.dilation_base)
        refuse_share(self.name, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveCNN:
    """A convolutional network that is sized by its lookback, with adaptive fully connected layers at its end.

    `layers`, each halving the steps, None: as many as leave 8 steps or fewer. `kernel_size`, None: odd, from 3 to 7,
    about an eighth of the lookback. `channels` is the width of the first layer; each doubles it up to four times that.
    `attention` pools the steps that are left by learned weights that sum to one (Bahdanau et al. 2015); without it they
    go on side by side. `head`, None: two layers whose widths fall evenly, on a log scale, from what comes in to what
    goes out. Batch normalisation (Ioffe, Szegedy 2015) uses its running moments when it answers.
    """

    channels: int = 16
    layers: int | None = None
    kernel_size: int | None = None
    batch_norm: bool = True
    attention: bool = False
    head: tuple[int, ...] | None = None
    dropout: float = 0.1
    name: Literal["adaptive_cnn"] = "adaptive_cnn"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        for option in ("channels", "layers", "kernel_size", "head"):
            refuse_small(self.name, **{option: getattr(self, option)})
        refuse_share(self.name, dropout=self.dropout)


ENTRIES = (
    Entry("tcn", f"{__name__}:TCN", "dilated causal convolutions: long lookbacks, faster than recurrent ones", "torch"),
    Entry("adaptive_cnn", f"{__name__}:AdaptiveCNN", "convolutions sized by the lookback: local shapes", "torch"),
)
CORES = (
    Entry("tcn", "tidewright.models.torch.convolutional:TCNCore", "tcn"),
    Entry("adaptive_cnn", "tidewright.models.torch.adaptive_cnn:AdaptiveCNNCore", "adaptive_cnn"),
)
