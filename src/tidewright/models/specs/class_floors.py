"""Floors of classes: shares that were counted in training, which every classifier must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassShares:
    """The share of each class among the training labels, for every step."""

    name: Literal["class_shares"] = "class_shares"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastClass:
    """How often each class came, so many steps after the class that was last observed (a Markov chain's shares)."""

    name: Literal["last_class"] = "last_class"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonalClass:
    """How often each class came after the class of the same season before; `period` in steps, None: the grid's."""

    period: int | None = None
    name: Literal["seasonal_class"] = "seasonal_class"
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.period is not None and (isinstance(self.period, bool) or self.period < 1):
            raise ConfigError(f"seasonal_class: period is a whole number of steps, 1 or more; got {self.period!r}.")


ClassFloorSpec = ClassShares | LastClass | SeasonalClass

ENTRIES = (
    Entry("class_shares", f"{__name__}:ClassShares", "the shares of classes in training", "class_floor"),
    Entry("last_class", f"{__name__}:LastClass", "what came after the last class, in training", "class_floor"),
    Entry("seasonal_class", f"{__name__}:SeasonalClass", "what came a season after a class", "class_floor"),
)
