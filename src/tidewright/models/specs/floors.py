"""Floors: formulas without covariates that every model must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Naive:
    """The last observed value, for every step."""

    name: Literal["naive"] = "naive"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonalNaive:
    """The last observed value of the same season; `period` in steps, None: chosen on validation."""

    period: int | None = None
    name: Literal["seasonal"] = "seasonal"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The line through the first and the last observed value of the lookback (Hyndman, Athanasopoulos 2021)."""

    lookback: int | None = None
    name: Literal["drift"] = "drift"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Damped:
    """Seasonal naive times a damped level: the ratio of the last `recent` steps to the same steps a period before,
    clipped to [low, high], to the power `damping`."""

    period: int | None = None
    recent: int = 8
    low: float = 0.7
    high: float = 1.4
    damping: float = 0.5
    name: Literal["damped"] = "damped"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """The median of the lookback, for every step."""

    lookback: int | None = None
    name: Literal["median"] = "median"
    takes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Closed-form ridge from L past values to H future ones, shared by all series, the window's mean removed.

    `lookbacks`, `penalties` (times the mean diagonal of the Gram matrix) and `scalings` are candidates; one of each is
    chosen on validation. Empty lookbacks: from the grid's season.

    Of classes it is no floor: rows are told by ones and zeros (models/class_inputs), the ones and zeros of each class
    are learned, and `scalings` have no say.
    """

    lookbacks: tuple[int, ...] = ()
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    scalings: tuple[Literal["none", "window"], ...] = ("none", "window")
    name: Literal["ridge"] = "ridge"
    takes: ClassVar[tuple[str, ...]] = ()


ENTRIES = (
    Entry("naive", f"{__name__}:Naive", "the last value", "floor"),
    Entry("seasonal", f"{__name__}:SeasonalNaive", "the last value of the same season", "floor"),
    Entry("drift", f"{__name__}:Drift", "the line through the lookback's ends", "floor"),
    Entry("damped", f"{__name__}:Damped", "seasonal naive times a damped level", "floor"),
    Entry("median", f"{__name__}:Median", "the median of the lookback", "floor"),
    Entry("ridge", f"{__name__}:Ridge", "closed-form ridge from lookback to horizon", "floor"),
)
