"""What training and tuning tell their callbacks. They know nothing of who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class FitStarted:
    """A model begins to learn; in a search as a `trial` of that number."""

    model: str
    key: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 0
    trial: int | None = None


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """One epoch (or some boosting rounds) of a model is over. Losses are in the units of the loss.

    `metrics` are scores of forecasts on the original scale, train_... and validation_..., where somebody `wants_scores`
    of a network.
    """

    model: str
    key: str
    epoch: int
    train_loss: float
    validation_loss: float
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    trial: int | None = None


@dataclass(frozen=True, slots=True)
class FitEnded:
    """A model has learned; `seconds` wall, `cpu_seconds` of this process."""

    model: str
    key: str
    seconds: float
    cpu_seconds: float
    reason: str = ""
    trial: int | None = None


@dataclass(frozen=True, slots=True)
class FloorsScored:
    """What models without options score on validation: {floor: {metric: value}}."""

    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """A search begins or goes on: of `study`, after `metric`, until so many `trials` or seconds.

    `earlier` are the trials that ended before, in `spent_s` seconds.
    """

    study: str
    metric: str
    trials: int | None = None
    budget_s: float | None = None
    spent_s: float = 0.0
    earlier: tuple[TrialEnded, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """One trial of a search begins; `expected_s` is how long it will probably take, None where nothing says so."""

    study: str
    number: int
    parameters: Mapping[str, Any]
    expected_s: float | None = None


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """One trial of a search is over.

    `state` is complete, pruned or failed (then `value` is None and `error` says why). `value` is to be made small;
    `notes` are the trial's.
    `expected_s` is how long it was to take. `checkpoint` is its file where it has one, and `kept` are the trials that
    keep theirs: this one among them where it is one of the best. One that is made `again` is an earlier trial from
    another seed.
    """

    study: str
    number: int
    state: str
    value: float | None
    parameters: Mapping[str, Any]
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    notes: tuple[str, ...] = ()
    expected_s: float | None = None
    checkpoint: str = ""
    kept: tuple[int, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """A search is over, and why; `best` is the trial that it found, None where it found none, and `value` what that is
    worth, to be made small: where noise is large over several seeds."""

    study: str
    reason: str
    seconds: float
    best: int | None = None
    value: float | None = None


FitEvent = FitStarted | EpochEnded | FitEnded
Event = FitEvent | FloorsScored | SearchStarted | TrialStarted | TrialEnded | SearchEnded
Callback = Callable[[Event], None]


def emit(callbacks: tuple[Callback, ...], event: Event) -> None:
    """Tells every callback."""
    for callback in callbacks:
        callback(event)


def of_trial(event: Event, number: int) -> Event:
    """The event of a fit as one of a trial's."""
    return replace(event, trial=number) if isinstance(event, FitEvent) else event


def wants_scores(callbacks: Iterable[Callback]) -> bool:
    """Whether a callback asks, by an attribute `wants_scores`, for scores of every epoch."""
    return any(getattr(callback, "wants_scores", False) for callback in callbacks)
