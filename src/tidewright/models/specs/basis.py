"""Networks of basis expansions: N-BEATS and N-HiTS."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.limits import refuse_share, refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class NBEATS:
    """Blocks that each explain a part of the window and hand on the rest (Oreshkin, Carpov, Chapados, Bengio 2020).

    `stacks` are made of `blocks` blocks of `layers` layers of `width` units. A generic block learns its own basis of
    `terms` vectors; "trend" is a polynomial of `degree`, "seasonality" sines and cosines up to the `harmonics`-th (as
    many as the lookback and the horizon can tell apart). The blocks of a stack of these two share their weights:
    ("trend", "seasonality") is the paper's interpretable network, whose parts `decompose` gives. Covariates and the
    mask enter every block beside the window (N-BEATSx: Olivares et al. 2023). Raises `ConfigError`.
    """

    stacks: tuple[Literal["generic", "trend", "seasonality"], ...] = ("trend", "seasonality", "generic")
    blocks: int = 3
    layers: int = 4
    width: int = 256
    terms: int = 32
    degree: int = 3
    harmonics: int = 64
    dropout: float = 0.0
    name: Literal["nbeats"] = "nbeats"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        if not self.stacks:
            raise ConfigError("nbeats.stacks names one stack at least; got none. Take ('trend', 'seasonality').")
        counts = ("blocks", "layers", "width", "terms", "degree", "harmonics")
        refuse_small(self.name, **{option: getattr(self, option) for option in counts})
        refuse_share(self.name, dropout=self.dropout)
        usual = {field.name: field.default for field in fields(self)}
        for option, stack in (("terms", "generic"), ("degree", "trend"), ("harmonics", "seasonality")):
            value = getattr(self, option)
            if stack not in self.stacks and value != usual[option]:
                raise ConfigError(
                    f"nbeats.{option} is of {stack} stacks; got {value!r} with stacks {self.stacks}. Leave it out, or "
                    "add such a stack."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class NHiTS:
    """N-BEATS that looks at each scale of time on its own (Challu, Olivares, Oreshkin et al. 2023).

    A stack takes the maximum of every `pools` steps, and answers with one knot every `strides` steps of the lookback
    and the horizon, joined by straight lines: slow movements first, the rest is left to the next stack. `blocks` blocks
    a stack, `layers` layers of `width` units. Covariates and the mask enter every block. Raises `ConfigError`.
    """

    pools: tuple[int, ...] = (8, 4, 1)
    strides: tuple[int, ...] = (24, 12, 1)
    blocks: int = 1
    layers: int = 2
    width: int = 256
    dropout: float = 0.0
    name: Literal["nhits"] = "nhits"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        if not self.pools or len(self.pools) != len(self.strides):
            raise ConfigError(
                f"nhits.pools and nhits.strides have one number a stack; got {self.pools} and {self.strides}. "
                "Give as many of each."
            )
        counts = ("pools", "strides", "blocks", "layers", "width")
        refuse_small(self.name, **{option: getattr(self, option) for option in counts})
        refuse_share(self.name, dropout=self.dropout)


ENTRIES = (
    Entry("nbeats", f"{__name__}:NBEATS", "basis expansions: trend and seasonality one can read", "torch"),
    Entry("nhits", f"{__name__}:NHiTS", "basis expansions at several scales: long horizons", "torch"),
)
CORES = (
    Entry("nbeats", "tidewright.models.torch.basis:open_nbeats", "nbeats"),
    Entry("nhits", "tidewright.models.torch.basis:open_nhits", "nhits"),
)
