"""What a walk-forward can be told: one validated record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from tidewright.catalog import explain_unknown
from tidewright.data.task import DEFAULT_QUANTILES
from tidewright.errors import ConfigError
from tidewright.models.spec import FLOORS, MODELS
from tidewright.portfolio import RULES
from tidewright.training.spec import TrainSpec
from tidewright.workflows.settings import DecideSettings, explain_invalid

USUAL: dict[str, dict[str, Any]] = {"lightgbm": {}}


class WalkSettings(DecideSettings):
    """A schedule, in bars, and what is learned and decided on it.

    `first` is the first bar after which something is decided (an ISO time; the first bar at or after it; None: when a
    third of the bars has passed). From there all is learned anew every `refit_every` bars and searched anew every
    `retune_every` (None: never; `trials` a search), and weights are decided every `decide_every` bars from the
    `lookback` returns before by the allocation `rule`. A refit validates on the `validation` bars before it and trains
    on all before these ("expanding") or on the last `train_bars` of them; `purge` (default: the horizon) and `embargo`
    keep labels of one part out of the other. `models` are names of the catalog with their options; every floor takes
    part as well. `limits` are sentences on the weights ("Energy <= 0.2", "turnover <= 0.3"), `groups` is the asset to
    group that they name, `covariance` an estimate by name: for rules that take them. `trials_before` is what was tried
    before on the same data: the deflated Sharpe ratio counts it too.
    """

    first: str | None = None
    refit_every: int = Field(default=63, ge=1)
    retune_every: int | None = Field(default=None, ge=1)
    trials: int = Field(default=20, ge=2)
    validation: int = Field(default=252, ge=2)
    train_bars: int | None = Field(default=None, ge=2)
    purge: int | None = None
    embargo: int = Field(default=0, ge=0)
    horizon: int = Field(default=5, ge=1)
    quantiles: tuple[float, ...] = DEFAULT_QUANTILES
    season: int | None = Field(default=None, ge=1)
    view_lookback: int | None = Field(default=None, ge=1)
    metric: str = "mae"
    models: dict[str, dict[str, Any]] = Field(default_factory=lambda: dict(USUAL))
    train: TrainSpec = TrainSpec()
    rule: str = "hrp"
    limits: tuple[str, ...] = ()
    groups: dict[str, str] = Field(default_factory=dict)
    covariance: str | None = None
    initial_cash: float = Field(default=1_000_000.0, gt=0.0)
    trials_before: int = Field(default=0, ge=0)
    seed: int = 0

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> WalkSettings:
        """The settings of some options. Raises `ConfigError` that names the option and the near miss."""
        try:
            return cls(**options)
        except ValidationError as error:
            raise ConfigError(explain_invalid(error, known=tuple(cls.model_fields))) from error

    @field_validator("models")
    @classmethod
    def _known_models(cls, models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in models:
            if name not in MODELS:
                raise ConfigError(explain_unknown("model", name, list(MODELS)))
            if name in FLOORS:
                raise ConfigError(f"{name} is a floor and takes part anyway. Leave it out.")
        return models

    @field_validator("rule")
    @classmethod
    def _known_rule(cls, rule: str) -> str:
        if rule not in RULES:
            raise ConfigError(explain_unknown("allocation rule", rule, list(RULES)))
        return rule

    @model_validator(mode="after")
    def _whole_schedule(self) -> WalkSettings:
        if self.retune_every is not None and self.retune_every % self.refit_every:
            raise ConfigError(
                f"retune_every {self.retune_every} is no multiple of refit_every {self.refit_every}: a search is made "
                "at a refit. Give a multiple."
            )
        return self
