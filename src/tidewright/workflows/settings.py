"""What a run can be told: one validated record, from keyword arguments or from overrides in Hydra's grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tidewright.catalog import explain_unknown
from tidewright.config import Group, Schema, compose
from tidewright.data.task import DEFAULT_QUANTILES
from tidewright.errors import ConfigError
from tidewright.models.spec import FLOORS, MODELS
from tidewright.models.specs.ensemble import MOST_MEMBERS
from tidewright.models.specs.tabular import CLASSIFIERS
from tidewright.runtime import Compile, Device, Precision
from tidewright.training.compare import CLASS_LOSSES, LOSSES
from tidewright.training.distributed import Strategy
from tidewright.training.reconcile import Method
from tidewright.training.spec import TrainSpec
from tidewright.workflows.presets import PRESETS, PresetName

TRAINED = tuple(name for name in MODELS if name not in FLOORS)
CLASS_MODELS = ("lightgbm", "extra_trees", "elastic_net")  # where the target holds classes
DEFAULT_MODELS = ("feedforward", "lstm", "lightgbm")  # one of each family, in a minute
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)?")


class Frozen(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Frozen):
    """Where the table is and which column is what."""

    path: str | None = None
    time: str | None = None
    target: str | None = None
    series: str | None = None
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    layout: Literal["long", "columns", "rows"] = "long"
    frequency: str | None = None
    calendar: str | None = None

    @field_validator("past", "known", "static", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class SplitSettings(Frozen):
    """Sizes of the validation and the test part in steps (None: 15 % of the span each), purge and embargo, and the
    steps from one scored cutoff to the next (None: as `split_holdout` says, and at most 24 cutoffs a part where a model
    fits every window anew)."""

    validation: int | None = None
    test: int | None = None
    stride: int | None = Field(default=None, ge=1)
    purge: int | None = None
    embargo: int = 0


class TuneSettings(Frozen):
    """Whether the best network or trees are tuned in what is left of the budget, and at most how many trials."""

    enabled: bool = True
    trials: int | None = Field(default=None, ge=1)


class MixSettings(Frozen):
    """Whether the ensemble's weights may differ by step of the horizon (not for mean and median), and how many seeds,
    or snapshots of one training, each network is the mean of."""

    per_step: bool = False
    seeds: int = Field(default=1, ge=1, le=MOST_MEMBERS)
    snapshots: int = Field(default=1, ge=1, le=MOST_MEMBERS)


class DecideSettings(Frozen):
    """The portfolio: cost in basis points of what is traded, how often to decide and from how many past bars."""

    fee_bps: float = Field(default=1.0, ge=0.0, le=1000.0)
    half_spread_bps: float = Field(default=2.0, ge=0.0, le=1000.0)
    decide_every: int = Field(default=21, ge=1)
    lookback: int = Field(default=252, ge=2)


class HierarchySettings(Frozen):
    """Series that add up: static columns of each level ("State", "State/Store"), how forecasts are made to agree."""

    levels: tuple[str, ...] = ()
    method: Method = "mint"
    nonnegative: bool = False

    @field_validator("levels", mode="before")
    @classmethod
    def _one_level(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class RunSettings(Frozen):
    """Everything that `tidewright run` can be told. What networks compute with is chosen as `detect_runtime` does;
    `devices` processes teach a network together (not in a search)."""

    recipe: Literal["table", "market"] = "table"
    kind: Literal["forecast", "classify"] = "forecast"  # quantiles of a number, or the probability of each class
    preset: PresetName | None = None  # picks models, windows and options by itself: see workflows/search
    data: DataSettings = DataSettings()
    horizon: int = Field(default=5, ge=1)
    quantiles: tuple[float, ...] = DEFAULT_QUANTILES
    season: int | None = Field(default=None, ge=1)
    lookback: int | None = Field(default=None, ge=1)
    relative: bool = False  # past and known covariates in units of the window: see features/view.View
    log: float | None = Field(default=None, ge=0.0)  # models see the logarithm of the target plus this: likewise
    holidays: tuple[str, ...] = ()  # codes of countries, parts or exchanges: US, DE-BY, XNYS; US:end for weeks
    metric: str = "mase"
    budget_s: float = Field(default=75.0, gt=0.0)
    seed: int = 0
    strict: bool = False
    track: bool = True
    folder: str = "tidewright-runs"
    device: Device = "auto"
    threads: int | Literal["auto"] = "auto"
    precision: Precision = "auto"
    compile: Compile = "never"
    devices: int = Field(default=1, ge=1)
    strategy: Strategy = "ddp"
    split: SplitSettings = SplitSettings()
    train: TrainSpec = TrainSpec()
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    tune: TuneSettings = TuneSettings()
    ensemble: Literal["greedy", "mean", "median", "inverse", "stacking", "none"] = "greedy"
    mix: MixSettings = MixSettings()
    decide: DecideSettings = DecideSettings()
    hierarchy: HierarchySettings = HierarchySettings()

    @property
    def learning(self) -> TrainSpec:
        """How networks learn: from the run's own seed, where it has one."""
        return replace(self.train, seed=self.seed) if self.seed else self.train

    @model_validator(mode="after")
    def _one_mixture(self) -> RunSettings:
        if self.mix.seeds > 1 and self.mix.snapshots > 1:
            raise ValueError("mix.seeds and mix.snapshots are two ways to have several of a network. Take one of them.")
        if self.devices > 1 and max(self.mix.seeds, self.mix.snapshots) > 1:
            raise ValueError("several seeds or snapshots learn in one process. Leave devices out, or these.")
        if self.mix.per_step and self.ensemble in ("mean", "median", "none"):
            raise ValueError(f"ensemble={self.ensemble} has no weights, so none by step. Take ensemble=stacking.")
        if self.train.epochs % self.mix.snapshots:
            raise ValueError(
                f"each cycle of mix.snapshots has as many epochs; got train.epochs={self.train.epochs} for "
                f"{self.mix.snapshots}. Ask for a multiple."
            )
        return self

    @model_validator(mode="after")
    def _of_its_kind(self) -> RunSettings:
        known = CLASS_LOSSES if self.kind == "classify" else LOSSES
        if self.metric not in known:
            noun = "metric that ranks models" + (" of classes" if self.kind == "classify" else "")
            raise ValueError(f"metric: {explain_unknown(noun, self.metric, known)}")
        if self.kind == "classify":
            refuse_numbers(self)
            return self
        floors = [name for name in self.models if name in FLOORS]
        if floors:
            raise ValueError(f"{floors[0]} is a floor of forecasts, which every run fits. Leave it out of model=.")
        return self

    @field_validator("quantiles", mode="before")
    @classmethod
    def _one_level(cls, value: Any) -> Any:
        return (value,) if isinstance(value, float) else value

    @field_validator("holidays", mode="before")
    @classmethod
    def _one_code(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("train")
    @classmethod
    def _of_forecasts(cls, value: TrainSpec) -> TrainSpec:
        if value.loss == "sharpe":
            raise ValueError(
                "sharpe learns positions and a run learns forecasts. Use fit_positions from Python, or another loss."
            )
        return value


def refuse_numbers(settings: RunSettings) -> None:
    """Raises `ValueError` for what a run of classes can't be told."""
    told = {
        "quantiles": settings.quantiles != DEFAULT_QUANTILES,
        "preset": settings.preset is not None,
        "recipe=market": settings.recipe == "market",
        "log": settings.log is not None,
        f"ensemble={settings.ensemble}": settings.ensemble != "none",
        "hierarchy": bool(settings.hierarchy.levels),
        f"data.layout={settings.data.layout}": settings.data.layout != "long",
    }
    wrong = [name for name, asked in told.items() if asked]
    if wrong:
        raise ValueError(f"kind=classify: {wrong[0]} is of forecasts of numbers. Leave it out, or say kind=forecast.")
    refuse_strange(settings.models)


def refuse_strange(models: Iterable[str]) -> None:
    """Raises `ConfigError` for a model that tells no classes apart."""
    strange = [name for name in models if name not in CLASSIFIERS]
    if strange:
        raise ConfigError(f"kind=classify: {strange[0]} tells no classes apart. Take {', '.join(CLASSIFIERS)}.")


def read_settings(overrides: Sequence[str] = (), given: Mapping[str, Any] | None = None) -> RunSettings:
    """Settings from overrides (`model=lstm train.learning_rate=1e-3`) and from options that were given by name.

    `given` holds dotted keys too (`data.time`); it wins over the defaults and the overrides win over it. Raises
    `ConfigError` that names the option and the near miss.
    """
    options = compose(schema(), overrides)
    spoken = {item.partition("=")[0] for item in overrides}
    for key, value in (given or {}).items():
        if value is not None and key not in spoken:
            _put(options, key, value)
    if options["preset"] in PRESETS:
        _settle_preset(options, spoken={*spoken, *(key for key, value in (given or {}).items() if value is not None)})
    if options["kind"] == "classify":
        _settle_classes(options, spoken={*spoken, *(key for key, value in (given or {}).items() if value is not None)})
    if isinstance(options["budget_s"], str):
        options["budget_s"] = parse_seconds(options["budget_s"])
    try:
        return RunSettings(**options)
    except ValidationError as error:
        known = (*RunSettings.model_fields, *DataSettings.model_fields)
        raise ConfigError(explain_invalid(error, known=known)) from error


def _settle_preset(options: dict[str, Any], *, spoken: set[str]) -> None:
    """A preset's own budget and rule, and no model but those that the user named with `model=`."""
    if "budget_s" not in spoken:
        options["budget_s"] = PRESETS[options["preset"]].budget_s
    if "ensemble" not in spoken:
        options["ensemble"] = "stacking"
    if not spoken & {"model", "models"}:
        own = sorted(key for key in spoken if key.startswith("models."))
        if own:
            raise ConfigError(
                f"a preset picks the models, and {own[0]} sets an option of one. Name it with model= too, and only "
                "those that you name are tried."
            )
        options["models"] = {}


def _settle_classes(options: dict[str, Any], *, spoken: set[str]) -> None:
    """The usual metric, models and rule where the target holds classes, unless the user named others."""
    if "metric" not in spoken:
        options["metric"] = CLASS_LOSSES[0]
    if "ensemble" not in spoken:
        options["ensemble"] = "none"
    if not spoken & {"model", "models"}:
        own = options["models"]
        options["models"] = {name: own.get(name, _defaults(MODELS.load(name))) for name in CLASS_MODELS}


def schema() -> Schema:
    """Every option with its default, and the group `model`."""
    base = RunSettings().model_dump(exclude={"models", "train"})
    base["train"] = asdict(TrainSpec())
    options = {name: _defaults(MODELS.load(name)) for name in MODELS if name in TRAINED or name in CLASSIFIERS}
    return Schema(base, {"model": Group(options, DEFAULT_MODELS, "models")})


def parse_seconds(text: str) -> float:
    """Seconds from '90', '90s', '3m' or '1.5h'.

    >>> parse_seconds("3m")
    180.0
    """
    match = _TIME.fullmatch(text.strip().lower())
    if not match:
        raise ConfigError(f"'{text}' is no length of time. Write it as 90s, 3m or 1.5h.")
    return float(match[1]) * {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}[match[2]]


def _defaults(record: Any) -> dict[str, Any]:
    return {f.name: f.default for f in fields(record) if f.name != "name" and f.default is not MISSING}


def _put(options: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        options = options[part]
    options[last] = value


def explain_invalid(error: ValidationError, *, known: Sequence[str]) -> str:
    """The first thing that is wrong with some options, in a sentence; of an unknown one the near miss of the known."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return explain_unknown("option", place, known)
    message = first["msg"].removeprefix("Value error, ")
    if not place:  # of several options together
        return message
    return f"{place}: {message}" if first["type"] == "value_error" else f"{place}: {message}; got {first['input']!r}."
