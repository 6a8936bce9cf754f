"""What each model is, as one small frozen record; an option that a model does not have is an error.

How it learns is a `TrainSpec` (training/), what it sees is a `View` (features/); the key of the three names trial, run
and bundle.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, is_dataclass
from hashlib import blake2b
from typing import Any, Literal, Protocol

from tidewright.catalog import Catalog, Entry


class ModelSpec(Protocol):
    """Any of the records below."""

    @property
    def name(self) -> str:
        """The model's name in the catalog."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Naive:
    """The last observed value, for every step."""

    name: Literal["naive"] = "naive"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonalNaive:
    """The last observed value of the same season; `period` in steps, None: chosen on validation."""

    period: int | None = None
    name: Literal["seasonal"] = "seasonal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The line through the first and the last observed value of the lookback (Hyndman, Athanasopoulos 2021)."""

    lookback: int | None = None
    name: Literal["drift"] = "drift"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """The median of the lookback, for every step."""

    lookback: int | None = None
    name: Literal["median"] = "median"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Closed-form ridge from L past values to H future ones, shared by all series, the window's mean removed.

    `lookbacks`, `penalties` (times the mean diagonal of the Gram matrix) and `scalings` are candidates; one of each is
    chosen on validation. Empty lookbacks: from the grid's season.
    """

    lookbacks: tuple[int, ...] = ()
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    scalings: tuple[Literal["none", "window"], ...] = ("none", "window")
    name: Literal["ridge"] = "ridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """A feed-forward network on the standardised lookback and its covariates."""

    hidden: tuple[int, ...] = (256, 128)
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = "relu"
    dropout: float = 0.1
    batch_norm: bool = False
    name: Literal["feedforward"] = "feedforward"


@dataclass(frozen=True, slots=True, kw_only=True)
class LSTM:
    """A long short-term memory network (Hochreiter, Schmidhuber 1997) with a feed-forward head."""

    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    head: tuple[int, ...] = (64,)
    dropout: float = 0.1
    name: Literal["lstm"] = "lstm"


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBM:
    """Boosted trees (Ke et al. 2017) on lags and rolling statistics, one model a quantile, the step a feature."""

    rounds: int = 300
    leaves: int = 31
    learning_rate: float = 0.05
    min_leaf: int = 40
    feature_share: float = 0.8
    row_share: float = 0.8
    lags: tuple[int, ...] = ()
    rolling: tuple[int, ...] = ()
    most_rows: int = 200_000
    name: Literal["lightgbm"] = "lightgbm"


MODELS = Catalog(
    "model",
    [
        Entry("naive", "tidewright.models.spec:Naive", "the last value", "floor"),
        Entry("seasonal", "tidewright.models.spec:SeasonalNaive", "the last value of the same season", "floor"),
        Entry("drift", "tidewright.models.spec:Drift", "the line through the lookback's ends", "floor"),
        Entry("damped", "tidewright.models.spec:Damped", "seasonal naive times a damped level", "floor"),
        Entry("median", "tidewright.models.spec:Median", "the median of the lookback", "floor"),
        Entry("ridge", "tidewright.models.spec:Ridge", "closed-form ridge from lookback to horizon", "floor"),
        Entry("feedforward", "tidewright.models.spec:FeedForward", "feed-forward network: tabular data", "torch"),
        Entry("lstm", "tidewright.models.spec:LSTM", "long short-term memory: sequential data", "torch"),
        Entry("lightgbm", "tidewright.models.spec:LightGBM", "boosted trees on lags: many series, covariates", "trees"),
    ],
)
FLOORS = tuple(name for name, entry in MODELS.items() if entry.kind == "floor")


def kind_of(spec: ModelSpec) -> str:
    """The family of a model: floor, torch or trees."""
    return MODELS[spec.name].kind


def spec_key(*records: Any) -> str:
    """Twelve hexadecimal digits that name frozen records by their content (blake2b of their sorted JSON).

    >>> spec_key(Naive()) == spec_key(Naive()), spec_key(Naive()) == spec_key(Drift())
    (True, False)
    """
    text = json.dumps([_plain(record) for record in records], sort_keys=True)
    return blake2b(text.encode(), digest_size=6).hexdigest()


def _plain(record: Any) -> Any:
    return [type(record).__name__, asdict(record)] if is_dataclass(record) and not isinstance(record, type) else record
