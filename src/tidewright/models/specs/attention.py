"""Transformers: attention between steps, between patches of steps, or between variates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.limits import refuse_share, refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerEncoder:
    """Self-attention over the steps of the lookback (Vaswani et al. 2017; layers normalised first: Xiong et al. 2020).

    Every step is a token. The newest one, having attended to all, goes with the known future and the static features
    through a feed-forward head. A step without any value is no token.
    """

    d_model: int = 64
    nhead: int = 4
    layers: int = 2
    dim_feedforward: int = 128
    head: tuple[int, ...] = (64,)
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    dropout: float = 0.1
    name: Literal["transformer_encoder"] = "transformer_encoder"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        check_heads(self.name, self.d_model, heads=self.nhead)
        refuse_small(self.name, layers=self.layers, dim_feedforward=self.dim_feedforward, head=self.head)
        refuse_share(self.name, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """Encoder and decoder (Vaswani et al. 2017; layers normalised first: Xiong et al. 2020), in one pass.

    The encoder reads the lookback. The decoder has one token a step of the horizon, made of that step's known features
    and its position; these attend to each other and to the encoder's. No forecast is fed back, so errors don't add up.
    """

    d_model: int = 64
    nhead: int = 4
    num_encoder_layers: int = 2
    num_decoder_layers: int = 1
    dim_feedforward: int = 128
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    dropout: float = 0.1
    name: Literal["transformer"] = "transformer"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        check_heads(self.name, self.d_model, heads=self.nhead)
        refuse_small(
            self.name,
            num_encoder_layers=self.num_encoder_layers,
            num_decoder_layers=self.num_decoder_layers,
            dim_feedforward=self.dim_feedforward,
        )
        refuse_share(self.name, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveTransformer:
    """Multi-head attention over positions, residual connections by choice, and a head that fits any lookback.

    The head averages the tokens of each of `segments` even parts of the lookback (adaptive pooling), whatever its
    length, and reads these averages. Without `residual` each layer replaces its input: tokens grow alike with depth
    (Dong, Cordonnier, Loukas 2021), so keep such a network shallow.
    """

    d_model: int = 64
    nhead: int = 4
    layers: int = 2
    dim_feedforward: int = 128
    segments: int = 4
    residual: bool = True
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    dropout: float = 0.1
    name: Literal["adaptive_transformer"] = "adaptive_transformer"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        check_heads(self.name, self.d_model, heads=self.nhead)
        refuse_small(self.name, layers=self.layers, dim_feedforward=self.dim_feedforward, segments=self.segments)
        refuse_share(self.name, dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchTST:
    """Attention over patches of the target alone (Nie, Nguyen, Sinthong, Kalagnanam 2023), each series for itself.

    The last value is repeated `stride` times, then patches of `patch_len` steps are cut every `stride` steps; one
    linear layer reads all of them. A patch without any value is no token, and a lookback shorter than a patch is
    filled up in front with missing steps. The attention scores are not carried from layer to layer as in the authors'
    code.
    """

    patch_len: int = 16
    stride: int = 8
    d_model: int = 16
    nhead: int = 4
    layers: int = 3
    dim_feedforward: int = 128
    norm: Literal["batch", "layer"] = "batch"
    dropout: float = 0.3
    head_dropout: float = 0.0
    name: Literal["patchtst"] = "patchtst"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_heads(self.name, self.d_model, heads=self.nhead)
        refuse_small(
            self.name,
            patch_len=self.patch_len,
            stride=self.stride,
            layers=self.layers,
            dim_feedforward=self.dim_feedforward,
        )
        refuse_share(self.name, dropout=self.dropout, head_dropout=self.head_dropout)
        if self.stride > self.patch_len:
            raise ConfigError(
                f"patchtst: stride is at most patch_len, or steps between patches go unread; got stride {self.stride} "
                f"and patch_len {self.patch_len}. Ask for a smaller stride."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ITransformer:
    """Attention between variates (Liu et al. 2024, iTransformer): each is one token, embedded over the whole lookback.

    The original forecasts all channels of a table at once, and its tokens are these channels and the calendar. Here a
    window has one target: its tokens are the target, the past and the known covariates and the static features, and
    only the target is answered. To let the channels of a table see each other, give each series the others as past
    covariates. Two more differences: a known covariate is embedded with its values over the horizon, and with
    `identity` each variate adds a learned vector, so that two variates of like course are told apart.
    Covariates are standardised by window, as the target is; their token also sees the level and the spread that this
    takes away.
    """

    d_model: int = 128
    nhead: int = 8
    layers: int = 2
    dim_feedforward: int = 128
    identity: bool = True
    dropout: float = 0.1
    name: Literal["itransformer"] = "itransformer"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        check_heads(self.name, self.d_model, heads=self.nhead)
        refuse_small(self.name, layers=self.layers, dim_feedforward=self.dim_feedforward)
        refuse_share(self.name, dropout=self.dropout)


def check_heads(model: str, d_model: int, *, heads: int) -> None:
    """Raises `ConfigError` unless the heads share the width evenly, and it is even (sines come with cosines)."""
    if d_model < 2 or d_model % 2 or heads < 1 or d_model % heads:
        raise ConfigError(
            f"{model}: d_model is an even number that nhead divides; got d_model {d_model} and nhead {heads}. "
            f"Ask for a d_model of {heads} times an even number."
        )


ENTRIES = (
    Entry("transformer", f"{__name__}:Transformer", "encoder and decoder: complex patterns, a known future", "torch"),
    Entry("transformer_encoder", f"{__name__}:TransformerEncoder", "self-attention: long sequential data", "torch"),
    Entry("adaptive_transformer", f"{__name__}:AdaptiveTransformer", "attention with a pooled head: any span", "torch"),
    Entry("patchtst", f"{__name__}:PatchTST", "attention over patches: long horizons, the target alone", "torch"),
    Entry("itransformer", f"{__name__}:ITransformer", "attention between variates: many covariates", "torch"),
)
CORES = (
    Entry("transformer", "tidewright.models.torch.transformer:TransformerCore", "transformer"),
    Entry("transformer_encoder", "tidewright.models.torch.transformer:EncoderCore", "transformer_encoder"),
    Entry("adaptive_transformer", "tidewright.models.torch.transformer:AdaptiveCore", "adaptive_transformer"),
    Entry("patchtst", "tidewright.models.torch.patchtst:PatchCore", "patchtst"),
    Entry("itransformer", "tidewright.models.torch.itransformer:VariateCore", "itransformer"),
)
