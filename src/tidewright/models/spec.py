"""What each model is, as one small frozen record; an option that a model does not have is an error.

How it learns is a `TrainSpec` (training/), what it sees is a `View` (features/); the key of the three names trial, run
and bundle. The records themselves stand in `specs/`, one file a family.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Protocol

from tidewright.catalog import Catalog
from tidewright.models.specs import (
    attention,
    basis,
    class_floors,
    convolutional,
    dense,
    ensemble,
    floors,
    forests,
    foundation,
    fusion,
    hybrid,
    lear,
    linear,
    mixer,
    recurrent,
    regression,
    statistical,
    trees,
)
from tidewright.models.specs.dense import FeedForward
from tidewright.models.specs.ensemble import Ensemble
from tidewright.models.specs.floors import Damped, Drift, Median, Naive, Ridge, SeasonalNaive
from tidewright.models.specs.recurrent import LSTM
from tidewright.models.specs.trees import LightGBM

__all__ = [
    "CLASS_FLOORS",
    "COMPOSED",
    "FLOORS",
    "LSTM",
    "MODELS",
    "NETWORKS",
    "Damped",
    "Drift",
    "Ensemble",
    "FeedForward",
    "LightGBM",
    "Median",
    "ModelSpec",
    "Naive",
    "Ridge",
    "SeasonalNaive",
    "kind_of",
    "spec_key",
]
_NETWORKS = (dense, linear, lear, mixer, basis, recurrent, convolutional, hybrid, attention, fusion)
_CELLS = (trees, forests, regression)
_ALONE = (statistical, foundation)  # they learn nothing from the panel


class ModelSpec(Protocol):
    """Any of the records in `specs/`. `takes` says which covariates it can be given; others are an error."""

    takes: ClassVar[tuple[str, ...]]

    @property
    def name(self) -> str:
        """The model's name in the catalog."""
        ...


MODELS = Catalog(
    "model", [e for family in (floors, *_NETWORKS, *_CELLS, statistical, foundation) for e in family.ENTRIES]
)
NETWORKS = Catalog("network", [core for family in _NETWORKS for core in family.CORES])
COMPOSED = Catalog("composed model", ensemble.ENTRIES)  # made of models that have learned, not by `fit`
CLASS_FLOORS = Catalog("floor of classes", class_floors.ENTRIES)  # of tasks of classes alone
FLOORS = tuple(name for name, entry in MODELS.items() if entry.kind == "floor")


def kind_of(spec: ModelSpec) -> str:
    """The family of a model: floor, class_floor, torch, trees, statistical, foundation or ensemble."""
    return find_catalog(spec.name)[spec.name].kind


def find_catalog(name: str) -> Catalog:
    """The catalog that a name belongs to: `MODELS`, unless another has it."""
    return next((catalog for catalog in (COMPOSED, CLASS_FLOORS) if name in catalog), MODELS)


def spec_key(*records: Any) -> str:
    """Twelve hexadecimal digits that name frozen records by their content (blake2b of their sorted JSON).

    A field that does not make two records unequal (a view's schema) is no part of it.

    >>> spec_key(Naive()) == spec_key(Naive()), spec_key(Naive()) == spec_key(Drift())
    (True, False)
    """
    text = json.dumps([_plain(record) for record in records], sort_keys=True)
    return blake2b(text.encode(), digest_size=6).hexdigest()


def _plain(record: Any) -> Any:
    return [type(record).__name__, _content(record)] if _is_record(record) else record


def _content(value: Any) -> Any:
    if _is_record(value):
        return {field.name: _content(getattr(value, field.name)) for field in fields(value) if field.compare}
    if isinstance(value, Mapping):
        return {key: _content(one) for key, one in value.items()}
    return [_content(one) for one in value] if isinstance(value, (list, tuple)) else value


def _is_record(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)
