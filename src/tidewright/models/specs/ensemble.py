"""Ensembles: what several fitted models say, as one.

H horizon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Literal, get_args

from tidewright.catalog import Entry, explain_unknown
from tidewright.errors import ConfigError
from tidewright.features.view import View

MOST_MEMBERS = 64
Combine = Literal["mean", "median"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One model of an ensemble: its name and options, what it sees, and the share of its word.

    `steps` [H] are its weights at each step of the horizon, where these differ; `weight` is then their mean.
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
    steps: tuple[float, ...] = ()

    def weights(self, horizon: int) -> tuple[float, ...]:
        """Its weight at each step [H]."""
        return self.steps or (self.weight,) * horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The quantiles of fitted models combined level by level (Lichtendahl, Grushka-Cockayne, Winkler 2013).

    `combine` "mean" weighs them; "median" takes the middle one of each cell, and all weights are alike. It is made
    from models that have learned, by `fit_ensemble`, and takes the covariates that any of them takes. The weights are
    above 0 and sum to 1, at each step. Raises `ConfigError`.
    """

    members: tuple[Member, ...]
    combine: Combine = "mean"
    name: Literal["ensemble"] = "ensemble"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        if not 1 <= len(self.members) <= MOST_MEMBERS:
            raise ConfigError(f"an ensemble has 1 to {MOST_MEMBERS} members; got {len(self.members)}.")
        if self.combine not in get_args(Combine):
            raise ConfigError(explain_unknown("way to combine members", self.combine, get_args(Combine)))
        _check_shares([member.weight for member in self.members])
        counts = {len(member.steps) for member in self.members}
        if len(counts) > 1:
            raise ConfigError(f"either all members of an ensemble have weights by step, or none; got {sorted(counts)}.")
        for step in range(max(counts)):
            _check_shares([member.steps[step] for member in self.members])
        unlike = len({member.weight for member in self.members}) > 1 or counts != {0}
        if self.combine == "median" and unlike:
            raise ConfigError("a median has no weights: give all members the same one, and none by step.")


def _check_shares(weights: list[float]) -> None:
    if not all(isfinite(weight) and weight > 0 for weight in weights) or abs(sum(weights) - 1.0) > 1e-9:
        raise ConfigError(f"the weights of an ensemble are above 0 and sum to 1; got {weights}.")


ENTRIES = (Entry("ensemble", f"{__name__}:Ensemble", "models that have learned, weighted or their median", "ensemble"),)
