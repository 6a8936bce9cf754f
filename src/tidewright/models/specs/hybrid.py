"""Networks of several kinds in series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.limits import refuse_scale, refuse_share, refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class CNNLSTM:
    """Convolutions find local shapes, a long short-term memory network reads their order, a feed-forward head answers
    (CNN, LSTM and dense layers in series: Sainath et al. 2015).

    `cnn_channels` and `cnn_kernel_sizes` have one number for each convolution. After each the largest of every `pool`
    steps is kept (1: all), as long as there are so many. An empty `head` answers straight from the last state.
    """

    cnn_channels: tuple[int, ...] = (32, 64)
    cnn_kernel_sizes: tuple[int, ...] = (3, 3)
    pool: int = 2
    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    head: tuple[int, ...] = (64,)
    dropout: float = 0.1
    name: Literal["cnn_lstm"] = "cnn_lstm"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        if len(self.cnn_channels) != len(self.cnn_kernel_sizes) or not self.cnn_channels:
            raise ConfigError(
                f"each convolution of cnn_lstm has a width and a kernel size; got cnn_channels {self.cnn_channels} and "
                f"cnn_kernel_sizes {self.cnn_kernel_sizes}. Give both one number for each convolution."
            )
        for option in ("cnn_channels", "cnn_kernel_sizes", "pool", "hidden", "layers", "head"):
            refuse_small(self.name, **{option: getattr(self, option)})
        refuse_share(self.name, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class CNNLSTMTransformer:
    """Convolutions, a long short-term memory network and a Transformer encoder (Vaswani et al. 2017, normalised before
    each part as in Xiong et al. 2020), each with residual connections, and a feed-forward head.

    `serial`: each reads what the one before it wrote; `parallel`: all three read the same steps, and what they say is
    put side by side. `scale` multiplies `width`, the width of every part, so the number of weights grows with its
    square: a third of a million at 1, about 100 million at 18.2, 500 million at 41.
    """

    arrangement: Literal["serial", "parallel"] = "serial"
    width: int = 64
    conv_layers: int = 3
    kernel_size: int = 3
    lstm_layers: int = 2
    transformer_layers: int = 4
    heads: int = 4
    scale: float = 1.0
    dropout: float = 0.1
    name: Literal["cnn_lstm_transformer"] = "cnn_lstm_transformer"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        for option in ("width", "conv_layers", "kernel_size", "lstm_layers", "transformer_layers", "heads"):
            refuse_small(self.name, **{option: getattr(self, option)})
        refuse_share(self.name, dropout=self.dropout)
        refuse_scale(self.name, self.scale)

    @property
    def scaled_width(self) -> int:
        """The width of every part: `width` times `scale`, as the nearest multiple of `heads`."""
        return max(round(self.width * self.scale / self.heads), 1) * self.heads


ENTRIES = (
    Entry("cnn_lstm", f"{__name__}:CNNLSTM", "convolutions, then lstm: local shapes in a long order", "torch"),
    Entry(
        "cnn_lstm_transformer",
        f"{__name__}:CNNLSTMTransformer",
        "convolutions, lstm and attention: much data; scales to 500 M weights",
        "torch",
    ),
)
CORES = (
    Entry("cnn_lstm", "tidewright.models.torch.hybrid:CNNLSTMCore", "cnn_lstm"),
    Entry("cnn_lstm_transformer", "tidewright.models.torch.hybrid:CNNLSTMTransformerCore", "cnn_lstm_transformer"),
)
