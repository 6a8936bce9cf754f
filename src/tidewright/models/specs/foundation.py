"""Foundation models: networks of other packages that forecast without learning, from weights on the user's disk.

`weights` is the folder that holds config.json and the weights in safetensors; nothing is downloaded. `context` is how
many past steps they are given at most (None: 512, or what the network takes, if that is less), `batch` how many windows
go through at once. Their quantiles are interpolated to the task's levels on the scale of normal scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.models.specs.limits import refuse_small

USUAL_CONTEXT = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Chronos:
    """Chronos-Bolt, Chronos-2 and Chronos-T5 (Ansari et al. 2024, 2025), whichever the weights are.

    `samples` is the number of paths that a Chronos-T5 draws, which the others have no use for.
    """

    weights: str = ""
    context: int | None = None
    batch: int = 64
    samples: int = 20
    name: Literal["chronos"] = "chronos"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, context=self.context, batch=self.batch, samples=self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimesFM:
    """TimesFM 3.0 (Das, Kong, Sen, Zhou 2024, and later)."""

    weights: str = ""
    context: int | None = None
    batch: int = 64
    name: Literal["timesfm"] = "timesfm"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        refuse_small(self.name, context=self.context, batch=self.batch)


FoundationSpec = Chronos | TimesFM

ENTRIES = (
    Entry(
        "chronos", f"{__name__}:Chronos", "pretrained transformers, no training: needs weights on disk", "foundation"
    ),
    Entry("timesfm", f"{__name__}:TimesFM", "pretrained decoder, no training: needs weights on disk", "foundation"),
)
