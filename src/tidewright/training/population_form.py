"""What the members of a population share, and what each has of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

from tidewright.errors import ConfigError
from tidewright.models.spec import ModelSpec, kind_of
from tidewright.runtime import Runtime
from tidewright.training.spec import TrainSpec

OWN = (
    "learning_rate",
    "schedule",
    "warmup",
    "rate_end",
    "rate_cut",
    "rate_wait",
    "cycles",
    "weight_decay",
    "clip",
    "seed",
    "epochs",
    "least_epochs",
    "patience",
    "least_gain",
)
SHARED = ("batch_size", "steps", "judged", "optimizer", "loss", "delta", "components", "unit")


def check_trains(trains: Sequence[TrainSpec]) -> None:
    """Raises `ConfigError` for options that members don't share, or that no population has."""
    usual = TrainSpec()
    if any(train.loss == "sharpe" for train in trains):
        raise ConfigError("a population learns forecasts; got train.loss 'sharpe'. Use fit_positions, or another loss.")
    if any(train.batch_size == "auto" for train in trains):
        raise ConfigError(
            "a population has no train.batch_size 'auto'. Give a number of windows, or ask for the way \"one_by_one\"."
        )
    for field in fields(TrainSpec):
        name = field.name
        values = [getattr(train, name) for train in trains]
        if name in SHARED and len(set(values)) > 1:
            raise ConfigError(
                f"the members of a population share train.{name}; got {values[0]!r} and "
                f"{next(value for value in values if value != values[0])!r}. Fit two populations."
            )
        if name not in (*OWN, *SHARED) and any(value != getattr(usual, name) for value in values):
            raise ConfigError(
                f"a population has no train.{name}; got {next(v for v in values if v != getattr(usual, name))!r}. "
                'Leave it out, or ask for the way "one_by_one".'
            )


def is_batchable(train: TrainSpec) -> bool:
    """Whether a population has all the options that are set."""
    return not refuse_train(train)


def refuse_train(train: TrainSpec) -> str:
    """Which option that is set no population has, in words; empty where there is none.

    >>> refuse_train(TrainSpec(batch_size="auto"))
    'a population has no train.batch_size auto'
    """
    usual = TrainSpec()
    names = [field.name for field in fields(TrainSpec) if field.name not in (*OWN, *SHARED)]
    unlike = next((name for name in names if getattr(train, name) != getattr(usual, name)), "")
    if unlike:
        return f"a population has no train.{unlike}"
    if train.loss == "sharpe":
        return "a population learns forecasts, and no positions"
    return "a population has no train.batch_size auto" if train.batch_size == "auto" else ""


def describe_form(spec: ModelSpec, train: TrainSpec) -> tuple[str, ...]:
    """What the members of one population have alike: equal texts may learn in one.

    >>> from tidewright.models.spec import FeedForward
    >>> one, other = FeedForward(dropout=0.1), FeedForward(dropout=0.2)
    >>> describe_form(one, TrainSpec(learning_rate=0.1)) == describe_form(other, TrainSpec(learning_rate=0.2))
    True
    """
    kept: dict[str, object] = {**asdict(spec), "dropout": None}  # type: ignore[call-overload]  # of dataclasses
    learning = {field.name: getattr(train, field.name) for field in fields(TrainSpec) if field.name not in OWN}
    return (spec.name, *(f"{name} {value!r}" for name, value in (*kept.items(), *learning.items())))


def refuse_runtime(runtime: Runtime) -> str:
    """Why a batched step can't compute so, in words; empty where it can."""
    plain = runtime.precision.used == "float32" and runtime.compile.used == "never"
    return "" if plain else "a batched step is in float32, and not compiled"


def check_specs(spec: ModelSpec | Sequence[ModelSpec], *, count: int) -> tuple[ModelSpec, ...]:
    """A spec for each member; they are of one form."""
    specs = tuple(spec) if isinstance(spec, Sequence) else (spec,) * count
    if not count or len(specs) != count:
        raise ConfigError(
            f"a population has a TrainSpec for each member and one spec, or one each; got {len(specs)} specs and "
            f"{count} trains. Give as many of each."
        )
    if kind_of(specs[0]) != "torch":
        raise ConfigError(f"a population is made of networks; got {specs[0].name}. Fit such models one by one.")
    for other in specs[1:]:
        ours, theirs = asdict(specs[0]), asdict(other)  # type: ignore[call-overload]  # a Protocol of dataclasses
        unlike = sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name) and name != "dropout")
        if unlike:
            raise ConfigError(
                f"the members of a population are of one form; got {specs[0].name} and {other.name} with another "
                f"{', '.join(unlike)}. They may differ in dropout. Fit a population of each form."
            )
    return specs
