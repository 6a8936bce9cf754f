"""Ensembles: what several fitted models say, weighted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.features.view import View

MOST_MEMBERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of an ensemble: its name and options, what it sees, and the share of its word.

    `past`, `known` and `static` are the places of its columns among those that the ensemble sees; `season` is the
    seasonal lag of a floor's scale.
    """

    model: str
    options: Mapping[str, Any]
    view: View
    weight: float
    season: int = 1
    past: tuple[int, ...] = ()
    known: tuple[int, ...] = ()
    static: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """A weighted mean of the quantiles of fitted models, level by level (Lichtendahl, Grushka-Cockayne, Winkler 2013).

    It is made from models that have learned, by `fit_ensemble`, and takes the covariates that any of them takes. The
    weights are above 0 and sum to 1. Raises `ConfigError`.
    """

    members: tuple[Member, ...]
    name: Literal["ensemble"] = "ensemble"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        if not 1 <= len(self.members) <= MOST_MEMBERS:
            raise ConfigError(f"an ensemble has 1 to {MOST_MEMBERS} members; got {len(self.members)}.")
        weights = [member.weight for member in self.members]
        if not all(isfinite(weight) and weight > 0 for weight in weights) or abs(sum(weights) - 1.0) > 1e-9:
            raise ConfigError(f"the weights of an ensemble are above 0 and sum to 1; got {weights}.")


ENTRIES = (Entry("ensemble", f"{__name__}:Ensemble", "a weighted mean of models that have learned", "ensemble"),)
