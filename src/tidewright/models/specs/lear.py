"""A linear model of a few whole seasons back and of what is known of them and of the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tidewright.catalog import Entry
from tidewright.errors import ConfigError
from tidewright.models.specs.limits import refuse_small


@dataclass(frozen=True, slots=True, kw_only=True)
class Lear:
    """A linear map of some seasons back, and of what is known of those and of the horizon (LEAR of Lago et al. 2021).

    It sees the values of the seasons `lags` seasons back (1: the last `season` rows of the lookback) with their past
    and known covariates, those known of the horizon, and nothing between; a season that the lookback does not reach is
    left out. It is solved in closed form, by least squares with an L2 penalty (their L1 costs fifty times as much and
    gives as little), the best of `penalties` on validation; of how networks learn it takes nothing. `squash` takes the
    inverse hyperbolic sine of all that goes in, and of the answer, so that a spike does not pull the rest. Where the
    horizon is a season, let it learn from the origins that will be asked, such as midnights: one row of the map is then
    one hour of the day. Raises `ConfigError`.
    """

    season: int = 24
    lags: tuple[int, ...] = (1, 2, 3, 7)
    penalties: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    squash: bool = True
    name: Literal["lear"] = "lear"
    takes: ClassVar[tuple[str, ...]] = ("past", "known", "static")

    def __post_init__(self) -> None:
        refuse_small(self.name, season=self.season, lags=self.lags)
        if not self.lags or len(set(self.lags)) != len(self.lags):
            raise ConfigError(f"{self.name}.lags are different numbers of seasons, at least one; got {self.lags}.")
        if not self.penalties or not all(0.0 < penalty < float("inf") for penalty in self.penalties):
            raise ConfigError(f"{self.name}.penalties are numbers above 0, at least one; got {self.penalties}.")


ENTRIES = (Entry("lear", f"{__name__}:Lear", "whole seasons back and known covariates: prices a day ahead", "torch"),)
CORES = (Entry("lear", "tidewright.models.torch.lear:LearCore", "lear"),)
